//! A server on a loop that the host program turns: `cargo run --example foreign_loop`.
//!
//! The host waits with its own poll(2) for its own descriptors and for the loop's, and for the
//! earliest deadline of both. Here its own descriptor is a pipe that a client thread closes.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use helloop::event_loop::EventLoop;
use helloop::greeting::Greeting;
use helloop::server::Server;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event_loop = EventLoop::new()?;
    let server = Server::builder().bind("127.0.0.1:0")?;
    let attached = server.attach(event_loop.handle(), Greeting)?;
    let address = attached.local_addrs()[0];

    let (host_end, client_end) = rustix::pipe::pipe()?;
    let client = thread::spawn(move || -> std::io::Result<String> {
        let _closed_at_the_end = client_end;
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /host HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });

    while !attached.is_finished() {
        let pause = event_loop.next_deadline().map(|d| d.since(event_loop.handle().clock()));
        let ready = {
            let descriptors = &mut [
                PollFd::new(&event_loop, PollFlags::IN),
                PollFd::from_borrowed_fd(host_end.as_fd(), PollFlags::IN),
            ];
            poll(descriptors, pause.map(round_up).as_ref())?;
            !descriptors[1].revents().is_empty()
        };
        if ready {
            attached.handle().drain(Duration::from_secs(1));
        }
        event_loop.turn(Some(Duration::ZERO))?;
    }
    print!("{}", client.join().expect("the client does not panic")?);
    println!("{:?}", attached.report());
    Ok(())
}

/// poll(2) may wake a little early for a rounded time; a millisecond more avoids a busy wait.
fn round_up(pause: Duration) -> Timespec {
    Timespec::try_from(pause + Duration::from_millis(1))
        .unwrap_or(Timespec { tv_sec: 60, tv_nsec: 0 })
}
