//! Server-sent events, which have no end of their own: they end in order when the server does.
//! `cargo run --example events`, then `curl -N http://localhost:8080/`, and Ctrl-C here.

use std::time::Duration;

use helloop::coroutine::{Either, race};
use helloop::event_loop::Handle;
use helloop::http::Response;
use helloop::server::{BodySender, Gone, Reply, Server, ServerHandle, coroutines, streamed_body};

/// The time between two events.
const TICK: Duration = Duration::from_millis(200);

/// Sends an event each [`TICK`], and a last one when the server drains.
async fn events(clock: Handle, server: ServerHandle, mut body: BodySender) -> Result<(), Gone> {
    let mut draining = server.draining();
    for number in 1.. {
        body.send(format!("id: {number}\ndata: tick\n\n")).await?;
        if let Either::Left(()) = race(&mut draining, clock.sleep(TICK)).await {
            break;
        }
    }
    // A browser would come back by itself, to the next server; this says when.
    body.send("event: bye\nretry: 1000\ndata: the server ends\n\n").await?;
    body.finish();
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8080".into());
    let server = Server::builder().bind(&address)?;
    println!("Server started at http://{}/", server.local_addrs()[0]);
    let handle = server.handle();
    let report = server.serve_until_signal(coroutines(move |request| {
        let (clock, server) = (request.handle().clone(), handle.clone());
        async move {
            let (sender, body) = streamed_body();
            // It ends when the peer is gone, too: `send` says so.
            drop(clock.spawn(events(clock.clone(), server, sender)));
            let mut response = Response::new();
            response.header("Content-Type", "text/event-stream").expect("a good field");
            response.header("Cache-Control", "no-store").expect("a good field");
            Reply::Streamed(response, body)
        }
    }))?;
    println!("{} answered, {} cut", report.requests, report.cut);
    Ok(())
}
