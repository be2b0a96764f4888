//! A server in your own program, on a thread of its own: `cargo run --example embed`.
//!
//! Drains after a second, and says what it did.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use helloop::http::{Request, Response, Status};
use helloop::limits::Limits;
use helloop::server::Server;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Only this program asks this service.
    let limits = Limits::default().body_bytes_max(0).connections_max(10);
    let server = Server::builder().limits(limits).bind("127.0.0.1:0")?;
    let running = server.spawn(|request: &Request<'_>, response: &mut Response| {
        match request.path() {
            "/health" => response.text("ok\n"),
            _ => response.status(Status::NOT_FOUND).text("Only /health is here.\n"),
        };
    })?;

    let mut client = TcpStream::connect(running.local_addrs()[0])?;
    client.write_all(b"GET /health HTTP/1.1\r\nHost: me\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    print!("{answer}");

    running.handle().drain(Duration::from_secs(1));
    println!("{:?}", running.join()?);
    Ok(())
}
