//! khttp with its epoll loop, and one worker.

use khttp::{Headers, Method, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-khttp PORT")?.parse()?;
    let mut app = Server::builder(("127.0.0.1", port))?;
    app.thread_count(1);
    app.route(Method::Get, "/:name", |context, response| {
        let name = context.params.get("name").unwrap_or("World");
        let mut headers = Headers::new();
        headers.add(Headers::CONTENT_TYPE, b"text/plain; charset=utf-8");
        response.ok(&headers, format!("Hello, {name}!\n"))
    });
    app.build().serve_epoll()?;
    Ok(())
}
