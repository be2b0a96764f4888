//! may_minihttp with one worker.

use std::error::Error;
use std::io::{self, Write};

use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Greeting;

impl HttpService for Greeting {
    fn call(
        &mut self,
        request: Request<'_, '_, '_>,
        response: &mut Response<'_>,
    ) -> io::Result<()> {
        let name = request.path().strip_prefix('/').unwrap_or_default().to_owned();
        response.header("Content-Type: text/plain; charset=utf-8");
        writeln!(BodyWriter(response), "Hello, {name}!")
    }
}

struct BodyWriter<'a, 'b>(&'a mut Response<'b>);

impl Write for BodyWriter<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.body_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-may_minihttp PORT")?.parse()?;
    may::config().set_workers(1);
    let server = HttpServer(Greeting).start(("127.0.0.1", port))?;
    server.join().map_err(|_| "the server panicked")?;
    Ok(())
}
