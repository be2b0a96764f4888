//! What became of one URL, and how that is said.

use std::fmt;

use helloop::Printable;
use helloop::client::{Error, Timings};
use helloop::http::Status;

use super::address::Address;
use super::characters::Count;
use crate::command::json::Object;

/// What became of one URL.
#[derive(Debug)]
pub(super) struct Outcome {
    /// As it was given, without user name and password.
    pub(super) url: String,
    /// Requests that were tried, redirects not counted.
    pub(super) attempts: u32,
    /// `None` if no reply came.
    pub(super) reply: Option<ReplyFacts>,
    pub(super) result: Result<Body, Failure>,
}

/// The head of a reply.
#[derive(Debug)]
pub(super) struct ReplyFacts {
    /// The URL after redirects.
    pub(super) url: String,
    pub(super) status: u16,
    pub(super) timings: Timings,
}

/// A body that came whole.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// After codings were taken off.
    pub(super) bytes: u64,
    /// `None`: it is no text, because it is still coded.
    pub(super) count: Option<Count>,
    /// The codings that it has still, because a header field of the user's asked for them.
    pub(super) codings: Vec<String>,
    /// The file into which it went.
    pub(super) file: Option<String>,
}

/// Why there is no body.
#[derive(Debug)]
pub(super) enum Failure {
    Fetch(Error),
    /// `--fail`, and the status is an error.
    Status(u16),
    /// The input has no URL there.
    Input(String),
    /// The whole batch ended first.
    Cancelled,
    /// The body cannot be written.
    Disk(String),
    /// No body can be written.
    NoDirectory(String),
}

impl Outcome {
    /// Nothing was even tried.
    pub(super) fn untried(url: &Address, failure: Failure) -> Outcome {
        let url = url.shown().into_owned();
        Outcome { url, attempts: 0, reply: None, result: Err(failure) }
    }

    /// One JSON object. The members are always the same; what is not known is `null`.
    pub(super) fn json(&self) -> String {
        let mut object = Object::new();
        let reply = self.reply.as_ref();
        let body = self.result.as_ref().ok();
        let failure = self.result.as_ref().err();
        object.text("url", Some(&self.url));
        object.text("final_url", reply.map(|reply| &*reply.url));
        object.number("status", reply.map(|reply| reply.status.into()));
        object.number("bytes", body.map(|body| body.bytes));
        let count = body.and_then(|body| body.count);
        object.number("characters", count.map(|count| count.characters));
        object.number("undecodable", count.map(|count| count.undecodable));
        let codings = body.map(|body| body.codings.join(", "));
        object.text("content_encoding", codings.as_deref().filter(|codings| !codings.is_empty()));
        object.text("file", body.and_then(|body| body.file.as_deref()));
        object.number("attempts", Some(self.attempts.into()));
        object.object("timings_us", reply.map(|reply| timings(&reply.timings)));
        object.text("error", failure.map(Failure::class));
        object.text("phase", failure.and_then(Failure::phase));
        object.text("message", failure.map(Failure::to_string).as_deref());
        object.end()
    }

    /// The line of the documents' program.
    pub(super) fn text(&self) -> String {
        // A line for people, who may read it on a terminal.
        let url = Printable(&self.url);
        match &self.result {
            Ok(Body { count: Some(Count { characters, .. }), .. }) => {
                format!("Successfully fetched {url}: {characters} characters")
            }
            Ok(Body { bytes, codings, .. }) => {
                let codings = codings.join(", ");
                format!(
                    "Successfully fetched {url}: {bytes} bytes, coded as {}",
                    Printable(codings)
                )
            }
            Err(failure) => format!("Error fetching {url}: {}", Printable(failure)),
        }
    }
}

/// Whole microseconds.
fn timings(timings: &Timings) -> Object {
    let Timings { queued, resolve, connect, tls, head, body } = *timings;
    let total = timings.total();
    let known = [("resolve", resolve), ("connect", connect), ("tls", tls), ("head", head)];
    let us = |duration: std::time::Duration| u64::try_from(duration.as_micros()).ok();
    let mut object = Object::new();
    object.number("queued", us(queued));
    known.into_iter().for_each(|(name, took)| object.number(name, us(took)));
    object.number("body", body.and_then(us));
    object.number("total", us(total));
    object
}

impl Failure {
    /// For machines.
    fn class(&self) -> &'static str {
        match self {
            Failure::Fetch(error) => error.class(),
            Failure::Status(_) => "status",
            Failure::Input(_) => "input",
            Failure::Cancelled => "cancelled",
            Failure::Disk(_) | Failure::NoDirectory(_) => "disk",
        }
    }

    fn phase(&self) -> Option<&'static str> {
        match self {
            Failure::Fetch(error) => Some(error.phase().as_str()),
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Fetch(error) => write!(f, "{error}"),
            Failure::Status(code) => {
                let phrase = Status::new(*code).map_or("(no status of HTTP)", Status::phrase);
                write!(f, "{}", format!("the server answered {code:03} {phrase}").trim_end())
            }
            Failure::Input(why) | Failure::Disk(why) | Failure::NoDirectory(why) => {
                f.write_str(why)
            }
            Failure::Cancelled => f.write_str("cancelled before it was complete"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn good() -> Outcome {
        let ms = Duration::from_millis;
        let timings = Timings { head: ms(2), body: Some(ms(1)), ..Timings::default() };
        let reply = ReplyFacts { url: "http://a/b".into(), status: 200, timings };
        let count = Some(Count { characters: 14, undecodable: 1 });
        let body = Body { bytes: 15, count, file: Some("a_b".into()), ..Body::default() };
        Outcome { url: "http://a".into(), attempts: 2, reply: Some(reply), result: Ok(body) }
    }

    #[test]
    fn a_success_is_told_as_in_the_documents() {
        assert_eq!(good().text(), "Successfully fetched http://a: 14 characters");
    }

    #[test]
    fn what_is_still_coded_is_no_text() {
        let body = Body { bytes: 9, codings: vec!["a".into(), "b".into()], ..Body::default() };
        let coded = Outcome { result: Ok(body), ..good() };
        assert_eq!(coded.text(), "Successfully fetched http://a: 9 bytes, coded as a, b");
        let object = coded.json();
        let members = r#""bytes":9,"characters":null,"undecodable":null,"content_encoding":"a, b""#;
        assert!(object.contains(members), "{object}");
    }

    #[test]
    fn a_line_of_json_has_always_the_same_members() {
        assert_eq!(
            good().json(),
            r#"{"url":"http://a","final_url":"http://a/b","status":200,"bytes":15,"characters":14,"undecodable":1,"content_encoding":null,"file":"a_b","attempts":2,"timings_us":{"queued":0,"resolve":0,"connect":0,"tls":0,"head":2000,"body":1000,"total":3000},"error":null,"phase":null,"message":null}"#
        );
        let failure = Failure::Input("the line is not UTF-8".into());
        assert_eq!(
            Outcome::untried(&Address::new("\u{1b}[31mü"), failure).json(),
            r#"{"url":"\u001b[31m\u00fc","final_url":null,"status":null,"bytes":null,"characters":null,"undecodable":null,"content_encoding":null,"file":null,"attempts":0,"timings_us":null,"error":"input","phase":null,"message":"the line is not UTF-8"}"#
        );
    }

    #[test]
    fn failures_say_why_and_send_nothing_to_the_terminal() {
        let text = |failure| Outcome::untried(&Address::new("\u{1b}[31mü\n"), failure).text();
        assert_eq!(
            text(Failure::Status(404)),
            r"Error fetching \u{1b}[31mü\n: the server answered 404 Not Found"
        );
        assert!(text(Failure::Status(599)).ends_with("the server answered 599"));
        let ends = "the server answered 999 (no status of HTTP)";
        assert!(text(Failure::Status(999)).ends_with(ends));
        let disk = text(Failure::Disk("cannot write \u{1b}]0;x\u{7}: full".into()));
        assert!(disk.ends_with(r"cannot write \u{1b}]0;x\u{7}: full"), "{disk}");
    }
}
