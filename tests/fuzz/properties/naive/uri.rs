//! Targets: RFC 9112 section 3.2, with the hosts of RFC 3986 section 3.2.2.

use super::{find, split_once};

/// Whether `target` has a form that `method` can have.
pub(crate) fn is_target(method: &[u8], target: &[u8]) -> bool {
    if !target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#') {
        return false;
    }
    if method == b"CONNECT" {
        let colon = target.iter().rposition(|byte| *byte == b':');
        return is_authority(target) && colon.is_some_and(|at| is_port(&target[at + 1..], 1));
    }
    let is_asterisk = method == b"OPTIONS" && target == b"*";
    target.starts_with(b"/") || is_asterisk || is_absolute(target)
}

/// `("http" / "https") "://" authority`, and then a path or a query or nothing.
fn is_absolute(target: &[u8]) -> bool {
    let Some((scheme, rest)) = split_once(target, b"://") else { return false };
    let scheme = scheme.to_ascii_lowercase();
    let end = rest.iter().position(|byte| b"/?".contains(byte)).unwrap_or(rest.len());
    (scheme == b"http" || scheme == b"https") && is_authority(&rest[..end])
}

/// `uri-host [":" port]`, the host not empty. Tries every place where the port could begin.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    let colons = (0..text.len()).filter(|at| text[*at] == b':');
    is_host(text)
        || colons.into_iter().any(|at| is_host(&text[..at]) && is_port(&text[at + 1..], 0))
}

fn is_port(text: &[u8], digits_min: usize) -> bool {
    let number = text.iter().try_fold(0u128, |number, digit| {
        let digit = char::from(*digit).to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(digit.into()))
    });
    text.len() >= digits_min && number.is_some_and(|number| number <= 65_535)
}

fn is_host(text: &[u8]) -> bool {
    match text {
        [b'[', b'v' | b'V', future @ .., b']'] => is_ip_future(future),
        [b'[', address @ .., b']'] => is_ipv6(address),
        name => !name.is_empty() && is_reg_name(name),
    }
}

/// `1*HEXDIG "." 1*( unreserved / sub-delims / ":" )`.
fn is_ip_future(text: &[u8]) -> bool {
    let Some((version, text)) = split_once(text, b".") else { return false };
    let is_version = !version.is_empty() && version.iter().all(u8::is_ascii_hexdigit);
    is_version && !text.is_empty() && text.iter().all(|byte| is_name_byte(*byte) || *byte == b':')
}

/// Eight groups, of which `::` may stand for one or more, and the last two may be an IPv4 address.
fn is_ipv6(text: &[u8]) -> bool {
    match split_once(text, b"::") {
        None => groups(text, true) == Some(8),
        Some((before, after)) => {
            let before = if before.is_empty() { Some(0) } else { groups(before, false) };
            let after = if after.is_empty() { Some(0) } else { groups(after, true) };
            before.zip(after).is_some_and(|(before, after)| before + after <= 7)
        }
    }
}

/// How many groups of 16 bits `text` is; `None` if it is not.
fn groups(text: &[u8], may_end_in_ipv4: bool) -> Option<usize> {
    let parts: Vec<&[u8]> = text.split(|byte| *byte == b':').collect();
    let mut count = 0;
    for (number, part) in parts.iter().enumerate() {
        let is_last = number + 1 == parts.len();
        if (1..=4).contains(&part.len()) && part.iter().all(u8::is_ascii_hexdigit) {
            count += 1;
        } else if is_last && may_end_in_ipv4 && is_ipv4(part) {
            count += 2;
        } else {
            return None;
        }
    }
    Some(count)
}

/// Four decimal numbers up to 255, without leading zeros.
fn is_ipv4(text: &[u8]) -> bool {
    let octets: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    let all: Vec<String> = (0..=255).map(|octet: u8| octet.to_string()).collect();
    octets.len() == 4 && octets.iter().all(|octet| all.iter().any(|one| one.as_bytes() == *octet))
}

/// `*( unreserved / pct-encoded / sub-delims )`.
fn is_reg_name(text: &[u8]) -> bool {
    match find(text, b"%") {
        None => text.iter().all(|byte| is_name_byte(*byte)),
        Some(at) => {
            let Some(digits) = text.get(at + 1..at + 3) else { return false };
            is_reg_name(&text[..at])
                && digits.iter().all(u8::is_ascii_hexdigit)
                && is_reg_name(&text[at + 3..])
        }
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}
