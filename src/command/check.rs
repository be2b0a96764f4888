//! `helloop check`: one question to a server, for health checks where there is no shell and no curl.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::mpsc::channel;
use std::thread;

use clap::Args;
use url::Url;

use super::units::PositiveSpan;
use crate::command::run::complain;

const AFTER_HELP: &str = "\
Any status from 200 to 299 will do. Redirects are not followed, and nothing is repeated: whoever runs
health checks does so.

Examples:
  helloop check http://127.0.0.1:9090/ready
  helloop check unix:/run/helloop/admin.sock:/ready
  HEALTHCHECK CMD [\"/helloop\", \"check\", \"http://127.0.0.1:9090/ready\"]

Exit codes:
  0  it answered that all is well
  1  it did not
  2  usage";

/// Bytes of an answer that are looked at: enough for a head, and a body that says why.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Ask a server whether it is well: an exit code for HEALTHCHECK, probes and scripts
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// An http URL, or `unix:PATH` or `unix:PATH:/TARGET` for a server on a Unix socket
    #[arg(value_name = "URL")]
    place: Place,

    /// The whole answer must be there after this time
    #[arg(long, value_name = "DURATION", default_value = "2s")]
    timeout: PositiveSpan,
}

/// Whom to ask for what.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Tcp { host: String, port: u16, authority: String, target: String },
    Unix { path: PathBuf, target: String },
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        if let Some(rest) = text.strip_prefix("unix:") {
            let (path, target) = match rest.split_once(":/") {
                Some((path, target)) => (path, format!("/{target}")),
                None => (rest, "/".to_owned()),
            };
            let is_target = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
            return match path.is_empty() || !is_target {
                true => Err("unix:PATH or unix:PATH:/TARGET was expected".into()),
                false => Ok(Place::Unix { path: path.into(), target }),
            };
        }
        let url = Url::parse(text).map_err(|error| {
            format!("{error} (http://HOST:PORT/PATH or unix:PATH was expected)")
        })?;
        let bare_ip = |host: url::Host<&str>| match host {
            url::Host::Ipv6(ip) => ip.to_string(),
            host => host.to_string(),
        };
        match (url.scheme(), url.host(), url.port_or_known_default()) {
            ("http", Some(host), Some(port)) if url.username().is_empty() => Ok(Place::Tcp {
                authority: format!("{host}:{port}"),
                host: bare_ip(host),
                port,
                target: url[url::Position::BeforePath..url::Position::AfterQuery].to_owned(),
            }),
            ("http", ..) => Err("a host was expected, and no user: http://HOST:PORT/PATH".into()),
            (scheme, ..) => Err(format!("{scheme} is not spoken here: http, or unix:PATH")),
        }
    }
}

/// Runs the subcommand.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    let (sender, verdict) = channel();
    let place = arguments.place.clone();
    // A thread of its own: looking up a name, too, must not take longer than the time that there is.
    let asking = thread::Builder::new().spawn(move || sender.send(ask(&place)));
    let verdict = asking.map_err(|error| error.to_string()).and_then(|_| {
        let late = format!("no answer within {}", arguments.timeout);
        verdict.recv_timeout(arguments.timeout.0).unwrap_or(Err(late))
    });
    match verdict {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            complain(format_args!("{text}"));
            ExitCode::FAILURE
        }
    }
}

/// # Errors
/// When it does not answer, or not with a 2xx: a sentence.
fn ask(place: &Place) -> Result<(), String> {
    match place {
        Place::Unix { path, target } => {
            let stream = UnixStream::connect(path)
                .map_err(|error| format!("cannot connect to {}: {error}", path.display()))?;
            converse(stream, "localhost", target)
        }
        Place::Tcp { host, port, authority, target } => {
            let addresses = (host.as_str(), *port)
                .to_socket_addrs()
                .map_err(|error| format!("cannot resolve {host}: {error}"))?;
            let mut refused = io::Error::other("the name has no address");
            for address in addresses {
                match TcpStream::connect(address) {
                    Ok(stream) => return converse(stream, authority, target),
                    Err(error) => refused = error,
                }
            }
            Err(format!("cannot connect to {authority}: {refused}"))
        }
    }
}

fn converse(mut stream: impl Read + Write, authority: &str, target: &str) -> Result<(), String> {
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: helloop-check/{}\r\n\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let mut answer = Vec::new();
    let heard = stream
        .write_all(request.as_bytes())
        .and_then(|()| stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer));
    judge(&String::from_utf8_lossy(&answer)).unwrap_or_else(|| match heard {
        Err(error) => Err(format!("no answer: {error}")),
        Ok(_) if answer.is_empty() => Err("the server closed without an answer".into()),
        Ok(_) => Err("what answers does not speak HTTP/1".into()),
    })
}

/// `None`: it is no answer.
fn judge(answer: &str) -> Option<Result<(), String>> {
    let (line, rest) = answer.split_once("\r\n")?;
    let status = line.strip_prefix("HTTP/1.")?.get(1..)?.trim_start();
    let code: u16 = status.get(..3)?.parse().ok()?;
    if (200..300).contains(&code) {
        return Some(Ok(()));
    }
    let body = rest.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let why = body.lines().next().unwrap_or_default();
    let separator = if why.is_empty() { "" } else { ": " };
    Some(Err(format!("the answer is {status}{separator}{why}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_url_or_a_socket() {
        let tcp = |text: &str| match text.parse() {
            Ok(Place::Tcp { host, port, authority, target }) => (host, port, authority, target),
            other => panic!("{text}: {other:?}"),
        };
        let all = |host: &str, port, authority: &str, target: &str| {
            (host.to_owned(), port, authority.to_owned(), target.to_owned())
        };
        assert_eq!(tcp("http://h"), all("h", 80, "h:80", "/"));
        assert_eq!(tcp("http://[::1]:9/a?b#c"), all("::1", 9, "[::1]:9", "/a?b"));
        let unix = |path: &str, target: &str| {
            Ok(Place::Unix { path: path.into(), target: target.to_owned() })
        };
        assert_eq!("unix:/run/a.sock".parse(), unix("/run/a.sock", "/"));
        assert_eq!("unix:a.sock:/ready?x".parse(), unix("a.sock", "/ready?x"));
        for wrong in
            ["localhost:80", "https://h/", "http://", "unix:", "unix:a:/b c", "http://u@h/"]
        {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn success_is_2xx_and_nothing_else() {
        assert_eq!(judge("HTTP/1.1 200 OK\r\n\r\n"), Some(Ok(())));
        assert_eq!(judge("HTTP/1.0 204\r\n\r\n"), Some(Ok(())));
        let refused = judge("HTTP/1.1 503 Service Unavailable\r\nA: b\r\n\r\ndraining\nx\n");
        let expected = "the answer is 503 Service Unavailable: draining";
        assert_eq!(refused, Some(Err(expected.to_owned())));
        assert!(matches!(judge("HTTP/1.1 302 Found\r\n\r\n"), Some(Err(_))));
        for nonsense in ["", "HTTP/1.1 200", "SSH-2.0-x\r\n", "HTTP/1.1 2x0 \r\n"] {
            assert_eq!(judge(nonsense), None, "{nonsense:?}");
        }
    }
}
