//! Says back what it was told, for programs that test servers from outside: `cargo run --example echo`.
//!
//! ```sh
//! curl -d hello http://localhost:8080/      # hello
//! curl http://localhost:8080/echo           # the fields of the request, a line each
//! curl -b 'a=1; b=2' http://localhost:8080/cookie    # its cookies, a line each
//! ```
//!
//! Anything else is answered by `OK`.

use helloop::http::{BodyPolicy, Request, Response};
use helloop::server::{Server, Service, service, with_body_policy};

/// Longer bodies are refused before they are read.
const BODY_BYTES_MAX: u64 = 64 * 1024;

fn answer(request: &Request<'_>, response: &mut Response) {
    if request.path() == "/echo" {
        let mut seen = Vec::new();
        for (name, value) in request.headers().iter() {
            // A value may have bytes that are no UTF-8: they come back as they were.
            seen.extend([name.as_bytes(), b": ", value, b"\n"].concat());
        }
        response.body("text/plain", seen).expect("a good type");
    } else if request.path() == "/cookie" {
        let cookies =
            request.headers().iter().filter(|(name, _)| name.eq_ignore_ascii_case("cookie"));
        let mut seen = Vec::new();
        for cookie in cookies.flat_map(|(_, value)| value.split(|&byte| byte == b';')) {
            seen.extend([cookie.trim_ascii(), b"\n"].concat());
        }
        response.body("text/plain", seen).expect("a good type");
    } else if request.method() == "POST" {
        response.body("text/plain", request.body()).expect("a good type");
    } else {
        response.text("OK\n");
    }
}

/// What `main` serves.
pub(crate) fn echo() -> impl Service {
    with_body_policy(service(answer), |_| BodyPolicy::CollectAtMost(BODY_BYTES_MAX))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "localhost:8080".into());
    let server = Server::builder().bind(&address)?;
    println!("Server started at http://{}/", server.local_addrs()[0]);
    server.serve_until_signal(echo())?;
    Ok(())
}
