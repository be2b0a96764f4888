//! A health endpoint on a thread of its own, in a program of tokio's. What tokio's threads are busy with does not
//! matter to it: it answers when they do not. `cargo run --bin tokio_health -- one` (or `many`), then Ctrl-C.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use helloop::http::Status;
use helloop::server::{Running, Server, service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

/// How long both ends may take to drain.
const DRAIN: Duration = Duration::from_secs(20);

/// `/health` says whether the program lives, `/echoed` what it has done.
fn health(echoed: Arc<AtomicU64>) -> Result<Running, Box<dyn Error>> {
    let server = Server::builder().bind("localhost:0")?;
    Ok(server.spawn(service(move |request, response| {
        match request.path() {
            "/health" => response.text("ok\n"),
            "/echoed" => response.text(echoed.load(Ordering::Relaxed)),
            _ => response.status(Status::NOT_FOUND).text("nothing is here\n"),
        };
    }))?)
}

/// The program's own work: an echo.
async fn work() -> Result<(), Box<dyn Error>> {
    let echoed = Arc::new(AtomicU64::new(0));
    let health = health(Arc::clone(&echoed))?;
    let listener = TcpListener::bind("localhost:0").await?;
    println!("echoes on {}", listener.local_addr()?);
    println!("Server started at http://{}/", health.local_addrs()[0]);
    let (mut terminate, mut connections) = (signal(SignalKind::terminate())?, JoinSet::new());
    loop {
        let (mut stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = terminate.recv() => break,
            _ = tokio::signal::ctrl_c() => break,
            // It ends by itself only if something is wrong.
            () = health.finished() => break,
        };
        let echoed = Arc::clone(&echoed);
        connections.spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
                echoed.fetch_add(bytes as u64, Ordering::Relaxed);
                if stream.write_all(&buffer[..bytes]).await.is_err() {
                    break;
                }
            }
        });
    }
    // Both ends together.
    drop(listener);
    health.handle().drain(DRAIN);
    let echoes = async { while connections.join_next().await.is_some() {} };
    let (_, in_time) = tokio::join!(health.finished(), tokio::time::timeout(DRAIN, echoes));
    println!("{:?}, echoes in time: {}", health.join()?, in_time.is_ok());
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut runtime = match std::env::args().nth(1).as_deref() {
        Some("many") => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(work())
}
