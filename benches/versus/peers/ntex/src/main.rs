//! ntex on tokio, with one worker.

use ntex::web;

#[web::get("/{name}")]
async fn greet(name: web::types::Path<String>) -> web::HttpResponse {
    let text = format!("Hello, {name}!\n");
    web::HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text)
}

#[ntex::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-ntex PORT")?.parse()?;
    let server = web::HttpServer::new(|| web::App::new().service(greet));
    // Seconds.
    let server = server.keep_alive(600);
    server.workers(1).maxconn(200_000).bind(("127.0.0.1", port))?.run().await?;
    Ok(())
}
