//! axum with its graceful shutdown.

use std::error::Error;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

async fn greet(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

async fn big(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n") + &"x".repeat(400_000)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-axum PORT")?.parse()?;
    let mut terminated = signal(SignalKind::terminate())?;
    let app = Router::new()
        .route("/{name}", get(greet).post(greet))
        .route("/big/{name}", get(big));
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, app)
        .with_graceful_shutdown(async move {
            terminated.recv().await;
        })
        .await?;
    Ok(())
}
