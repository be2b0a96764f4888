//! The naive oracle: reads a whole input from left to right, has no states, and never waits.

use super::{End, Outcome, Setup};
use crate::http::chunked::{ChunkLimits, Decoder, Progress};
use crate::http::grammar::{is_field_value_byte, is_token};
use crate::http::{Error, ReplyError};
use crate::limits::ReplyLimits;

/// Why the oracle stopped before the end of the reply.
enum Stop {
    Incomplete(ReplyError),
    Wrong(ReplyError),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Wrong(error.into())
    }
}

/// What the reply to a request of `setup` comes to, if it is `input` and then, perhaps, the end.
pub(super) fn outcome(input: &[u8], eof: bool, setup: &Setup) -> Outcome {
    let mut outcome = Outcome { head: String::new(), body: Vec::new(), end: End::Open };
    outcome.end = match reply(input, eof, setup, &mut outcome) {
        Ok((persists, end)) => End::Complete {
            reusable: persists && !setup.closes && end == input.len() && !eof,
            surplus_bytes: input.len() - end,
        },
        Err(Stop::Incomplete(error)) if eof => End::Wrong(error),
        Err(Stop::Incomplete(_)) => End::Open,
        Err(Stop::Wrong(error)) => End::Wrong(error),
    };
    outcome
}

/// Whether [`ReplyError::Message`] says that it may hold `error`.
pub(super) fn is_documented(error: Error) -> bool {
    use Error::*;
    matches!(
        error,
        BareCr
            | BareLf
            | Folding
            | FieldName
            | FieldValue
            | TooManyFields
            | HeadTooLong
            | ContentLength
            | ContentLengthRepeated
            | LengthAndEncoding
            | EncodingInHttp10
            | TransferEncoding
            | TransferCoding
            | BodyTooLong
            | ChunkSize
            | ChunkExtension
            | ChunkLineEnd
            | ChunkDataEnd
            | ChunkOverhead
            | Trailer
            | TrailersTooLong
    )
}

/// Whether the connection persists as far as the replies say, and where the reply ends.
fn reply(
    input: &[u8],
    eof: bool,
    setup: &Setup,
    outcome: &mut Outcome,
) -> Result<(bool, usize), Stop> {
    let limits = setup.limits();
    let (mut at, mut interims, mut persists) = (0, 0, true);
    loop {
        let rest = &input[at..];
        let missing = match (rest.len(), interims) {
            (0, 0) => ReplyError::NoReply,
            (bytes, _) => ReplyError::HeadTruncated { bytes },
        };
        let length = head_length(rest, &limits)?.ok_or(Stop::Incomplete(missing))?;
        let head = Head::read(&rest[..length - 2])?;
        at += length;
        let body_is_announced = head.chunked || head.length.is_some_and(|bytes| bytes > 0);
        if (100..200).contains(&head.code) {
            if body_is_announced {
                return Err(Stop::Wrong(ReplyError::InterimBody));
            }
            if interims == limits.interims_max {
                return Err(Stop::Wrong(ReplyError::TooManyInterims));
            }
            interims += 1;
            persists &= !head.says_close;
            continue;
        }
        persists &= !head.says_close && (head.minor > 0 || head.says_keep_alive);
        persists &= head.code != 204 || !body_is_announced;
        let has_body = setup.method != "HEAD" && head.code != 204 && head.code != 304;
        if has_body && head.length.is_some_and(|bytes| bytes > limits.body_bytes_max) {
            return Err(Error::BodyTooLong.into());
        }
        outcome.head = head.text.clone();
        let body = &input[at..];
        return match (has_body, head.chunked, head.length) {
            (false, ..) => Ok((persists, at)),
            (true, true, _) => Ok((persists, at + chunks(body, &limits, &mut outcome.body)?)),
            (true, false, Some(bytes)) => {
                let here = body.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
                outcome.body = body[..here].to_vec();
                let received = here as u64;
                let truncated = ReplyError::BodyTruncated { received, announced: bytes };
                if received < bytes {
                    Err(Stop::Incomplete(truncated))
                } else {
                    Ok((persists, at + here))
                }
            }
            (true, false, None) => {
                let most = usize::try_from(limits.body_bytes_max).unwrap_or(usize::MAX);
                outcome.body = body[..body.len().min(most)].to_vec();
                match body.len() > most {
                    true => Err(Error::BodyTooLong.into()),
                    false if eof => Ok((false, input.len())),
                    false => Err(Stop::Incomplete(ReplyError::NoReply)),
                }
            }
        };
    }
}

/// The length of the head, byte by byte.
fn head_length(input: &[u8], limits: &ReplyLimits) -> Result<Option<usize>, Stop> {
    let (mut line_begin, mut lines) = (0, 0);
    for at in 0.. {
        if at == limits.head_bytes_max {
            return Err(Error::HeadTooLong.into());
        }
        let Some(byte) = input.get(at) else { break };
        let is_behind_cr = at > 0 && input[at - 1] == b'\r';
        if at < 5 && *byte != b"HTTP/"[at] {
            return Err(Stop::Wrong(ReplyError::NotHttp));
        }
        if is_behind_cr != (*byte == b'\n') {
            return Err(if is_behind_cr { Error::BareCr } else { Error::BareLf }.into());
        }
        if lines == 1 && at == line_begin && b" \t".contains(byte) {
            return Err(Error::Folding.into());
        }
        if *byte != b'\n' {
            continue;
        }
        match &input[line_begin..at - 1] {
            line if lines == 0 => _ = status_line(line).map_err(Stop::Wrong)?,
            [] => return Ok(Some(at + 1)),
            // The line before goes on.
            [b' ' | b'\t', ..] => lines -= 1,
            _ if lines > limits.fields_max => return Err(Error::TooManyFields.into()),
            _ => {}
        }
        line_begin = at + 1;
        lines += 1;
    }
    Ok(None)
}

/// The minor version and the status.
fn status_line(line: &[u8]) -> Result<(u32, u16), ReplyError> {
    let text: String = line.iter().map(|byte| char::from(*byte)).collect();
    let mut parts = text.splitn(3, ' ');
    let mut part = || parts.next().unwrap_or_default().chars().collect::<Vec<char>>();
    let (version, code) = (part(), part());
    let ['H', 'T', 'T', 'P', '/', major @ '0'..='9', '.', minor @ '0'..='9'] = version[..] else {
        return Err(ReplyError::StatusLine);
    };
    let ['0'..='9', '0'..='9', '0'..='9'] = code[..] else {
        return Err(ReplyError::StatusLine);
    };
    if major != '1' {
        return Err(ReplyError::Version);
    }
    if part().iter().any(|c| (*c < ' ' && *c != '\t') || *c == '\x7f') {
        return Err(ReplyError::ReasonPhrase);
    }
    match code.iter().collect::<String>().parse().expect("three digits") {
        101 => Err(ReplyError::Upgrade),
        code => Ok((minor.to_digit(10).expect("a digit"), code)),
    }
}

/// What a head says.
#[derive(Default)]
struct Head {
    minor: u32,
    code: u16,
    /// As in [`Outcome::head`].
    text: String,
    chunked: bool,
    length: Option<u64>,
    says_close: bool,
    says_keep_alive: bool,
}

impl Head {
    /// `head` is good line by line, apart from its fields, and without its empty line.
    fn read(head: &[u8]) -> Result<Head, Stop> {
        let mut lines = head.split(|byte| *byte == b'\n').map(|line| match line {
            [line @ .., b'\r'] => line,
            line => line,
        });
        let (minor, code) = status_line(lines.next().unwrap_or_default()).map_err(Stop::Wrong)?;
        let mut unfolded: Vec<Vec<u8>> = Vec::new();
        for line in lines.filter(|line| !line.is_empty()) {
            match unfolded.last_mut() {
                Some(before) if b" \t".contains(&line[0]) => {
                    *before = [before.trim_ascii_end(), line.trim_ascii_start()].join(&b' ');
                }
                _ => unfolded.push(line.to_vec()),
            }
        }
        let fields = unfolded.iter().map(|line| field(line)).collect::<Result<Vec<_>, _>>()?;
        let text = format!("HTTP/1.{} {code}\n", minor.min(1));
        let mut head = Head { minor, code, text, ..Head::default() };
        head.steer(&fields)?;
        Ok(head)
    }

    fn steer(&mut self, fields: &[(String, Vec<u8>)]) -> Result<(), Error> {
        // All codings of all lines so far, in one list.
        let mut codings: Option<Vec<String>> = None;
        for (name, value) in fields {
            self.text += &format!("{name}={}\n", value.escape_ascii());
            let latin: String = value.iter().map(|byte| char::from(*byte)).collect();
            let list = latin.split(',').map(|item| item.trim_matches([' ', '\t']));
            let mut list = list.filter(|item| !item.is_empty()).map(str::to_ascii_lowercase);
            match name.to_ascii_lowercase().as_str() {
                "connection" => {
                    let options: Vec<String> = list.collect();
                    self.says_close |= options.iter().any(|option| option == "close");
                    self.says_keep_alive |= options.iter().any(|option| option == "keep-alive");
                }
                "content-length" if self.length.is_some() => {
                    return Err(Error::ContentLengthRepeated);
                }
                "content-length" if latin.starts_with('+') => return Err(Error::ContentLength),
                "content-length" => {
                    self.length = Some(latin.parse().map_err(|_| Error::ContentLength)?);
                }
                "transfer-encoding" => {
                    let codings = codings.get_or_insert_default();
                    list.by_ref().for_each(|coding| codings.push(coding));
                    check_codings(codings)?;
                }
                _ => {}
            }
        }
        match codings {
            None => Ok(()),
            Some(codings) if codings.is_empty() => Err(Error::TransferEncoding),
            Some(_) if self.length.is_some() => Err(Error::LengthAndEncoding),
            Some(_) if self.minor == 0 => Err(Error::EncodingInHttp10),
            Some(codings) if codings.last() != Some(&"chunked".into()) => {
                Err(Error::TransferEncoding)
            }
            Some(codings) if codings != ["chunked"] => Err(Error::TransferCoding),
            Some(_) => {
                self.chunked = true;
                Ok(())
            }
        }
    }
}

/// `chunked`, if it is there, is the last and says nothing else; all are names.
fn check_codings(codings: &[String]) -> Result<(), Error> {
    for (number, coding) in codings.iter().enumerate() {
        let is_last = number + 1 == codings.len();
        let name = coding.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
        let is_good_chunked = is_last && coding == "chunked";
        if !is_token(name.as_bytes()) || (name == "chunked" && !is_good_chunked) {
            return Err(Error::TransferEncoding);
        }
    }
    Ok(())
}

fn field(line: &[u8]) -> Result<(String, Vec<u8>), Error> {
    let colon = line.iter().position(|byte| *byte == b':').ok_or(Error::FieldName)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(Error::FieldName);
    }
    if !value.iter().all(|byte| is_field_value_byte(*byte)) {
        return Err(Error::FieldValue);
    }
    let mut value = value.to_vec();
    while value.last().is_some_and(|byte| b" \t".contains(byte)) {
        value.pop();
    }
    while value.first().is_some_and(|byte| b" \t".contains(byte)) {
        value.remove(0);
    }
    Ok((String::from_utf8_lossy(name).into_owned(), value))
}

/// The length of a chunked body. The decoder has an oracle of its own.
fn chunks(input: &[u8], limits: &ReplyLimits, body: &mut Vec<u8>) -> Result<usize, Stop> {
    let (mut decoder, mut rest) = (Decoder::default(), input);
    let limits = ChunkLimits::from(limits);
    let decoded = decoder.decode(&mut rest, limits, |data| body.extend_from_slice(data));
    let ends_with_lf = input[..input.len() - rest.len()].ends_with(b"\n");
    if decoded.is_err() && ends_with_lf {
        return Err(Stop::Wrong(ReplyError::ChunkLf));
    }
    match decoded? {
        Progress::Done => Ok(input.len() - rest.len()),
        Progress::More => Err(Stop::Incomplete(ReplyError::ChunksTruncated {
            received: body.len() as u64,
            missing: decoder.missing_bytes(),
        })),
    }
}
