//! Bytes as text, by the charset that the reply names.

use encoding_rs::{Encoding, UTF_8};

/// The text that `bytes` are, according to a byte order mark, else to the `charset` of
/// `content_type`, else as UTF-8. What cannot be decoded becomes U+FFFD.
pub(super) fn decode(content_type: Option<&[u8]>, bytes: Vec<u8>) -> String {
    let encoding = encoding(content_type);
    let has_mark = Encoding::for_bom(&bytes).is_some();
    if encoding == UTF_8 && !has_mark {
        // The usual case costs no copy.
        return String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    }
    encoding.decode(&bytes).0.into_owned()
}

/// What the `charset` of `content_type` stands for, or UTF-8.
pub(super) fn encoding(content_type: Option<&[u8]>) -> &'static Encoding {
    match content_type.and_then(charset) {
        None => UTF_8,
        // The usual names need no look into the table of labels.
        Some(label) if label.eq_ignore_ascii_case(b"utf-8") => UTF_8,
        Some(label) => Encoding::for_label(label).unwrap_or(UTF_8),
    }
}

/// The value of the parameter `charset` (RFC 9110 section 8.3.2), without quotes.
fn charset(content_type: &[u8]) -> Option<&[u8]> {
    let parameters = content_type.split(|byte| *byte == b';').skip(1);
    let mut charsets = parameters.filter_map(|parameter| {
        let equals = parameter.iter().position(|byte| *byte == b'=')?;
        let (name, value) = (&parameter[..equals], &parameter[equals + 1..]);
        name.trim_ascii().eq_ignore_ascii_case(b"charset").then_some(value.trim_ascii())
    });
    let value = charsets.next()?;
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(bare.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_charset_decides_unless_there_is_a_mark() {
        let text = |kind: &str, bytes: &[u8]| decode(Some(kind.as_bytes()), bytes.to_vec());
        assert_eq!(text("text/plain; charset=iso-8859-1", b"J\xfcrgen"), "Jürgen");
        assert_eq!(text("text/plain;a=b; Charset=\"latin1\"", b"\xfc"), "ü");
        assert_eq!(text("text/plain; charset=shift_jis", b"\x82\xa0"), "あ");
        assert_eq!(text("text/plain", "ü".as_bytes()), "ü");
        assert_eq!(text("text/plain; charset=nonsense", "ü".as_bytes()), "ü");
        assert_eq!(text("text/plain; charset=utf-8", b"a\xff"), "a\u{fffd}");
        assert_eq!(text("text/plain; charset=latin1", b"\xef\xbb\xbf\xc3\xbc"), "ü");
        assert_eq!(text("text/plain", b"\xff\xfea\0"), "a");
        assert_eq!(decode(None, Vec::new()), "");
        assert_eq!(encoding(Some(b"text/html; charset=latin1")).name(), "windows-1252");
    }
}
