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
//!     return web.Response(text=f"Hello, {name}!\n")
//!
//! async def main():
//!     app = web.Application()
//!     app.add_routes([web.get("/", handle), web.get("/{name}", handle)])
//!     runner = web.AppRunner(app)
//!     await runner.setup()
//!     await web.TCPSite(runner, "localhost", 8080).start()
//!     print("Server started at http://localhost:8080/")
//!     await asyncio.sleep(3600)
//!     await runner.cleanup()
//!
//! asyncio.run(main())
//! ```
//!
//! There is no router here: the `match` says which paths and methods there are. The handler may
//! `await` whatever it likes, and the loop serves others meanwhile.

use std::error::Error;
use std::time::Duration;

use helloop::event_loop::EventLoop;
use helloop::http::{Response, Status, decode_segment};
use helloop::limits::DRAIN_TIMEOUT;
use helloop::server::{OwnedRequest, Server, coroutines};

const AN_HOUR: Duration = Duration::from_secs(3600);

async fn handle(request: OwnedRequest) -> Response {
    let mut response = Response::new();
    let name = request.path().strip_prefix('/').filter(|name| !name.contains('/'));
    match (request.method(), name.map(decode_segment)) {
        ("GET" | "HEAD", Some(Ok(name))) if name.is_empty() => response.text("Hello, Anonymous!\n"),
        ("GET" | "HEAD", Some(Ok(name))) => response.text(format_args!("Hello, {name}!\n")),
        (_, Some(Ok(_))) => response
            .status(Status::METHOD_NOT_ALLOWED)
            .header("Allow", "GET, HEAD")
            .expect("a constant field")
            .text("Try GET.\n"),
        (_, Some(Err(error))) => {
            response.status(Status::BAD_REQUEST).text(format_args!("{error}\n"))
        }
        (_, None) => response.status(Status::NOT_FOUND).text("Try /World.\n"),
    };
    response
}

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8080".into());
    let mut event_loop = EventLoop::new()?;
    let server = Server::builder().bind(&address)?;
    let server = server.attach(event_loop.handle(), coroutines(handle))?;
    let (host, _) = address.rsplit_once(':').expect("an address with a port was bound");
    println!("Server started at http://{host}:{}/", server.local_addrs()[0].port());
    let ending = server.handle().clone();
    // What was asked by then is answered, and nothing more is taken.
    event_loop.handle().call_later(AN_HOUR, move |_| ending.drain(DRAIN_TIMEOUT));
    event_loop.run_until(|| server.is_finished())?;
    Ok(())
}
