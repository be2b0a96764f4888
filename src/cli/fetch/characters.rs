//! Counting the characters of a text that comes in pieces.

use encoding_rs::{CoderResult, Decoder, Encoding, UTF_8};

/// Counts as Python's `len` counts the text of a reply: code points. What cannot be decoded counts
/// as the U+FFFD that it becomes.
pub(super) struct Characters {
    decoder: Decoder,
    count: u64,
}

impl Characters {
    /// For the charset with this name. A byte order mark at the beginning of the text wins.
    pub(super) fn new(charset: &str) -> Characters {
        let encoding = Encoding::for_label(charset.as_bytes()).unwrap_or(UTF_8);
        Characters { decoder: encoding.new_decoder(), count: 0 }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.decode(piece, false);
    }

    /// How many there were.
    pub(super) fn finish(mut self) -> u64 {
        self.decode(b"", true);
        self.count
    }

    fn decode(&mut self, mut piece: &[u8], is_last: bool) {
        let mut text = [0; 4096];
        loop {
            let (result, read, written, _) = self.decoder.decode_to_utf8(piece, &mut text, is_last);
            // Every character begins with a byte that is no continuation.
            let begins = |byte: &&u8| **byte & 0b1100_0000 != 0b1000_0000;
            self.count += text[..written].iter().filter(begins).count() as u64;
            piece = &piece[read..];
            if result == CoderResult::InputEmpty {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(charset: &str, pieces: &[&[u8]]) -> u64 {
        let mut characters = Characters::new(charset);
        pieces.iter().for_each(|piece| characters.push(piece));
        characters.finish()
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
        assert_eq!(count("UTF-8", &[b"a\xc3"]), 2);
    }
}
