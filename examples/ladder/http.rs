//! HTTP as the ladder needs it: the bytes of requests go in, the bytes of answers come out.
//!
//! There is no socket here, no clock, and nothing that waits. So all six servers share this file,
//! however they wait for their clients.

use std::io::Write;

use httparse::{EMPTY_HEADER, Request, Status};

/// A longer head is refused: what a client makes us keep must end somewhere.
const HEAD_BYTES_MAX: usize = 4096;

struct Answer {
    status: &'static str,
    body: String,
    /// The connection is closed after it.
    is_last: bool,
}

/// Answers the complete requests at the front of `input`, in order, and takes them off. The beginning
/// of one more request stays there until the rest has come.
///
/// Returns false when the connection must be closed after `output` has been sent.
pub(crate) fn answer(input: &mut Vec<u8>, output: &mut Vec<u8>) -> bool {
    let (mut taken, mut goes_on) = (0, true);
    while goes_on {
        let mut fields = [EMPTY_HEADER; 32];
        let mut request = Request::new(&mut fields);
        let answer = match request.parse(&input[taken..]) {
            Ok(Status::Complete(head_bytes)) if head_bytes <= HEAD_BYTES_MAX => {
                taken += head_bytes;
                respond(&request)
            }
            Ok(Status::Partial) if input.len() - taken <= HEAD_BYTES_MAX => break,
            Ok(_) | Err(httparse::Error::TooManyHeaders) => {
                refuse("431 Request Header Fields Too Large")
            }
            Err(_) => refuse("400 Bad Request"),
        };
        answer.write(output);
        goes_on = !answer.is_last;
    }
    input.drain(..taken);
    goes_on
}

fn respond(request: &Request<'_, '_>) -> Answer {
    let is_field = |field: &httparse::Header<'_>, name| field.name.eq_ignore_ascii_case(name);
    let fields = || request.headers.iter();
    if fields().any(|f| is_field(f, "Content-Length") || is_field(f, "Transfer-Encoding")) {
        // Bodies are not read here, and one that is not read would be taken for the next request.
        return refuse("413 Content Too Large");
    }
    if request.method != Some("GET") {
        return refuse("405 Method Not Allowed");
    }
    let name = request.path.and_then(|path| path.strip_prefix('/')).unwrap_or_default();
    let body = format!("Hello, {}!\n", if name.is_empty() { "Anonymous" } else { name });
    let says_close =
        fields().any(|f| is_field(f, "Connection") && f.value.eq_ignore_ascii_case(b"close"));
    Answer { status: "200 OK", body, is_last: says_close || request.version == Some(0) }
}

fn refuse(status: &'static str) -> Answer {
    Answer { status, body: format!("{status}\n"), is_last: true }
}

impl Answer {
    fn write(&self, output: &mut Vec<u8>) {
        let Answer { status, body, is_last } = self;
        let (length, close) = (body.len(), if *is_last { "Connection: close\r\n" } else { "" });
        write!(
            output,
            "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Length: {length}\r\n{close}\r\n{body}"
        )
        .expect("a Vec takes whatever is written to it");
    }
}
