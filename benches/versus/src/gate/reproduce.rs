//! A line for a shell that does what a case does.

use std::fmt::Write;

use super::cases::{Case, Piece};

/// How long the line leaves the connection open, so that a close by the server can be seen.
const OPEN_SECONDS: u32 = 2;

/// `printf … | nc 127.0.0.1 PORT`: what the case sends. With `nc` of OpenBSD; `-N` half-closes at the
/// end of its input.
pub(super) fn line(case: &Case, port: u16) -> String {
    let mut commands: Vec<String> = case.send.iter().filter_map(command).collect();
    if !case.half_closes() {
        commands.push(format!("sleep {OPEN_SECONDS}"));
    }
    let commands = match commands.as_slice() {
        [] => "true".to_owned(),
        [one] => one.clone(),
        several => format!("{{ {}; }}", several.join("; ")),
    };
    format!("{commands} | nc -N 127.0.0.1 {port}")
}

fn command(piece: &Piece) -> Option<String> {
    match piece {
        Piece::Bytes { bytes, times: 1 } => Some(format!("printf '{}'", escaped(bytes))),
        Piece::Bytes { bytes, times } => match bytes.as_slice() {
            [one] => Some(format!("head -c {times} /dev/zero | tr '\\0' '{}'", escaped(&[*one]))),
            _ => Some(format!("for _ in $(seq {times}); do printf '{}'; done", escaped(bytes))),
        },
        Piece::Wait(time) => Some(format!("sleep {}", time.as_secs_f64())),
        Piece::Answers(_) => Some("sleep 0.1".to_owned()),
        Piece::End => None,
    }
}

/// For printf in any shell: octal numbers are what all of them know.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            b'\\' => text.push_str("\\\\"),
            b'%' => text.push_str("%%"),
            b'\'' => text.push_str("\\047"),
            b' '..=b'~' => text.push(byte.into()),
            _ => write!(text, "\\{byte:03o}").expect("a String takes everything"),
        }
    }
    text
}
