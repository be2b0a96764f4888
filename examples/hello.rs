//! A whole program that serves, and ends as programs should: `cargo run --example hello`, then Ctrl-C.

use helloop::server::{Server, service};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::builder().bind("localhost:0")?;
    println!("Server started at http://{}/", server.local_addrs()[0]);
    let report = server.serve_until_signal(service(|request, response| {
        response.text_of(&["You asked for ", request.path(), ".\n"]);
    }))?;
    println!("{} answered", report.requests);
    Ok(())
}
