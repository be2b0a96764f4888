//! Fields in which proxies name their client.

use std::net::{IpAddr, SocketAddr};

use crate::http::Headers;

/// The field in which proxies say who their client is. It must be one that they set or extend themselves: the other
/// one, a client could have sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedField {
    /// `X-Forwarded-For`: a list of addresses.
    XForwardedFor,
    /// `Forwarded` (RFC 7239): a list, in which `for` is looked at.
    Forwarded,
}

/// The addresses that were named, the first proxy's first; without a port, it is 0. `None` for what is no address.
pub(super) fn chain(field: ForwardedField, headers: Headers<'_>) -> Vec<Option<SocketAddr>> {
    let name = match field {
        ForwardedField::XForwardedFor => "x-forwarded-for",
        ForwardedField::Forwarded => "forwarded",
    };
    let lines = headers.all(name).map(|value| str::from_utf8(value).unwrap_or_default());
    let mut chain = Vec::new();
    for line in lines {
        chain.extend(split(line, ',').map(|element| match field {
            ForwardedField::XForwardedFor => address(element),
            ForwardedField::Forwarded => split(element, ';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then(|| address(value))
            })?,
        }));
    }
    chain
}

/// The parts of a list between separators that do not stand in quotes.
pub(super) fn split(list: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    list.split(move |character| {
        is_quoted ^= character == '"';
        character == separator && !is_quoted
    })
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`, in quotes or not.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let without_port = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    let address = without_port.or_else(|_| text.parse::<SocketAddr>()).ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}
