//! One URL: its fetch, its retries, its body.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use helloop::Printable;
use helloop::client::{Client, Error, Reply};
use helloop::event_loop::Handle;

use super::characters::Characters;
use super::outcome::{Body, Failure, Outcome, ReplyFacts};
use super::retry::Prospect;
use super::schedule::Job;
use super::store::{NotWritten, Store};

/// The statuses of answers that are no errors. What is below or above the statuses of HTTP is an error
/// of the server (RFC 9110 section 15).
const NO_ERRORS: Range<u16> = 100..400;

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

/// What an attempt came to.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) next: Next,
    /// The URL of a server that asked to be left alone, and for how long.
    pub(super) wish: Option<(String, Duration)>,
}

#[derive(Debug)]
pub(super) enum Next {
    /// Nothing more will be tried.
    Nothing(Outcome),
    /// It is to be tried again after a pause, during which it takes no place.
    Again(Job, Duration),
}

impl Worker {
    /// Tries to fetch one URL.
    pub(super) async fn fetch(&self, job: Job) -> Attempt {
        let (reply, result, prospect) = self.attempt(&job).await;
        let may_retry = job.attempts <= self.retries_max;
        let pause = prospect.pause(job.attempts, fastrand::f64()).filter(|_| may_retry);
        let wish = prospect.wish().filter(|_| self.retries_max > 0);
        let wish = reply.as_ref().zip(wish).map(|(reply, wish)| (reply.url.clone(), wish));
        let next = match pause {
            None => {
                let url = job.url.shown().into_owned();
                Next::Nothing(Outcome { url, attempts: job.attempts, reply, result })
            }
            Some(pause) => {
                let (url, attempts) = (Printable(job.url.shown()), job.attempts);
                log::debug!("{url}: attempt {attempts} failed, the next in {pause:?}");
                Next::Again(job, pause)
            }
        };
        Attempt { next, wish }
    }

    async fn attempt(&self, job: &Job) -> (Option<ReplyFacts>, Result<Body, Failure>, Prospect) {
        let mut reply = match self.send(job.url.with_credentials()).await {
            Ok(reply) => reply,
            Err(error) => {
                let prospect = Prospect::of_error(error.kind());
                return (None, Err(Failure::Fetch(error)), prospect);
            }
        };
        let status = reply.status();
        let retry_after = reply.headers().text("Retry-After");
        let mut prospect = Prospect::of_status(status, retry_after, SystemTime::now());
        let result = if self.refuses_errors && !NO_ERRORS.contains(&status) {
            Err(Failure::Status(status))
        } else {
            self.body(job, &mut reply).await
        };
        if let Err(Failure::Fetch(error)) = &result
            && prospect.wish().is_none()
        {
            prospect = Prospect::of_error(error.kind());
        }
        let (url, timings) = (reply.url().to_owned(), reply.timings());
        (Some(ReplyFacts { url, status, timings }), result, prospect)
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
                part.write(&piece).await.map_err(|why| cannot_write(job, &why))?;
            }
        }
        if let Some(part) = part {
            part.finish().await.map_err(|why| cannot_write(job, &why))?;
        }
        let file = self.store.as_ref().and(job.file.clone());
        Ok(Body { bytes, count: characters.map(Characters::finish), codings, file })
    }
}

fn cannot_write(job: &Job, why: &NotWritten) -> Failure {
    let name = job.file.as_deref().unwrap_or_default();
    match why {
        NotWritten::This(error) => Failure::Disk(format!("cannot write {name}: {error}")),
        NotWritten::Any(error) => Failure::NoDirectory(format!("cannot write {name}: {error}")),
    }
}
