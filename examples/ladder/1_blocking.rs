//! Rung 1: **a conversation is a loop.** Read, answer, read on. Where we are in it, and what has come
//! so far, the stack remembers.
//!
//! What it cannot do: two conversations at once. `read` waits for *this* client, and all others wait
//! with it. One client that says nothing stops the server.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

mod http;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("Server started at http://localhost:{}/", listener.local_addr()?.port());
    for stream in listener.incoming() {
        // A conversation that fails ends alone: the next client has done nothing wrong.
        let _ = stream.and_then(converse);
    }
    Ok(())
}

fn converse(mut stream: TcpStream) -> io::Result<()> {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    loop {
        // Waits until something has come, however long that takes. Zero bytes: the client has
        // finished, and has all its answers.
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(());
        }
        input.extend_from_slice(&buffer[..bytes]);
        let goes_on = http::answer(&mut input, &mut output);
        // Waits until the kernel has taken all of it.
        stream.write_all(&output)?;
        output.clear();
        if !goes_on {
            return Ok(());
        }
    }
}
