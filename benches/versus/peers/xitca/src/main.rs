//! xitca-web with one worker.

use std::time::Duration;

use xitca_web::App;
use xitca_web::handler::handler_service;
use xitca_web::handler::params::Params;
use xitca_web::route::get;

async fn greet(Params(name): Params<String>) -> String {
    format!("Hello, {name}!\n")
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-xitca PORT")?.parse()?;
    App::new()
        .at("/:name", get(handler_service(greet)))
        .serve()
        .worker_threads(1)
        .keep_alive_timeout(Duration::from_secs(600))
        .bind(("127.0.0.1", port))?
        .run()
        .wait()?;
    Ok(())
}
