//! tiny_http: a pool of threads that read, one thread that answers.

use std::error::Error;

use tiny_http::{Header, Response, Server};

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-tiny_http PORT")?.parse()?;
    let server = Server::http(("127.0.0.1", port))?;
    let text = Header::from_bytes("Content-Type", "text/plain; charset=utf-8")
        .map_err(|()| "a header that is right")?;
    for request in server.incoming_requests() {
        let name = request.url().strip_prefix('/').unwrap_or_default();
        let response = Response::from_string(format!("Hello, {name}!\n")).with_header(text.clone());
        // A peer that goes away is no news.
        let _ = request.respond(response);
    }
    Ok(())
}
