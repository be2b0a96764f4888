//! A reader of requests that is as plain as can be: it sees the whole input, looks for the end of
//! the head, splits lines, and reads the rules of RFC 9112 one after the other. It has no states
//! and is in no hurry.

use helloop::limits::Limits;

use super::Understood;

/// Why the reader stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is nothing more, or not enough for another request.
    Incomplete,
    /// This can be no request.
    Wrong(&'static str),
    /// The last request ends the connection.
    Closed,
    /// A plain reader has no opinion: IP literals and percent-encoding in hosts.
    Unknown,
}

use Verdict::{Closed, Incomplete, Unknown, Wrong};

/// Reads all requests of `input`.
pub(super) fn read(input: &[u8], limits: &Limits) -> (Vec<Understood>, Verdict) {
    let mut rest = input;
    let mut understood = Vec::new();
    loop {
        match read_one(&mut rest, limits) {
            Err(verdict) => return (understood, verdict),
            Ok((request, closes)) => {
                understood.extend(request);
                if closes {
                    return (understood, Closed);
                }
            }
        }
    }
}

/// A head, as lines.
struct Head<'a> {
    method: &'a [u8],
    target: &'a [u8],
    is_1_0: bool,
    fields: Vec<(String, &'a [u8])>,
}

impl<'a> Head<'a> {
    /// The values of a field, its name in small letters.
    fn all(&self, name: &str) -> Vec<&'a [u8]> {
        self.fields.iter().filter(|(other, _)| other == name).map(|(_, value)| *value).collect()
    }

    /// The elements of a list field, in small letters.
    fn list(&self, name: &str) -> Vec<Vec<u8>> {
        let values = self.all(name);
        let elements = values.iter().flat_map(|value| value.split(|byte| *byte == b','));
        let trimmed = elements.map(|element| trim(element).to_ascii_lowercase());
        trimmed.filter(|element| !element.is_empty()).collect()
    }
}

/// A request, if the service is asked it, and whether it is the last.
fn read_one(rest: &mut &[u8], limits: &Limits) -> Result<(Option<Understood>, bool), Verdict> {
    let text = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    let Some(end) = find(text, b"\r\n\r\n") else { return Err(Incomplete) };
    if end + 4 > limits.head_bytes_max {
        return Err(Wrong("the head is too long"));
    }
    let head = read_head(&text[..end], limits)?;
    check_host(&head)?;
    if head.method == b"CONNECT" {
        return Err(Wrong("CONNECT"));
    }
    let expectations = head.list("expect");
    let is_in_vain = expectations.iter().any(|expectation| expectation != b"100-continue");
    let is_declined = !head.is_1_0 && is_in_vain;
    if is_declined && has_body(&head) {
        return Err(Wrong("an unknown expectation, and a body"));
    }
    let mut after = &text[end + 4..];
    let body = read_body(&head, &mut after, limits)?;
    *rest = after;
    let options = head.list("connection");
    let has = |option: &[u8]| options.iter().any(|other| other == option);
    let closes = has(b"close") || (head.is_1_0 && !has(b"keep-alive"));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it was checked");
    let request = Understood { method: text(head.method), target: text(head.target), body };
    Ok(((!is_declined).then_some(request), closes))
}

/// Whether there is anything behind the head, or it cannot be said.
fn has_body(head: &Head<'_>) -> bool {
    let is_nothing = |digits: &[u8]| !digits.is_empty() && digits.iter().all(|byte| *byte == b'0');
    match head.all("content-length")[..] {
        [] => !head.all("transfer-encoding").is_empty(),
        [digits] => !head.all("transfer-encoding").is_empty() || !is_nothing(digits),
        _ => true,
    }
}

fn read_head<'a>(text: &'a [u8], limits: &Limits) -> Result<Head<'a>, Verdict> {
    let lines = split(text, b"\r\n");
    if lines.iter().any(|line| line.contains(&b'\r') || line.contains(&b'\n')) {
        return Err(Wrong("a bare CR or LF"));
    }
    if lines[0].len() + 2 > limits.request_line_bytes_max {
        return Err(Wrong("the request line is too long"));
    }
    let [method, target, version] = split(lines[0], b" ")[..] else {
        return Err(Wrong("not three words"));
    };
    if !is_token(method) {
        return Err(Wrong("the method"));
    }
    let [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] = version else {
        return Err(Wrong("the version"));
    };
    check_target(method, target)?;
    if lines.len() - 1 > limits.fields_max {
        return Err(Wrong("too many fields"));
    }
    let fields = lines[1..].iter().map(|line| read_field(line)).collect::<Result<_, _>>()?;
    Ok(Head { method, target, is_1_0: *minor == b'0', fields })
}

fn read_field(line: &[u8]) -> Result<(String, &[u8]), Verdict> {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else {
        return Err(Wrong("a line without a colon"));
    };
    let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
    if !is_token(name) {
        return Err(Wrong("a field name"));
    }
    if !value.iter().all(is_text) {
        return Err(Wrong("a field value"));
    }
    Ok((String::from_utf8_lossy(name).to_ascii_lowercase(), value))
}

fn check_target(method: &[u8], target: &[u8]) -> Result<(), Verdict> {
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return Err(Wrong("a byte of the target"));
    }
    if target.starts_with(b"/") || (method == b"OPTIONS" && target == b"*") {
        return Ok(());
    }
    let lower = target.to_ascii_lowercase();
    for scheme in [&b"http://"[..], b"https://"] {
        if lower.starts_with(scheme) {
            let after = &target[scheme.len()..];
            let end = after.iter().position(|byte| b"/?".contains(byte)).unwrap_or(after.len());
            return check_authority(&after[..end]);
        }
    }
    Err(Wrong("the form of the target"))
}

fn check_host(head: &Head<'_>) -> Result<(), Verdict> {
    match head.all("host")[..] {
        [] if head.is_1_0 => Ok(()),
        [b""] => Ok(()),
        [host] => check_authority(host),
        _ => Err(Wrong("not one Host")),
    }
}

/// `host` or `host:port`.
fn check_authority(text: &[u8]) -> Result<(), Verdict> {
    if text.contains(&b'[') || text.contains(&b'%') {
        return Err(Unknown);
    }
    let mut parts = text.splitn(2, |byte| *byte == b':');
    let (host, port) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(byte);
    let is_port = port.iter().all(u8::is_ascii_digit)
        && (port.is_empty() || number(port, 10) <= u16::MAX.into());
    if !host.is_empty() && host.iter().all(is_good) && is_port {
        Ok(())
    } else {
        Err(Wrong("a host"))
    }
}

fn read_body(head: &Head<'_>, rest: &mut &[u8], limits: &Limits) -> Result<Vec<u8>, Verdict> {
    let (encodings, lengths) = (head.all("transfer-encoding"), head.all("content-length"));
    if !encodings.is_empty() {
        let is_chunked = head.list("transfer-encoding") == [b"chunked".to_vec()];
        if head.is_1_0 || !lengths.is_empty() || !is_chunked {
            return Err(Wrong("Transfer-Encoding"));
        }
        return read_chunks(rest, limits);
    }
    let length = match lengths[..] {
        [] => return Ok(Vec::new()),
        [digits] if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            number(digits, 10)
        }
        _ => return Err(Wrong("Content-Length")),
    };
    if length > u128::from(limits.body_bytes_max) {
        return Err(Wrong("the body is too long"));
    }
    take(rest, length)
}

fn read_chunks(rest: &mut &[u8], limits: &Limits) -> Result<Vec<u8>, Verdict> {
    let (mut body, mut overhead) = (Vec::new(), 0);
    loop {
        let line = take_line(rest)?;
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        overhead += extension.len();
        if !(1..=16).contains(&digits) || !are_extensions(extension) {
            return Err(Wrong("a chunk size line"));
        }
        let size = number(size, 16);
        if body.len() as u128 + size > u128::from(limits.body_bytes_max) {
            return Err(Wrong("the chunks are too long"));
        }
        if overhead > limits.chunk_overhead_bytes_max {
            return Err(Wrong("the extensions are too long"));
        }
        if size == 0 {
            break;
        }
        body.extend(take(rest, size)?);
        match rest.get(..2) {
            Some(b"\r\n") => *rest = &rest[2..],
            None if b"\r\n".starts_with(rest) => return Err(Incomplete),
            _ => return Err(Wrong("no CRLF behind the data")),
        }
    }
    read_trailers(rest, overhead, limits)?;
    Ok(body)
}

fn read_trailers(rest: &mut &[u8], mut overhead: usize, limits: &Limits) -> Result<(), Verdict> {
    for count in 0.. {
        let line = take_line(rest)?;
        if line.is_empty() {
            return Ok(());
        }
        read_field(line)?;
        overhead += line.len();
        if overhead > limits.chunk_overhead_bytes_max || count == limits.fields_max {
            return Err(Wrong("the trailers are too long"));
        }
    }
    unreachable!("lines come to an end")
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`.
fn are_extensions(mut text: &[u8]) -> bool {
    while !text.is_empty() {
        let Some(rest) = behind_extension(text) else { return false };
        text = rest;
    }
    true
}

fn behind_extension(text: &[u8]) -> Option<&[u8]> {
    let name = behind_spaces(text).strip_prefix(b";")?;
    let after = behind_token(behind_spaces(name))?;
    let Some(value) = behind_spaces(after).strip_prefix(b"=") else { return Some(after) };
    let value = behind_spaces(value);
    value.strip_prefix(b"\"").map_or_else(|| behind_token(value), behind_quoted)
}

fn behind_spaces(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| b" \t".contains(byte)).count()..]
}

fn behind_token(text: &[u8]) -> Option<&[u8]> {
    let bytes = text.iter().take_while(|byte| is_token(&[**byte])).count();
    (bytes > 0).then(|| &text[bytes..])
}

/// `text` begins behind the opening quote.
fn behind_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        text = match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', byte, rest @ ..] if is_text(byte) => rest,
            [b'\\', ..] => return None,
            [byte, rest @ ..] if is_text(byte) => rest,
            _ => return None,
        };
    }
}

/// Takes a line without its CRLF.
fn take_line<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Verdict> {
    let end = find(rest, b"\r\n").ok_or(Incomplete)?;
    let (line, after) = rest.split_at(end);
    *rest = &after[2..];
    Ok(line)
}

fn take(rest: &mut &[u8], length: u128) -> Result<Vec<u8>, Verdict> {
    let length = usize::try_from(length).expect("it is within the limits");
    let (taken, after) = rest.split_at_checked(length).ok_or(Incomplete)?;
    *rest = after;
    Ok(taken.to_vec())
}

/// At most 38 decimal or 16 hexadecimal digits; more decimal ones are as good as very many.
fn number(digits: &[u8], radix: u32) -> u128 {
    let digits = std::str::from_utf8(digits).expect("digits are ASCII");
    u128::from_str_radix(digits, radix).unwrap_or(u128::MAX)
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

fn split<'a>(text: &'a [u8], separator: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(at) = find(rest, separator) {
        parts.push(&rest[..at]);
        rest = &rest[at + separator.len()..];
    }
    parts.push(rest);
    parts
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

fn is_token(text: &[u8]) -> bool {
    let is_good = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_good)
}

fn is_text(byte: &u8) -> bool {
    *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f)
}
