//! Rung 2: **let the system switch.** The conversation is that of rung 1, word for word; each client
//! gets a thread for it. A thread that waits costs no time: the kernel runs the others meanwhile.
//!
//! What it cannot do: be cheap. Each client that says nothing still costs a thread: a stack here, and
//! as much again in the kernel. And whatever two conversations share from now on needs a lock.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

mod http;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8080".to_owned());
    let listener = TcpListener::bind(address)?;
    println!("Server started at http://localhost:{}/", listener.local_addr()?.port());
    loop {
        match listener.accept() {
            // The thread is not waited for, and its result is not needed. If the system has no more
            // threads, the client is dropped: its connection is closed.
            Ok((stream, _)) => drop(thread::Builder::new().spawn(|| converse(stream))),
            // Out of descriptors, most likely. This thread has nothing else to do, so it may sleep
            // until some client has gone. No rung above may do that: they have one thread for all.
            Err(_) => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn converse(mut stream: TcpStream) -> io::Result<()> {
    let (mut input, mut output) = (Vec::new(), Vec::new());
    let mut buffer = [0; 4096];
    loop {
        let bytes = stream.read(&mut buffer)?;
        if bytes == 0 {
            return Ok(());
        }
        input.extend_from_slice(&buffer[..bytes]);
        let goes_on = http::answer(&mut input, &mut output);
        stream.write_all(&output)?;
        output.clear();
        if !goes_on {
            return Ok(());
        }
    }
}
