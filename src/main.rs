//! The `helloop` command.
use helloop::{greeting::Greeting, server::Server};
fn main() {
    let server = Server::builder().bind("localhost:8080").unwrap();
    eprintln!("Server started at http://localhost:{}/", server.local_addrs()[0].port());
    println!("{:?}", server.serve(Greeting));
}
