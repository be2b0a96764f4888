//! actix-web with one worker.

use std::time::Duration;

use actix_web::{App, HttpServer, get, web};

#[get("/{name}")]
async fn greet(name: web::Path<String>) -> String {
    format!("Hello, {name}!\n")
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-actix PORT")?.parse()?;
    let server = HttpServer::new(|| App::new().service(greet));
    let server = server.keep_alive(Duration::from_secs(600));
    server.workers(1).max_connections(200_000).bind(("127.0.0.1", port))?.run().await?;
    Ok(())
}
