//! What `helloop serve` answers: the greeting, or what `--text`, `--header` and `--status` make of it.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use helloop::greeting::Greeting;
use helloop::http::{BodyPolicy, HeaderError, Request, Response, Status, decode_segment};
use helloop::server::Service;

/// The name where the path has none, as in the greeting.
const NOBODY: &str = "Anonymous";

/// What stands for the name in a text.
const NAME: &str = "{name}";

/// The content as typed.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Content")]
pub(crate) struct ContentArguments {
    /// Answer with this text instead of `Hello, {name}!\n`.
    ///
    /// `{name}` stands for the name in the path; without it, every path is answered so. `\n`, `\t`,
    /// `\\` and `\{` are a line feed, a tabulator, a backslash and a brace. The type is text/plain,
    /// unless a --header says something else.
    #[arg(long, env = "HELLOOP_TEXT", value_name = "TEXT")]
    text: Option<Text>,

    /// Add this field to the answer; may be repeated, in the variable with a line for each
    #[arg(
        long = "header",
        env = "HELLOOP_HEADER",
        value_name = "NAME: VALUE",
        value_delimiter = '\n'
    )]
    headers: Vec<Field>,

    /// Answer with this status instead of 200
    #[arg(long, env = "HELLOOP_STATUS", value_name = "200..599")]
    status: Option<FinalStatus>,

    /// Answer here, on the port of the greetings, whether the server is ready: 200, or 503 once it drains.
    ///
    /// For balancers that can ask nowhere else; --admin has more. Such answers are not in the access log.
    #[arg(long, env = "HELLOOP_HEALTH_PATH", value_name = "PATH")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    health_path: Option<String>,
}

/// A text with places for the name: the name stands between each two parts.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Text(Vec<String>);

/// A header field that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    name: String,
    value: String,
}

/// A status that can end an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FinalStatus(Status);

impl FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Text, String> {
        let mut parts = vec![String::new()];
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let part = parts.last_mut().expect("there is always one");
            if let Some(after) = rest.strip_prefix(NAME) {
                parts.push(String::new());
                rest = after;
                continue;
            }
            rest = &rest[first.len_utf8()..];
            if first != '\\' {
                part.push(first);
                continue;
            }
            let escaped = rest.chars().next();
            part.push(match escaped {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(character @ ('\\' | '{')) => character,
                _ => {
                    let what = escaped.map_or_else(|| "\\ at its end".into(), |c| format!("\\{c}"));
                    return Err(format!("{what} means nothing: \\n, \\t, \\\\ and \\{{ do"));
                }
            });
            rest = &rest[1..];
        }
        Ok(Text(parts))
    }
}

impl FromStr for Field {
    type Err = String;

    fn from_str(text: &str) -> Result<Field, String> {
        let (name, value) = text
            .split_once(':')
            .ok_or("a field looks like `Cache-Control: no-store`; there is no colon")?;
        let explain = |error: HeaderError| match error {
            HeaderError::Reserved => format!("{name}: {error}, which writes it by itself"),
            error => error.to_string(),
        };
        Response::new().header(name, value).map_err(explain)?;
        Ok(Field { name: name.into(), value: value.into() })
    }
}

impl FromStr for FinalStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<FinalStatus, String> {
        let code = text.parse().ok().filter(|code| (200..=599).contains(code));
        let status = code.filter(|_| text.len() == 3).and_then(Status::new);
        status.map(FinalStatus).ok_or_else(|| "a number from 200 to 599 was expected".into())
    }
}

impl ContentArguments {
    /// What was typed means this content. `is_ending` is set once the server drains.
    ///
    /// # Errors
    /// When the path is none; the text names the flag.
    pub(crate) fn content(&self, is_ending: &Arc<AtomicBool>) -> Result<Content, String> {
        let health = self.health_path.as_ref().map(|path| {
            // As the target of a request: what cannot be asked for is a mistake.
            match Request::new("GET", path) {
                Ok(request) if request.path() == path && path.starts_with('/') => {
                    Ok(Health { path: path.clone(), is_ending: Arc::clone(is_ending) })
                }
                _ => {
                    Err(format!("--health-path is `{path}`: a path was expected, such as /healthz"))
                }
            }
        });
        let health = health.transpose()?;
        let is_plain = self.text.is_none() && self.headers.is_empty() && self.status.is_none();
        let own = (!is_plain).then(|| Own {
            text: self.text.clone(),
            fields: self.headers.clone(),
            status: self.status.map_or(Status::OK, |status| status.0),
        });
        Ok(Content {
            special: (own.is_some() || health.is_some()).then(|| Arc::new((own, health))),
        })
    }

    pub(crate) fn health_path(&self) -> Option<&str> {
        self.health_path.as_deref()
    }
}

/// The service. A clone says the same.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// `None`: the greeting, and nothing else.
    special: Option<Arc<(Option<Own>, Option<Health>)>>,
}

/// What stands in the place of the greeting.
#[derive(Debug)]
struct Own {
    text: Option<Text>,
    fields: Vec<Field>,
    status: Status,
}

/// Whether the server is ready.
#[derive(Debug)]
struct Health {
    path: String,
    is_ending: Arc<AtomicBool>,
}

impl Service for Content {
    fn call(&self, request: &Request<'_>, response: &mut Response) {
        let Some(special) = &self.special else { return Greeting.call(request, response) };
        let (own, health) = &**special;
        let is_safe = matches!(request.method(), "GET" | "HEAD");
        if let Some(health) = health.as_ref().filter(|health| health.path == request.path())
            && is_safe
        {
            return say_whether_ready(health.is_ending.load(Ordering::Relaxed), response);
        }
        let Some(own) = own else { return Greeting.call(request, response) };
        let is_for_all = own.text.as_ref().is_some_and(Text::is_the_same_for_all);
        if !(is_for_all && is_safe) {
            Greeting.call(request, response);
            if response.current_status() != Status::OK {
                return;
            }
        }
        own.answer(request.path(), response);
    }

    fn body_policy(&self, request: &Request<'_>) -> BodyPolicy {
        Greeting.body_policy(request)
    }
}

/// `ready`, or 503 and `draining`.
pub(crate) fn say_whether_ready(is_ending: bool, response: &mut Response) {
    response.header("Cache-Control", "no-store").expect("a good field");
    match is_ending {
        false => response.text_of(&["ready\n"]),
        true => response.status(Status::SERVICE_UNAVAILABLE).text_of(&["draining\n"]),
    };
}

impl Own {
    /// `path` has been greeted, or could be anything.
    fn answer(&self, path: &str, response: &mut Response) {
        response.status(self.status);
        if let Some(text) = &self.text {
            text.put(path, response);
        }
        for Field { name, value } in &self.fields {
            response.header(name, value).expect("it was checked");
        }
    }
}

impl Text {
    fn is_the_same_for_all(&self) -> bool {
        self.0.len() == 1
    }

    fn put(&self, path: &str, response: &mut Response) {
        if let [only] = &self.0[..] {
            response.text_of(&[only]);
            return;
        }
        let name = decode_segment(path.trim_start_matches('/')).expect("it was greeted");
        let name: &str = if name.is_empty() { NOBODY } else { &name };
        let parts = self.0.iter().enumerate();
        let parts: Vec<&str> =
            parts.flat_map(|(n, part)| if n == 0 { ["", part] } else { [name, part] }).collect();
        response.text_of(&parts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        arguments: ContentArguments,
    }

    fn content(flags: &[&str]) -> Content {
        let typed = [&["test"], flags].concat();
        Only::try_parse_from(typed).unwrap().arguments.content(&Arc::default()).unwrap()
    }

    fn answer(content: &Content, method: &str, target: &str) -> (u16, String) {
        let mut response = Response::new();
        content.call(&Request::new(method, target).unwrap(), &mut response);
        let body = String::from_utf8(response.current_body().to_vec()).unwrap();
        (response.current_status().code(), body)
    }

    #[test]
    fn a_text_names_who_is_greeted() {
        let content = content(&["--text", r"{name}, {name}: \{name} \\ {x}\n"]);
        let expected = "J\u{fc}rgen, J\u{fc}rgen: {name} \\ {x}\n".to_owned();
        assert_eq!(answer(&content, "GET", "/J%C3%BCrgen"), (200, expected));
        assert!(answer(&content, "GET", "/").1.starts_with("Anonymous, "));
        assert_eq!(answer(&content, "GET", "/a/b").0, 404);
        assert_eq!(answer(&content, "GET", "/%zz").0, 400);
        assert_eq!(answer(&content, "POST", "/a").0, 405);
    }

    #[test]
    fn a_text_without_a_name_is_for_every_path() {
        let content = content(&["--text", "ok", "--status", "418"]);
        for target in ["/", "/a", "/a/b", "/%zz", "/?x"] {
            assert_eq!(answer(&content, "GET", target), (418, "ok".into()), "{target}");
        }
        assert_eq!(answer(&content, "DELETE", "/a").0, 405);
    }

    #[test]
    fn without_a_text_the_greeting_has_the_status_and_the_fields() {
        let content = content(&["--status=503", "--header=Retry-After: 5", "--header", "X:"]);
        assert_eq!(answer(&content, "GET", "/World"), (503, "Hello, World!\n".into()));
        let mut response = Response::new();
        content.call(&Request::new("GET", "/World").unwrap(), &mut response);
        let mut expected = Response::new();
        expected.header("Retry-After", "5").unwrap().header("X", "").unwrap();
        expected.status(Status::SERVICE_UNAVAILABLE).text("Hello, World!\n");
        assert_eq!(format!("{response:?}"), format!("{expected:?}"));
        assert_eq!(answer(&content, "GET", "/a/b").0, 404, "an error keeps its status");
    }

    #[test]
    fn bad_values_are_explained() {
        let text = |text: &str| text.parse::<Text>().unwrap_err();
        assert!(text(r"a\d").starts_with(r"\d means nothing"));
        assert!(text(r"\").starts_with(r"\ at its end"));
        let field = |text: &str| text.parse::<Field>().unwrap_err();
        assert!(field("no-store").contains("no colon"));
        assert!(field("Date: now").contains("belongs to the connection"));
        assert!(field("A b: c").contains("not a token"));
        assert!(field("A: b\nC: d").contains("control character"));
        for code in ["100", "199", "600", "+20", "0200", "ok", ""] {
            assert!(code.parse::<FinalStatus>().is_err(), "{code}");
        }
        for path in ["healthz", "*", "/a b", "/a?b", "http://h/a"] {
            let typed = Only::try_parse_from(["test", "--health-path", path]).unwrap();
            let error = typed.arguments.content(&Arc::default()).unwrap_err();
            assert!(error.contains("--health-path") && error.contains(path), "{error}");
        }
    }

    #[test]
    fn readiness_has_a_path_of_its_own() {
        let is_ending = Arc::<AtomicBool>::default();
        let typed = Only::try_parse_from(["test", "--health-path=/healthz"]).unwrap();
        let content = typed.arguments.content(&is_ending).unwrap();
        assert_eq!(answer(&content, "GET", "/healthz?x"), (200, "ready\n".into()));
        assert_eq!(answer(&content, "GET", "/World"), (200, "Hello, World!\n".into()));
        is_ending.store(true, Ordering::Relaxed);
        assert_eq!(answer(&content, "GET", "/healthz"), (503, "draining\n".into()));
        assert_eq!(answer(&content, "GET", "/World").0, 200);
    }
}
