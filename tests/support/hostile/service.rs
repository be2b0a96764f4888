use std::panic::resume_unwind;
use std::time::Duration;

use helloop::event_loop::Handle;
use helloop::http::{Request, Response};
use helloop::server::{OwnedRequest, Reply, Service, Start, coroutines, streamed_body};

use super::ask::{echo, pattern};

/// Answers at once, later, in pieces, or not at all, as the target says.
pub(super) struct Mixed;

impl Service for Mixed {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        let target = request.target();
        if let Some(bytes) = target.strip_prefix("/size/") {
            let bytes = bytes.parse().expect("the client wrote a number");
            response.body("text/plain", pattern(bytes)).expect("a good type");
            return;
        }
        match target {
            // Not `panic!`, which would print a backtrace for each of thousands.
            "/panic" => resume_unwind(Box::new("as planned")),
            "/close" => drop(response.close().text("closing\n")),
            _ => drop(response.text(echo(request.method(), target, request.body()))),
        }
    }

    fn start(&self, request: &Request<'_>, response: &mut Response, handle: &Handle) -> Start {
        let is_later = ["/later", "/pieces"].iter().any(|kind| request.target().starts_with(kind));
        if is_later {
            return coroutines(answer_later).start(request, response, handle);
        }
        self.call(request, response);
        Start::Done
    }
}

async fn answer_later(request: OwnedRequest) -> Reply {
    let handle = request.handle().clone();
    let mut words = request.target().split('/').skip(1);
    let kind = words.next().expect("a target begins with a slash");
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
    let mut response = Response::new();
    match (kind, number(), number()) {
        ("later-panic", ..) => {
            handle.sleep(Duration::from_millis(1)).await;
            resume_unwind(Box::new("as planned"))
        }
        ("pieces", Some(count), Some(bytes)) => {
            let (mut sender, receiver) = streamed_body();
            let piece = pattern(usize::try_from(bytes).expect("it is small"));
            let pause = Duration::from_micros(bytes);
            let sending = handle.clone();
            // Nobody awaits it: it goes on by itself.
            let _task = handle.spawn(async move {
                for _ in 0..count {
                    sending.sleep(pause).await;
                    if sender.send(piece.clone()).await.is_err() {
                        return;
                    }
                }
                sender.finish();
            });
            Reply::Streamed(response, receiver)
        }
        (_, millis, _) => {
            handle.sleep(Duration::from_millis(millis.unwrap_or(0))).await;
            response.text(echo(request.method(), request.target(), request.body()));
            response.into()
        }
    }
}
