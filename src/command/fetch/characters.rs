//! Counting the characters of a text that comes in pieces.

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

/// Counts as Python's `len` counts the text of a reply: code points. What cannot be decoded counts
/// as the U+FFFD that it becomes.
pub(super) struct Characters {
    decoder: Decoder,
    count: Count,
}

/// How many characters a text has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) characters: u64,
    /// Those of them that could not be decoded: the text is not in the charset that it claims.
    pub(super) undecodable: u64,
}

impl Characters {
    /// For the charset with this name. A byte order mark at the beginning of the text wins.
    pub(super) fn new(charset: &str) -> Characters {
        let encoding = Encoding::for_label(charset.as_bytes()).unwrap_or(UTF_8);
        Characters { decoder: encoding.new_decoder(), count: Count::default() }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.decode(piece, false);
    }

    /// How many there were.
    pub(super) fn finish(mut self) -> Count {
        self.decode(b"", true);
        self.count
    }

    fn decode(&mut self, mut piece: &[u8], is_last: bool) {
        let mut text = [0; 4096];
        loop {
            let (result, read, written) =
                self.decoder.decode_to_utf8_without_replacement(piece, &mut text, is_last);
            // Every character begins with a byte that is no continuation.
            let begins = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
            self.count.characters += text[..written].iter().filter(begins).count() as u64;
            piece = &piece[read..];
            match result {
                DecoderResult::InputEmpty => return,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => {
                    self.count.characters += 1;
                    self.count.undecodable += 1;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All of them, and those that cannot be decoded.
    fn counts(charset: &str, pieces: &[&[u8]]) -> (u64, u64) {
        let mut characters = Characters::new(charset);
        pieces.iter().for_each(|piece| characters.push(piece));
        let Count { characters, undecodable } = characters.finish();
        (characters, undecodable)
    }

    #[track_caller]
    fn count(charset: &str, pieces: &[&[u8]]) -> u64 {
        let (characters, undecodable) = counts(charset, pieces);
        assert_eq!(undecodable, 0);
        characters
    }

    #[test]
    fn characters_are_not_bytes() {
        assert_eq!(count("UTF-8", &["Hello, Jürgen!".as_bytes()]), 14);
        assert_eq!(count("windows-1252", &[b"J\xfcrgen"]), 6);
        assert_eq!(count("UTF-8", &[b"\xff\xfea\0b\0"]), 2);
        assert_eq!(count("UTF-8", &[]), 0);
    }

    #[test]
    fn it_does_not_matter_where_it_is_cut() {
        let text = "\u{feff}aü\u{20ac}\u{1f600}b".as_bytes();
        for at in 0..=text.len() {
            assert_eq!(count("UTF-8", &[&text[..at], &text[at..]]), 5, "cut at {at}");
        }
        let long = "ü".repeat(10_000);
        assert_eq!(count("UTF-8", &[long.as_bytes()]), 10_000);
    }

    #[test]
    fn a_text_that_ends_within_a_character_has_one_more() {
        assert_eq!(counts("UTF-8", &[b"a\xc3"]), (2, 1));
    }

    /// As many as [`Encoding::decode`] makes of it, wherever it is cut.
    #[test]
    fn what_cannot_be_decoded_is_counted_and_marked() {
        for (charset, bytes, undecodable) in [
            ("UTF-8", &b"a\xffb\xe2\x82c\xf0\x9f\x98"[..], 3),
            ("UTF-8", b"J\xfcrgen \xed\xa0\x80", 4),
            ("UTF-8", "not \u{fffd} by us".as_bytes(), 0),
            ("shift_jis", b"\x82\xa0\x82", 1),
            ("replacement", b"whatever", 1),
            ("UTF-16LE", b"a\0\x00\xd8b\0c", 2),
        ] {
            let encoding = Encoding::for_label_no_replacement(charset.as_bytes())
                .unwrap_or(encoding_rs::REPLACEMENT);
            let (text, _, has_flaws) = encoding.decode(bytes);
            assert_eq!(has_flaws, undecodable > 0, "{charset}");
            for at in 0..=bytes.len() {
                let counts = counts(charset, &[&bytes[..at], &bytes[at..]]);
                assert_eq!(counts, (text.chars().count() as u64, undecodable), "{charset}");
            }
        }
    }
}
