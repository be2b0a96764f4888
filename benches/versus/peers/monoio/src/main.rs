//! monoio (io_uring where the kernel has it, else epoll) with httparse: as bare as `bare-mio`.

use std::error::Error;
use std::io;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

thread_local! {
    static DATE: std::cell::RefCell<(String, Instant)> =
        std::cell::RefCell::new((String::new(), Instant::now()));
}

fn main() -> Result<(), Box<dyn Error>> {
    let port: u16 = std::env::args().nth(1).ok_or("usage: peer-monoio PORT")?.parse()?;
    let mut runtime = monoio::RuntimeBuilder::<monoio::FusionDriver>::new().build()?;
    runtime.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            stream.set_nodelay(true)?;
            monoio::spawn(serve(stream));
        }
    })
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut held: Vec<u8> = Vec::new();
    let (mut input, mut output): (Vec<u8>, Vec<u8>) = (Vec::with_capacity(8192), Vec::new());
    loop {
        let (read, buffer) = stream.read(input).await;
        input = buffer;
        if read? == 0 {
            return Ok(());
        }
        held.extend_from_slice(&input);
        output.clear();
        let (used, closing) = answer(&held, &mut output)?;
        held.drain(..used);
        let (written, buffer) = stream.write_all(output).await;
        output = buffer;
        written?;
        if closing {
            return Ok(());
        }
    }
}

/// Answers the complete requests in `bytes`; gives how many bytes they were, and whether one asked
/// to close.
fn answer(bytes: &[u8], output: &mut Vec<u8>) -> io::Result<(usize, bool)> {
    let (mut used, mut closing) = (0, false);
    while used < bytes.len() && !closing {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(&bytes[used..]) {
            Ok(httparse::Status::Complete(length)) => used += length,
            Ok(httparse::Status::Partial) => break,
            Err(_) => return Err(io::ErrorKind::InvalidData.into()),
        }
        closing = request.headers.iter().any(|field| {
            field.name.eq_ignore_ascii_case("connection")
                && field.value.eq_ignore_ascii_case(b"close")
        });
        let name = request.path.and_then(|path| path.strip_prefix('/')).unwrap_or_default();
        let length = "Hello, !\n".len() + name.len();
        DATE.with_borrow_mut(|(date, until)| {
            let now = Instant::now();
            if now >= *until {
                *date = httpdate::fmt_http_date(SystemTime::now());
                *until = now + Duration::from_secs(1);
            }
            write!(
                output,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\
                 Content-Length: {length}\r\nDate: {date}\r\n\r\nHello, {name}!\n"
            )
        })?;
    }
    Ok((used, closing))
}
