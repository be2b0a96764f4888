//! axum on tokio's current-thread runtime.

use std::error::Error;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

async fn greet(Path(name): Path<String>) -> String {
    format!("Hello, {name}!\n")
}

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-axum PORT")?.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let listener = listener.tap_io(|stream| {
            // Without it, the answer may wait for an acknowledgement.
            let _ = stream.set_nodelay(true);
        });
        let app = Router::new().route("/{name}", get(greet));
        axum::serve(listener, app).await?;
        Ok(())
    })
}
