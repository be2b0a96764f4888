//! What is no stream, beside a server.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::UdpSocket;
use std::time::Duration;

use crate::examples::example;
use crate::program::Program;

#[test]
fn datagrams_a_file_and_greetings_on_one_loop() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "an old line\n").unwrap();
    let path = file.path().to_str().unwrap();
    let mut program = Program::start_on_stdout(&mut example("descriptors", &[path]));
    let line = program.wait_for("echoes on udp ");
    let address = line.trim_start_matches("echoes on udp ").to_owned();
    program.wait_for("follows ");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut appended = OpenOptions::new().append(true).open(&file).unwrap();
    for round in 0..3 {
        client.send_to(format!("datagram {round}").as_bytes(), &address).unwrap();
        let mut datagram = [0; 100];
        let bytes = client.recv(&mut datagram).unwrap();
        assert_eq!(&datagram[..bytes], format!("datagram {round}").as_bytes());
        writeln!(appended, "a new line {round}").unwrap();
        program.wait_for(&format!("a new line {round}"));
        program.greet();
    }
    assert!(program.said.iter().all(|line| line != "an old line"));
}
