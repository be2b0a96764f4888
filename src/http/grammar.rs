//! The few rules of the grammar that several modules share (RFC 9110 section 5.6).

/// Whether `byte` may stand in a token: a method, a field name, a coding (RFC 9110 section 5.6.2).
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & TOKEN != 0
}

/// Whether `byte` is `unreserved / sub-delims` (RFC 3986 section 2): what a host name consists of,
/// apart from what is percent-encoded.
pub(crate) const fn is_host_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & HOST != 0
}

/// How many bytes at the beginning may stand in a request target, and whether a `?` is among them: one look at each.
/// What may is visible ASCII, but no fragment (RFC 9112 section 3.2). Which of them a URI may have, is left to whoever
/// looks at it.
pub(crate) fn look_at_target(bytes: &[u8]) -> (usize, bool) {
    let (mut length, mut any) = (0, 0);
    for byte in bytes {
        let class = CLASSES[usize::from(*byte)];
        if class & TARGET == 0 {
            break;
        }
        (length, any) = (length + 1, any | class);
    }
    (length, any & QUESTION != 0)
}

/// Whether `byte` stands for itself in a path segment and in what becomes of it: visible ASCII or a
/// space, but no `%`.
pub(crate) const fn is_plain_byte(byte: u8) -> bool {
    CLASSES[byte as usize] & PLAIN != 0
}

/// Whether `bytes` are a token: one token byte or more.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|byte| is_token_byte(*byte))
}

/// How many bytes at the beginning are a token: a field name up to its colon. Eight at a time as long as they are
/// letters and `-`, as in nearly all names.
#[inline]
pub(crate) fn token_bytes(bytes: &[u8]) -> usize {
    const HIGHEST: u64 = 0x80 * ONES;
    let of_each = |byte: u8| ONES * u64::from(byte);
    let (words, _) = bytes.as_chunks();
    let mut length = 0;
    for word in words {
        // The highest bit of each byte that is neither a letter nor `-`. No sum here carries into the next byte.
        let word = u64::from_le_bytes(*word);
        let lower_case = (word | of_each(0x20)) & !HIGHEST;
        let from_a = lower_case + of_each(0x80 - b'a');
        let behind_z = lower_case + of_each(0x7f - b'z');
        let no_dash = ((word ^ of_each(b'-')) & !HIGHEST) + of_each(0x7f);
        let others = (word | (no_dash & !(from_a & !behind_z))) & HIGHEST;
        if others != 0 {
            length += others.trailing_zeros() as usize / 8;
            break;
        }
        length += 8;
    }
    while bytes.get(length).is_some_and(|byte| is_token_byte(*byte)) {
        length += 1;
    }
    length
}

/// Whether `byte` may stand in a field value: visible ASCII, space, tab, and the bytes above ASCII
/// that section 5.5 of RFC 9110 calls obs-text. Never CR, LF or NUL.
pub(crate) const fn is_field_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// How many bytes at the beginning are visible, a space, or above ASCII: a field value up to its first tab, its end,
/// or what it must not have.
///
/// Eight at a time where it may end soon, and between them sixteen at a time, which the compiler makes one vector.
#[inline(always)]
pub(crate) fn text_bytes(bytes: &[u8]) -> usize {
    let is_text = |byte: &u8| (*byte >= b' ') & (*byte != 0x7f);
    // The highest bit of the first byte of a word that is no text, and of some above it; 0 if all eight are text. A byte
    // below 0x20 borrows in the first subtraction, one that is 0x7f in the second; a borrow marks the bytes above it
    // falsely, but never one below, and the lowest mark is what is asked for.
    let marks = |word: [u8; 8]| {
        let word = u64::from_le_bytes(word);
        let delete = word ^ (0x7f * ONES);
        let below = word.wrapping_sub(0x20 * ONES) & !word;
        (below | (delete.wrapping_sub(ONES) & !delete)) & (0x80 * ONES)
    };
    let mut length = 0;
    if let Some(word) = bytes.first_chunk() {
        let marks = marks(*word);
        if marks != 0 {
            return marks.trailing_zeros() as usize / 8;
        }
        length = 8;
    }
    while let Some(chunk) = bytes[length..].first_chunk::<16>()
        && chunk.iter().fold(true, |all, byte| all & is_text(byte))
    {
        length += 16;
    }
    while let Some(word) = bytes[length..].first_chunk() {
        let marks = marks(*word);
        if marks != 0 {
            return length + marks.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    length + bytes[length..].iter().take_while(|byte| is_text(byte)).count()
}

/// `bytes` without spaces and tabs at either end (OWS, RFC 9110 section 5.6.3).
///
/// Nothing else counts as white space: `trim` of the standard library would also take the vertical
/// tab, with which `chunked` has been disguised.
#[inline]
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let is_visible = |byte: Option<&u8>| byte.is_some_and(|byte| *byte > b' ');
    if is_visible(bytes.first()) && is_visible(bytes.last()) {
        // Most need none.
        return bytes;
    }
    let mut trimmed = bytes;
    while let [b' ' | b'\t', rest @ ..] = trimmed {
        trimmed = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = trimmed {
        trimmed = rest;
    }
    trimmed
}

/// The elements of a comma-separated list, trimmed. Empty ones are left out, as section 5.6.1.2 of
/// RFC 9110 asks of a recipient.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// Each byte of a word.
const ONES: u64 = u64::MAX / 255;

const TOKEN: u8 = 1;
const HOST: u8 = 2;
const TARGET: u8 = 4;
const PLAIN: u8 = 8;
const QUESTION: u8 = 16;

/// `CLASSES[b]`: what `b` is. A table, because every byte of a method, a target and a host is looked up.
const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0u8;
    loop {
        if matches!(byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_'
            | b'`' | b'|' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
        {
            table[byte as usize] |= TOKEN;
        }
        if matches!(byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b'-' | b'.' | b';'
            | b'=' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z')
        {
            table[byte as usize] |= HOST;
        }
        if matches!(byte, b'!'..=b'~') && byte != b'#' {
            table[byte as usize] |= TARGET;
        }
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            table[byte as usize] |= PLAIN;
        }
        if byte == b'?' {
            table[byte as usize] |= QUESTION;
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_no_delimiters() {
        assert!(is_token(b"GET") && is_token(b"x-y!#$%&'*+.^_`|~09"));
        for bad in [&b""[..], b"a b", b"a:", b"a/b", b"(a)", b"\x16", b"\xff", b"a,", b"\"a\""] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_token_ends_at_the_first_byte_that_is_none_wherever_it_is() {
        for length in 0..20 {
            for at in 0..=length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'-'; length];
                    bytes.iter_mut().take(at).step_by(2).for_each(|before| *before = b'Z');
                    if let Some(place) = bytes.get_mut(at) {
                        *place = byte;
                    }
                    let expected = if is_token_byte(byte) { length } else { at };
                    assert_eq!(token_bytes(&bytes), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
        assert_eq!((token_bytes(b"Host: a\r\n"), token_bytes(b"x_1.a-b: c")), (4, 7));
    }

    #[test]
    fn text_ends_at_the_first_control_character_wherever_it_is() {
        for length in 0..40 {
            for at in 0..=length {
                for byte in 0..=u8::MAX {
                    let mut bytes = vec![b'a'; length];
                    bytes.iter_mut().skip(at).for_each(|after| *after = 0xff);
                    if let Some(place) = bytes.get_mut(at) {
                        *place = byte;
                    }
                    let is_text = byte != b'\t' && is_field_value_byte(byte);
                    let expected = if is_text { length } else { at };
                    assert_eq!(text_bytes(&bytes), expected, "{byte:#x} at {at} of {length}");
                }
            }
        }
        assert_eq!(text_bytes(b"12345\r\0\0\x7f9"), 5);
    }

    #[test]
    fn only_space_and_tab_are_trimmed() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b"\x0ba"), b"\x0ba");
        assert_eq!(trim(b" \t "), b"");
    }

    #[test]
    fn empty_list_elements_are_left_out() {
        let list: Vec<&[u8]> = elements(b", a ,,b , ").collect();
        assert_eq!(list, [b"a", b"b"]);
    }
}
