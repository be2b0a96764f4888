//! One URL: its fetch, its retries, its body.

use std::time::{Duration, SystemTime};

use helloop::Printable;
use helloop::client::{Client, Error, Reply};
use helloop::event_loop::Handle;

use super::characters::Characters;
use super::outcome::{Body, Failure, Outcome, ReplyFacts};
use super::retry::Prospect;
use super::schedule::Job;
use super::store::Store;

/// From this status on, an answer is an error (RFC 9110 section 15).
const ERRORS_FROM: u16 = 400;

/// What all fetches of a batch have in common.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) handle: Handle,
    pub(super) client: Client,
    pub(super) is_head: bool,
    /// Header fields of every request.
    pub(super) headers: Vec<(String, String)>,
    /// An error status is a failure.
    pub(super) refuses_errors: bool,
    /// Tries after the first.
    pub(super) retries_max: u32,
    /// Where bodies go; `None`: they are only counted.
    pub(super) store: Option<Store>,
}

/// What one attempt gave.
struct Attempt {
    reply: Option<ReplyFacts>,
    result: Result<Body, Failure>,
    prospect: Prospect,
}

impl Worker {
    /// Fetches one URL, as often as it takes and as may be.
    pub(super) async fn fetch(&self, job: Job) -> Outcome {
        let mut attempts = 1;
        loop {
            let Attempt { reply, result, prospect } = self.attempt(&job).await;
            let pause = prospect.pause(attempts, fastrand::f64());
            match pause.filter(|_| attempts <= self.retries_max) {
                None => return Outcome { url: job.url, attempts, reply, result },
                Some(pause) => self.pause(&job, attempts, pause).await,
            }
            attempts += 1;
        }
    }

    async fn pause(&self, job: &Job, attempts: u32, pause: Duration) {
        log::debug!("{}: attempt {attempts} failed, the next in {pause:?}", Printable(&job.url));
        self.handle.sleep(pause).await;
    }

    async fn attempt(&self, job: &Job) -> Attempt {
        let mut reply = match self.send(&job.url).await {
            Ok(reply) => reply,
            Err(error) => {
                let prospect = Prospect::of_error(error.kind());
                return Attempt { reply: None, result: Err(Failure::Fetch(error)), prospect };
            }
        };
        let status = reply.status();
        let retry_after = reply.headers().text("Retry-After");
        let mut prospect = Prospect::of_status(status, retry_after, SystemTime::now());
        let result = if self.refuses_errors && status >= ERRORS_FROM {
            Err(Failure::Status(status))
        } else {
            self.body(job, &mut reply).await
        };
        if let Err(Failure::Fetch(error)) = &result {
            prospect = Prospect::of_error(error.kind());
        }
        let (url, timings) = (reply.url().to_owned(), reply.timings());
        Attempt { reply: Some(ReplyFacts { url, status, timings }), result, prospect }
    }

    async fn send(&self, url: &str) -> Result<Reply, Error> {
        let request = if self.is_head { self.client.head(url) } else { self.client.get(url) };
        let add = |request: helloop::client::RequestBuilder, (name, value): &(String, String)| {
            request.header(name, value)
        };
        self.headers.iter().fold(request, add).send().await
    }

    /// Takes the body piece by piece: however long it is, little of it is in memory.
    async fn body(&self, job: &Job, reply: &mut Reply) -> Result<Body, Failure> {
        let file = job.file.as_deref();
        let mut part = self.store.as_ref().zip(file).map(|(store, file)| store.part(file));
        let codings = reply.codings();
        let mut characters = codings.is_empty().then(|| Characters::new(reply.charset()));
        let mut bytes = 0;
        while let Some(piece) = reply.chunk().await.map_err(Failure::Fetch)? {
            bytes += piece.len() as u64;
            if let Some(characters) = &mut characters {
                characters.push(&piece);
            }
            if let Some(part) = &mut part {
                part.write(&piece).await.map_err(|error| cannot_write(job, &error))?;
            }
        }
        if let Some(part) = part {
            part.finish().await.map_err(|error| cannot_write(job, &error))?;
        }
        let file = self.store.as_ref().and(job.file.clone());
        Ok(Body { bytes, count: characters.map(Characters::finish), codings, file })
    }
}

fn cannot_write(job: &Job, error: &std::io::Error) -> Failure {
    let name = job.file.as_deref().unwrap_or_default();
    Failure::Disk(format!("cannot write {name}: {error}"))
}
