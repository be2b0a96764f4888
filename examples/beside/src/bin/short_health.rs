//! The program of `docs/lines.md`, to be compiled; `tokio_health.rs` is the one to be run.

use helloop::server::{Server, service};
use std::error::Error;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let ok = service(|_, response| _ = response.text("ok\n"));
    let health = Server::builder().bind("localhost:8080")?.spawn(ok)?;
    // The work of the program stands here.
    signal(SignalKind::terminate())?.recv().await;
    health.handle().drain(Duration::from_secs(25));
    health.finished().await;
    Ok(())
}
