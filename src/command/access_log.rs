//! The formats of the access log: one line for each answer.
//!
//! What a peer sends cannot forge a line, nor send escapes to a terminal: in the NCSA formats every
//! byte that is not printable ASCII, and `"` and `\`, becomes `\xHH`; JSON has escapes of its own.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use helloop::server::Access;
use helloop::world::NO_ADDRESS;
use jiff::Timestamp;

use super::json::Object;

/// In the place of an address where the peer has none: on a Unix socket.
const UNIX_PEER: &str = "unix:";

/// Which lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// No access log
    Off,
    /// NCSA common log format
    Common,
    /// The same with referer and user agent
    Combined,
    /// One JSON object a line
    Json,
}

/// One answer, as the log shows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    time: Timestamp,
    peer: SocketAddr,
    /// Where the peer is a trusted proxy: the client for whom it asked. Port 0: it is not known.
    client: Option<SocketAddr>,
    /// For how many answers the line stands, where only a sample has lines.
    weight: u32,
    /// `None` if the head could not be read.
    asked: Option<Asked<'a>>,
    status: u16,
    body_bytes: usize,
    service_time: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Asked<'a> {
    method: &'a str,
    target: &'a str,
    version: &'a str,
    referer: Option<&'a [u8]>,
    user_agent: Option<&'a [u8]>,
}

impl<'a> Entry<'a> {
    /// What the server reports of an answer that was made at `time`. The line stands for `weight` answers.
    pub(crate) fn new(time: Timestamp, access: &Access<'a>, weight: u32) -> Entry<'a> {
        let asked = access.request.map(|request| Asked {
            method: request.method(),
            target: request.target(),
            version: request.version().as_str(),
            referer: request.headers().get("referer"),
            user_agent: request.headers().get("user-agent"),
        });
        Entry {
            time,
            peer: plain(access.peer),
            client: access.client(),
            weight,
            asked,
            status: access.status.code(),
            body_bytes: access.body_bytes,
            service_time: access.service_time,
        }
    }

    /// Appends the line, its end included.
    pub(crate) fn write(&self, format: Format, line: &mut String) {
        match format {
            Format::Off => return,
            Format::Common => self.write_common(line),
            Format::Combined => {
                self.write_common(line);
                self.write_agent(line);
            }
            Format::Json => self.write_json(line),
        }
        line.push('\n');
    }

    /// `host ident user [time] "request" status bytes`. The host is the client's, where it is known. There is no identification;
    /// no bytes are `-`.
    fn write_common(&self, line: &mut String) {
        let time = self.time.strftime("%d/%b/%Y:%H:%M:%S +0000");
        match self.client.unwrap_or(self.peer) {
            NO_ADDRESS => line.push_str(UNIX_PEER),
            host => push(line, format_args!("{}", host.ip())),
        }
        push(line, format_args!(" - - [{time}] \""));
        match self.asked {
            None => line.push('-'),
            Some(Asked { method, target, version, .. }) => {
                for (separator, part) in [("", method), (" ", target), (" ", version)] {
                    line.push_str(separator);
                    push_escaped(line, part.as_bytes());
                }
            }
        }
        push(line, format_args!("\" {} ", self.status));
        match self.body_bytes {
            0 => line.push('-'),
            bytes => push(line, format_args!("{bytes}")),
        }
    }

    /// `"referer" "user agent"`.
    fn write_agent(&self, line: &mut String) {
        for value in [self.asked.and_then(|a| a.referer), self.asked.and_then(|a| a.user_agent)] {
            line.push_str(" \"");
            push_escaped(line, value.unwrap_or(b"-"));
            line.push('"');
        }
    }

    fn write_json(&self, line: &mut String) {
        let asked = self.asked;
        let mut object = Object::new();
        object.text("time", Some(&format!("{:.3}", self.time)));
        match self.peer {
            NO_ADDRESS => object.text("peer", Some(UNIX_PEER)),
            peer => object.text("peer", Some(&peer.to_string())),
        }
        object.text("client", self.client.map(|client| client.ip().to_string()).as_deref());
        let port = self.client.map(|client| client.port()).filter(|port| *port != 0);
        object.number("client_port", port.map(u64::from));
        object.text("method", asked.map(|a| a.method));
        object.text("target", asked.map(|a| a.target));
        object.text("version", asked.map(|a| a.version));
        object.number("status", Some(self.status.into()));
        object.number("weight", Some(self.weight.into()));
        object.number("bytes", Some(self.body_bytes as u64));
        object.number("service_us", u64::try_from(self.service_time.as_micros()).ok());
        object.bytes("referer", asked.and_then(|a| a.referer));
        object.bytes("user_agent", asked.and_then(|a| a.user_agent));
        line.push_str(&object.end());
    }
}

/// An IPv4 peer of a dual-stack socket as IPv4.
fn plain(peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(peer.ip().to_canonical(), peer.port())
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a String takes everything");
}

fn push_escaped(line: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b' '..=b'~' if !matches!(byte, b'"' | b'\\') => line.push(char::from(byte)),
            _ => push(line, format_args!("\\x{byte:02x}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked<'static> {
        Asked {
            method: "GET",
            target: "/World",
            version: "HTTP/1.1",
            referer: None,
            user_agent: Some(b"curl/8.5.0"),
        }
    }

    fn line(format: Format, asked: Option<Asked<'_>>) -> String {
        let entry = Entry {
            time: "2026-11-21T07:05:41.123456Z".parse().unwrap(),
            client: None,
            weight: 1,
            peer: plain("[::ffff:192.0.2.7]:54321".parse().unwrap()),
            asked,
            status: if asked.is_some() { 200 } else { 400 },
            body_bytes: 14,
            service_time: Duration::from_micros(3),
        };
        let mut line = String::new();
        entry.write(format, &mut line);
        line
    }

    #[test]
    fn common_is_ncsa_s() {
        assert_eq!(
            line(Format::Common, Some(asked())),
            "192.0.2.7 - - [21/Nov/2026:07:05:41 +0000] \"GET /World HTTP/1.1\" 200 14\n"
        );
        assert!(line(Format::Common, None).contains("] \"-\" 400 14\n"));
    }

    /// Lines of two formats for what a peer on a Unix socket has asked.
    fn lines_of_unix_peer(client: Option<&str>, weight: u32) -> String {
        let entry = Entry {
            time: "2026-11-21T07:05:41.123456Z".parse().unwrap(),
            client: client.map(|client| client.parse().unwrap()),
            weight,
            peer: plain(NO_ADDRESS),
            asked: None,
            status: 400,
            body_bytes: 0,
            service_time: Duration::ZERO,
        };
        let mut lines = String::new();
        entry.write(Format::Common, &mut lines);
        entry.write(Format::Json, &mut lines);
        lines
    }

    #[test]
    fn a_peer_on_a_unix_socket_has_no_address() {
        let lines = lines_of_unix_peer(None, 1);
        assert!(lines.starts_with("unix: - - ["), "{lines}");
        assert!(lines.contains("\"peer\":\"unix:\""), "{lines}");
    }

    #[test]
    fn a_client_that_is_known_stands_in_the_place_of_its_proxy() {
        let lines = lines_of_unix_peer(Some("192.0.2.9:50000"), 10);
        assert!(lines.starts_with("192.0.2.9 - - ["), "{lines}");
        let members = "\"peer\":\"unix:\",\"client\":\"192.0.2.9\",\"client_port\":50000,";
        assert!(lines.contains(members) && lines.contains("\"weight\":10,"), "{lines}");
    }

    #[test]
    fn combined_adds_referer_and_user_agent() {
        assert!(line(Format::Combined, Some(asked())).ends_with(" 200 14 \"-\" \"curl/8.5.0\"\n"));
        assert!(line(Format::Combined, None).ends_with(" 400 14 \"-\" \"-\"\n"));
    }

    #[test]
    fn json_is_an_object_with_every_member() {
        assert_eq!(
            line(Format::Json, Some(asked())),
            "{\"time\":\"2026-11-21T07:05:41.123Z\",\"peer\":\"192.0.2.7:54321\",\
             \"client\":null,\"client_port\":null,\"method\":\"GET\",\"target\":\"/World\",\"version\":\"HTTP/1.1\",\
             \"status\":200,\"weight\":1,\"bytes\":14,\"service_us\":3,\
             \"referer\":null,\"user_agent\":\"curl/8.5.0\"}\n"
        );
        let malformed: serde_json::Value = serde_json::from_str(&line(Format::Json, None)).unwrap();
        assert!(malformed["method"].is_null() && malformed["status"] == 400);
    }

    #[test]
    fn nothing_is_written_when_it_is_off() {
        assert_eq!(line(Format::Off, Some(asked())), "");
    }

    #[test]
    fn a_peer_cannot_forge_a_line() {
        let hostile: Vec<u8> = (0..=255).collect();
        let asked =
            Asked { referer: Some(b"\"\\\r\n\x1b[2J"), user_agent: Some(&hostile), ..asked() };
        for format in [Format::Common, Format::Combined, Format::Json] {
            let line = line(format, Some(asked));
            let body = line.strip_suffix('\n').unwrap();
            assert!(body.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{body}");
        }
        let combined = line(Format::Combined, Some(asked));
        assert!(combined.contains("\"\\x22\\x5c\\x0d\\x0a\\x1b[2J\""), "{combined}");
        assert_eq!(combined.matches('"').count(), 6);
        let json: serde_json::Value =
            serde_json::from_str(&line(Format::Json, Some(asked))).unwrap();
        assert_eq!(json["referer"], "\"\\\r\n\u{1b}[2J");
    }
}
