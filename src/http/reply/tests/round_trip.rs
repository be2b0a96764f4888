//! What our client asks, our server answers; what it answers, our client reads.

use crate::http::*;
use crate::limits::{Limits, ReplyLimits};

/// Says what was asked.
fn echo(request: &Request<'_>, response: &mut Response) {
    let body = String::from_utf8_lossy(request.body());
    let host = request.headers().text("Host").unwrap_or("nobody");
    response.text(format_args!("{} {host}{} [{body}]", request.method(), request.target()));
    if request.path() == "/empty" {
        response.status(Status::NO_CONTENT);
    }
}

/// Asks `ask` with `body` on `server`: status, content, and whether the connection can be reused.
fn ask(server: &mut Exchange, ask: &Ask, body: &[u8]) -> (Status, String, bool) {
    let (mut request, mut output) = (Vec::new(), Vec::new());
    ask.encode(&mut request);
    request.extend_from_slice(body);
    let (mut response, mut room) = (Response::new(), Room::new(None));
    let (mut input, limits) = (&request[..], Limits::default());
    let mut found = server.next(&mut input, false, &limits, &mut room);
    if let Found::Body(announced) = found {
        let policy = BodyPolicy::Collect;
        found = server.receive(announced, policy, &mut input, false, &limits, &mut output);
    }
    let Found::Request(asked) = found else { panic!("{found:?}") };
    echo(asked.request(), &mut response);
    let date = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    let terms = Terms { date, is_draining: false, requests_max: None };
    let closes = server.answer(asked, &response, &terms, &mut output).closes;

    let (mut reply, mut status, mut content) = (ask.reply(ReplyLimits::default()), None, vec![]);
    let mut input = &output[..];
    loop {
        match reply.advance(&mut input, false).expect("our server speaks HTTP") {
            ReplyEvent::Read => panic!("our server answers whole"),
            ReplyEvent::Head(head) => status = Status::new(head.status()),
            ReplyEvent::Data(data) => content.extend_from_slice(data),
            ReplyEvent::End { reusable } => {
                assert_eq!(reusable, closes.is_none(), "both know how it goes on");
                let content = String::from_utf8(content).expect("text");
                return (status.expect("a head comes first"), content, reusable);
            }
        }
    }
}

#[test]
fn several_exchanges_on_one_connection() {
    let mut server = Exchange::new();
    let new = |method, target| Ask::new(method, target, "a:80").expect("a good request");
    for (request, body, status, content) in [
        (new("GET", "/x?y"), "", Status::OK, "GET a:80/x?y []"),
        (new("HEAD", "/"), "", Status::OK, ""),
        (new("POST", "/"), "", Status::OK, "POST a:80/ []"),
        (new("PUT", "/").body_bytes(5).clone(), "hello", Status::OK, "PUT a:80/ [hello]"),
        (new("DELETE", "/empty"), "", Status::NO_CONTENT, ""),
    ] {
        let answer = ask(&mut server, &request, body.as_bytes());
        assert_eq!(answer, (status, content.to_owned(), true));
    }
    let mut last = new("GET", "/");
    assert_eq!(ask(&mut server, last.close(), b""), (Status::OK, "GET a:80/ []".into(), false));
}
