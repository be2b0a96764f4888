use std::process::Stdio;

use crate::faults::client::REQUEST;
use crate::faults::server::Server;
use crate::program::command;

#[test]
fn a_storm_of_resets_harms_nobody() {
    let server = Server::start(&[]);
    let mut good = server.client();
    let requests = REQUEST.repeat(100);
    let beginnings: [&[u8]; 4] = [b"", b"GET /World HT", REQUEST, &requests];
    for beginning in beginnings.iter().cycle().take(2000) {
        let mut bad = server.client();
        bad.send(beginning);
        bad.reset();
    }
    good.greet();
    drop(good);
    server.recovers_and_ends().no_warnings();
}

#[test]
fn clients_that_are_killed_leave_nothing_behind() {
    let server = Server::start(&[]);
    for _ in 0..5 {
        let mut client = command(&["fetch", "-j", "100"]);
        client.args(std::iter::repeat_n(server.program.url.as_str(), 5000));
        client.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut client = client.spawn().unwrap();
        while server.connections() == 0 {
            assert!(client.try_wait().unwrap().is_none(), "it was too fast to be killed");
            std::thread::yield_now();
        }
        // SIGKILL: no destructor, no goodbye.
        client.kill().unwrap();
        client.wait().unwrap();
        server.recovers();
    }
    server.recovers_and_ends().no_warnings();
}
