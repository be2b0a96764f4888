//! The greeting server: `cargo run --example documents_server -- localhost:8080`.
//!
//! In Python:
//!
//! ```python
//! import asyncio
//! from aiohttp import web
//!
//! async def handle(request):
//!     name = request.match_info.get("name", "Anonymous")
//!     await asyncio.sleep(0.01)
//!     return web.Response(text=f"Hello, {name}!")
//!
//! async def main():
//!     app = web.Application()
//!     app.add_routes([web.get("/", handle), web.get("/{name}", handle)])
//!     runner = web.AppRunner(app)
//!     await runner.setup()
//!     await web.TCPSite(runner, "localhost", 8080).start()
//!     print("Server started at http://localhost:8080/")
//!     await asyncio.sleep(3600)
//!
//! asyncio.run(main())
//! ```
//!
//! While one request sleeps, the loop serves others. There is no router here: the `match` says
//! which paths and methods there are. It serves until it is interrupted, not for an hour.

use std::time::Duration;

use helloop::http::{Response, Status, decode_segment};
use helloop::server::{OwnedRequest, Server, coroutines};

async fn handle(request: OwnedRequest) -> Response {
    let mut response = Response::new();
    let name = request.path().strip_prefix('/').filter(|name| !name.contains('/'));
    request.handle().sleep(Duration::from_millis(10)).await;
    match (request.method(), name.map(decode_segment)) {
        ("GET" | "HEAD", Some(Ok(name))) if name.is_empty() => response.text("Hello, Anonymous!"),
        ("GET" | "HEAD", Some(Ok(name))) => response.text(format_args!("Hello, {name}!")),
        (_, Some(Ok(_))) => response.status(Status::METHOD_NOT_ALLOWED).text("Try GET."),
        (_, Some(Err(error))) => response.status(Status::BAD_REQUEST).text(error),
        (_, None) => response.status(Status::NOT_FOUND).text("Try /World."),
    };
    response
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8080".into());
    let server = Server::builder().bind(&address)?;
    let (host, _) = address.rsplit_once(':').expect("an address with a port was bound");
    println!("Server started at http://{host}:{}/", server.local_addrs()[0].port());
    server.serve(coroutines(handle))?;
    Ok(())
}
