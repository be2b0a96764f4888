//! The chunked coding, taken off byte by byte (RFC 9112 section 7.1).
//!
//! ```text
//! chunked-body = *( size [ext] CRLF data CRLF )  1*"0" [ext] CRLF  *( trailer CRLF )  CRLF
//! ```
//!
//! Strict where others were lenient and got smuggled through: every line ends with CRLF, a size is
//! 1 to 16 hexadecimal digits and nothing else, white space stands only in and before extensions. What
//! these may be is a server's concern: a client takes whatever text a server puts there, white space
//! that pads a size to a fixed width, and trailers that are folded.

use super::Error;
use super::grammar::{is_field_value_byte, is_token_byte};
use crate::limits::{Limits, ReplyLimits};

/// A decoder in the middle of a body; `Decoder::default()` is at its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decoder {
    state: State,
    /// Digits of the size so far; at most 16, so that `remaining` cannot overflow.
    digits: u8,
    /// Trailer lines begun.
    trailers: usize,
    /// Bytes of extensions and trailer lines so far, line ends apart.
    overhead_bytes: usize,
    /// Before `Data`: the size as read so far. In `Data`: bytes to come, never 0.
    remaining: u64,
    /// Bytes announced by all sizes so far; at most `body_bytes_max`.
    announced_bytes: u64,
}

/// What a peer may impose: the part of a server's or client's limits that is about chunks.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkLimits {
    /// Bytes of content.
    pub(super) body_bytes_max: u64,
    /// Bytes of extensions and trailer lines, line ends apart.
    pub(super) overhead_bytes_max: usize,
    /// Trailer lines.
    pub(super) trailers_max: usize,
    /// Extensions must have the form that RFC 9112 section 7.1.1 gives them, no white space pads a size,
    /// and no trailer goes on in a folded line. A proxy between a client and us may have read them in
    /// another way; between us and a server that we have asked, there is none.
    pub(super) is_strict: bool,
}

impl From<&Limits> for ChunkLimits {
    fn from(limits: &Limits) -> ChunkLimits {
        ChunkLimits {
            body_bytes_max: limits.body_bytes_max,
            overhead_bytes_max: limits.chunk_overhead_bytes_max,
            trailers_max: limits.fields_max,
            is_strict: true,
        }
    }
}

impl From<&ReplyLimits> for ChunkLimits {
    fn from(limits: &ReplyLimits) -> ChunkLimits {
        ChunkLimits {
            body_bytes_max: limits.body_bytes_max,
            overhead_bytes_max: limits.chunk_overhead_bytes_max,
            trailers_max: limits.fields_max,
            is_strict: false,
        }
    }
}

/// Whether the body has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// All input was consumed; more must come.
    More,
    /// The input is advanced just past the body.
    Done,
}

/// What [`Decoder::next`] has found at the front of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Content, never empty.
    Data(&'a [u8]),
    /// The input is advanced just past the body.
    End,
    /// All input was consumed; more must come.
    More,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// In the extensions of a size line.
    Extension(Extension),
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The beginning of a trailer line, or of the empty line that ends the body.
    TrailerLine,
    TrailerName,
    TrailerValue,
    TrailerLf,
    LastLf,
    Done,
}

/// What comes next in `*( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// White space, of which a semicolon must be the end.
    Space,
    /// Behind a semicolon, and perhaps white space: a name begins.
    Begin,
    Name,
    /// White space after a name.
    SpaceAfterName,
    /// Behind an equals sign, and perhaps white space: a value begins.
    ValueBegin,
    Token,
    Quoted,
    /// Behind a backslash in quotes.
    Escaped,
    /// Behind the closing quote.
    QuoteEnd,
    /// Any text up to the line's end, where that is enough.
    Text,
}

impl Extension {
    /// The state after `byte`; `None` where the line ends.
    ///
    /// # Errors
    /// When the byte cannot stand here.
    fn after(self, byte: u8) -> Result<Option<Extension>, Error> {
        use Extension::*;
        let is_space = matches!(byte, b' ' | b'\t');
        let next = match (self, byte) {
            (Name | Token | QuoteEnd | Text, b'\r') => return Ok(None),
            (Text | Escaped | Quoted, _) if !is_field_value_byte(byte) => {
                return Err(Error::ChunkExtension);
            }
            (Text, _) => Text,
            (Escaped, _) => Quoted,
            (Quoted, b'"') => QuoteEnd,
            (Quoted, b'\\') => Escaped,
            (Quoted, _) => Quoted,
            (Space | Name | SpaceAfterName | Token | QuoteEnd, b';') => Begin,
            (Space | Token | QuoteEnd, _) if is_space => Space,
            (Name | SpaceAfterName, _) if is_space => SpaceAfterName,
            (Name | SpaceAfterName, b'=') => ValueBegin,
            (Begin | ValueBegin, _) if is_space => self,
            (ValueBegin, b'"') => Quoted,
            (Begin | Name, _) if is_token_byte(byte) => Name,
            (ValueBegin | Token, _) if is_token_byte(byte) => Token,
            _ => return Err(Error::ChunkExtension),
        };
        Ok(Some(next))
    }
}

impl Decoder {
    /// Consumes `input` up to the end of the body and passes the content to `sink`, in order and in
    /// parts that are not empty. Extensions and trailers are checked and dropped.
    ///
    /// # Errors
    /// At the first byte that cannot be, or that is one too many; the decoder must not be used
    /// again. What `sink` got by then is the same however the input was cut.
    pub(super) fn decode(
        &mut self,
        input: &mut &[u8],
        limits: impl Into<ChunkLimits>,
        mut sink: impl FnMut(&[u8]),
    ) -> Result<Progress, Error> {
        let limits = limits.into();
        loop {
            match self.next(input, &limits)? {
                Piece::Data(data) => sink(data),
                Piece::End => return Ok(Progress::Done),
                Piece::More => return Ok(Progress::More),
            }
        }
    }

    /// Consumes `input` up to the end of the next part of the content: [`Decoder::decode`] by hand.
    ///
    /// # Errors
    /// The same.
    pub(super) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        limits: &ChunkLimits,
    ) -> Result<Piece<'a>, Error> {
        debug_assert!(self.state != State::Done, "the body has ended");
        while let Some((byte, rest)) = input.split_first() {
            if self.state == State::Data {
                return Ok(Piece::Data(self.data(input)));
            }
            *input = rest;
            self.state = self.step(*byte, limits)?;
            if self.state == State::Done {
                return Ok(Piece::End);
            }
        }
        Ok(Piece::More)
    }

    /// Bytes that the current chunk has announced and that have not come; 0 between chunks.
    pub(super) fn missing_bytes(&self) -> u64 {
        match self.state {
            State::Extension(_) | State::SizeLf | State::Data => self.remaining,
            _ => 0,
        }
    }

    /// Takes what `input` has of the chunk's data.
    fn data<'a>(&mut self, input: &mut &'a [u8]) -> &'a [u8] {
        debug_assert!(self.remaining > 0, "an empty chunk has no data state");
        let here = usize::try_from(self.remaining).map_or(input.len(), |n| n.min(input.len()));
        let (data, rest) = input.split_at(here);
        *input = rest;
        self.remaining -= data.len() as u64;
        if self.remaining == 0 {
            self.state = State::DataCr;
        }
        data
    }

    fn step(&mut self, byte: u8, limits: &ChunkLimits) -> Result<State, Error> {
        match (self.state, byte) {
            (State::Size, _) => self.size(byte, limits),

            // Before any semicolon: after one, a client sees only text.
            (State::Extension(Extension::Space), b'\r') if !limits.is_strict => Ok(State::SizeLf),
            (State::Extension(extension), _) => match extension.after(byte)? {
                None => Ok(State::SizeLf),
                Some(next) => self.extension(limits, next),
            },

            (State::SizeLf, b'\n') if self.remaining == 0 => Ok(State::TrailerLine),
            (State::SizeLf, b'\n') => Ok(State::Data),
            (State::SizeLf, _) => Err(Error::ChunkLineEnd),

            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.digits = 0;
                Ok(State::Size)
            }
            (State::DataCr | State::DataLf, _) => Err(Error::ChunkDataEnd),

            (State::TrailerLine, b'\r') => Ok(State::LastLf),
            (State::TrailerLine, _) if is_token_byte(byte) => {
                self.trailers += 1;
                self.trailer(limits, State::TrailerName)
            }
            (State::TrailerLine, b' ' | b'\t') if self.trailers > 0 && !limits.is_strict => {
                self.trailer(limits, State::TrailerValue)
            }
            (State::TrailerName, b':') => self.trailer(limits, State::TrailerValue),
            (State::TrailerName, _) if is_token_byte(byte) => self.trailer(limits, self.state),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLf),
            (State::TrailerValue, _) if is_field_value_byte(byte) => {
                self.trailer(limits, self.state)
            }
            (State::TrailerLf, b'\n') => Ok(State::TrailerLine),
            (State::LastLf, b'\n') => Ok(State::Done),
            (
                State::TrailerLine
                | State::TrailerName
                | State::TrailerValue
                | State::TrailerLf
                | State::LastLf,
                _,
            ) => Err(Error::Trailer),

            (State::Data | State::Done, _) => unreachable!("`decode` takes no step in these"),
        }
    }

    /// A byte of the size line before any extension.
    fn size(&mut self, byte: u8, limits: &ChunkLimits) -> Result<State, Error> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            return self.digit(digit);
        }
        if self.digits == 0 {
            return Err(Error::ChunkSize);
        }
        let extension = match byte {
            b'\r' => None,
            b';' => Some(Extension::Begin),
            b' ' | b'\t' => Some(Extension::Space),
            _ => return Err(Error::ChunkSize),
        };
        // No chunk is read that could not be kept.
        self.announced_bytes = match self.announced_bytes.checked_add(self.remaining) {
            Some(bytes) if bytes <= limits.body_bytes_max => bytes,
            _ => return Err(Error::BodyTooLong),
        };
        extension.map_or(Ok(State::SizeLf), |extension| self.extension(limits, extension))
    }

    fn digit(&mut self, digit: u32) -> Result<State, Error> {
        if self.digits == 16 {
            return Err(Error::ChunkSize);
        }
        self.digits += 1;
        self.remaining = (self.remaining << 4) | u64::from(digit);
        Ok(State::Size)
    }

    /// Counts a byte of an extension.
    fn extension(&mut self, limits: &ChunkLimits, next: Extension) -> Result<State, Error> {
        self.overhead_bytes += 1;
        if self.overhead_bytes > limits.overhead_bytes_max {
            return Err(Error::ChunkOverhead);
        }
        let is_text = next == Extension::Begin && !limits.is_strict;
        Ok(State::Extension(if is_text { Extension::Text } else { next }))
    }

    /// Counts a byte of a trailer line.
    fn trailer(&mut self, limits: &ChunkLimits, next: State) -> Result<State, Error> {
        self.overhead_bytes += 1;
        if self.overhead_bytes > limits.overhead_bytes_max || self.trailers > limits.trailers_max {
            return Err(Error::TrailersTooLong);
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on a whole input: content and bytes consumed, or `None` if it is incomplete.
    type Verdict = Result<Option<(Vec<u8>, usize)>, Error>;

    /// The decoder, fed with `input` cut at `cuts`.
    fn decode(input: &[u8], cuts: &[usize], limits: &Limits) -> Verdict {
        let (mut decoder, mut content, mut from) = (Decoder::default(), Vec::new(), 0);
        for to in cuts.iter().copied().chain([input.len()]) {
            let mut piece = &input[from..to];
            match decoder.decode(&mut piece, limits, |data| content.extend_from_slice(data))? {
                Progress::Done => return Ok(Some((content, to - piece.len()))),
                Progress::More => assert!(piece.is_empty(), "all of a piece is consumed"),
            }
            from = to;
        }
        Ok(None)
    }

    /// The naive oracle: reads the grammar from left to right and has no states.
    struct Oracle<'a> {
        input: &'a [u8],
        at: usize,
        overhead: usize,
        limits: &'a Limits,
    }

    /// Why the oracle stopped.
    enum Stop {
        Incomplete,
        Wrong(Error),
    }

    impl Oracle<'_> {
        fn verdict(input: &[u8], limits: &Limits) -> Verdict {
            let mut oracle = Oracle { input, at: 0, overhead: 0, limits };
            match oracle.body() {
                Ok(content) => Ok(Some((content, oracle.at))),
                Err(Stop::Incomplete) => Ok(None),
                Err(Stop::Wrong(error)) => Err(error),
            }
        }

        fn body(&mut self) -> Result<Vec<u8>, Stop> {
            let mut content = Vec::new();
            loop {
                let size = self.size_line(content.len() as u64)?;
                if size == 0 {
                    self.trailers()?;
                    return Ok(content);
                }
                for _ in 0..size {
                    content.push(self.next()?);
                }
                self.expect(b'\r', Error::ChunkDataEnd)?;
                self.expect(b'\n', Error::ChunkDataEnd)?;
            }
        }

        fn size_line(&mut self, before: u64) -> Result<u64, Stop> {
            let mut digits = String::new();
            let mut end = self.next()?;
            while end.is_ascii_hexdigit() {
                digits.push(char::from(end));
                if digits.len() > 16 {
                    return Err(Stop::Wrong(Error::ChunkSize));
                }
                end = self.next()?;
            }
            let Ok(size) = u64::from_str_radix(&digits, 16) else {
                return Err(Stop::Wrong(Error::ChunkSize));
            };
            if !b"\r; \t".contains(&end) {
                return Err(Stop::Wrong(Error::ChunkSize));
            }
            if size > self.limits.body_bytes_max - before {
                return Err(Stop::Wrong(Error::BodyTooLong));
            }
            while end != b'\r' {
                end = self.spaces(end)?;
                end = self.extension(end)?;
            }
            self.expect(b'\n', Error::ChunkLineEnd)?;
            Ok(size)
        }

        /// Reads over white space, the first byte of which, or of what follows, is given.
        fn spaces(&mut self, mut byte: u8) -> Result<u8, Stop> {
            while b" \t".contains(&byte) {
                byte = self.after_extension_byte()?;
            }
            Ok(byte)
        }

        /// Reads one extension, and returns what follows it.
        fn extension(&mut self, semicolon: u8) -> Result<u8, Stop> {
            let wrong = |is_wrong| match is_wrong {
                true => Err(Stop::Wrong(Error::ChunkExtension)),
                false => Ok(()),
            };
            wrong(semicolon != b';')?;
            let begin = self.after_extension_byte()?;
            let begin = self.spaces(begin)?;
            let mut next = self.token(begin)?;
            if b" \t=".contains(&next) {
                next = self.spaces(next)?;
                if next != b'=' {
                    wrong(next != b';')?;
                    return Ok(next);
                }
                let begin = self.after_extension_byte()?;
                let begin = self.spaces(begin)?;
                next = if begin == b'"' { self.quoted()? } else { self.token(begin)? };
            }
            if b" \t".contains(&next) {
                next = self.spaces(next)?;
                wrong(next != b';')?;
            }
            Ok(next)
        }

        fn token(&mut self, mut byte: u8) -> Result<u8, Stop> {
            if !is_token_byte(byte) {
                return Err(Stop::Wrong(Error::ChunkExtension));
            }
            while is_token_byte(byte) {
                byte = self.after_extension_byte()?;
            }
            let may_follow = b" \t;=\r".contains(&byte);
            if may_follow { Ok(byte) } else { Err(Stop::Wrong(Error::ChunkExtension)) }
        }

        /// Behind the opening quote.
        fn quoted(&mut self) -> Result<u8, Stop> {
            let mut is_escaped = false;
            loop {
                let byte = self.after_extension_byte()?;
                if byte < b' ' && byte != b'\t' || byte == 0x7f {
                    return Err(Stop::Wrong(Error::ChunkExtension));
                }
                match (is_escaped, byte) {
                    (false, b'"') => break,
                    (false, b'\\') => is_escaped = true,
                    _ => is_escaped = false,
                }
            }
            let byte = self.after_extension_byte()?;
            let may_follow = b" \t;\r".contains(&byte);
            if may_follow { Ok(byte) } else { Err(Stop::Wrong(Error::ChunkExtension)) }
        }

        /// Counts a byte that is part of the extensions, and returns the next.
        fn after_extension_byte(&mut self) -> Result<u8, Stop> {
            self.count(Error::ChunkOverhead)?;
            self.next()
        }

        fn trailers(&mut self) -> Result<(), Stop> {
            for number in 1.. {
                let mut byte = self.next()?;
                if byte == b'\r' {
                    break;
                }
                let (mut is_name, mut is_first) = (true, true);
                while is_name || byte != b'\r' {
                    let is_colon = is_name && !is_first && byte == b':';
                    let is_good =
                        if is_name { is_token_byte(byte) } else { is_field_value_byte(byte) };
                    if !is_good && !is_colon {
                        return Err(Stop::Wrong(Error::Trailer));
                    }
                    self.count(Error::TrailersTooLong)?;
                    if number > self.limits.fields_max {
                        return Err(Stop::Wrong(Error::TrailersTooLong));
                    }
                    is_name &= !is_colon;
                    is_first = false;
                    byte = self.next()?;
                }
                self.expect(b'\n', Error::Trailer)?;
            }
            self.expect(b'\n', Error::Trailer)
        }

        fn count(&mut self, error: Error) -> Result<(), Stop> {
            self.overhead += 1;
            if self.overhead > self.limits.chunk_overhead_bytes_max {
                return Err(Stop::Wrong(error));
            }
            Ok(())
        }

        fn expect(&mut self, byte: u8, error: Error) -> Result<(), Stop> {
            if self.next()? == byte { Ok(()) } else { Err(Stop::Wrong(error)) }
        }

        fn next(&mut self) -> Result<u8, Stop> {
            let byte = self.input.get(self.at).ok_or(Stop::Incomplete)?;
            self.at += 1;
            Ok(*byte)
        }
    }

    fn small_limits() -> Limits {
        Limits {
            body_bytes_max: 20,
            chunk_overhead_bytes_max: 12,
            fields_max: 2,
            ..Limits::default()
        }
    }

    #[track_caller]
    fn check(input: &[u8], expected: Result<Option<(&[u8], usize)>, Error>) {
        let limits = small_limits();
        let expected = expected.map(|end| end.map(|(content, at)| (content.to_vec(), at)));
        assert_eq!(Oracle::verdict(input, &limits), expected, "oracle");
        for first in 0..=input.len() {
            for second in first..=input.len() {
                assert_eq!(decode(input, &[first, second], &limits), expected, "{first} {second}");
            }
        }
    }

    #[test]
    fn chunks_are_joined_and_what_follows_is_left() {
        check(b"0\r\n\r\nGET", Ok(Some((b"", 5))));
        check(b"5\r\nhello\r\n0006\r\n world\r\n0\r\n\r\n", Ok(Some((b"hello world", 29))));
        check(b"a;x=\"y\"\r\n0123456789\r\n0 \t;z\r\n\r\n.", Ok(Some((b"0123456789", 30))));
        check(b"00000000000000001", Err(Error::ChunkSize));
        check(b"0\r\nA: b\r\nC:\r\n\r\n", Ok(Some((b"", 15))));
        check(b"5\r\nhel", Ok(None));
    }

    #[test]
    fn nonsense_is_named() {
        for bad in [
            &b"\r\n"[..],
            b"g\r\n",
            b"0x5\r\n",
            b"+5\r\n",
            b"-1\r\n",
            b" 5\r\n",
            b"5\nhello",
            b";a\r\n",
        ] {
            check(bad, Err(Error::ChunkSize));
        }
        check(b"10000000000000000\r\n", Err(Error::ChunkSize));
        check(b"5\r\rhello", Err(Error::ChunkLineEnd));
        check(b"5\r\nhello!\r\n", Err(Error::ChunkDataEnd));
        check(b"5\r\nhello\n0\r\n", Err(Error::ChunkDataEnd));
        for bad in [
            &b"0\r\n:x\r\n"[..],
            b"0\r\n a: b\r\n",
            b"0\r\na b: c\r\n",
            b"0\r\na\r\n",
            b"0\r\na: \0",
            b"0\r\n\n",
            b"0\r\n\r\r",
        ] {
            check(bad, Err(Error::Trailer));
        }
    }

    const EXTENSIONS: [&[u8]; 9] = [
        b";a",
        b";a;b;c",
        b" ; a = b",
        b"\t;\ta\t=\tb",
        b";a ;b=c ;d",
        b";!#$=%&'*+-",
        b";a=\"\"",
        b";a=\"b;\xff\t\"",
        b";a=\"\\\"\\\\\"",
    ];

    const NO_EXTENSIONS: [&[u8]; 18] = [
        b" \r\n",
        b"\t5\r\n",
        b";\r\n",
        b"; \r\n",
        b";;a\r\n",
        b";=b\r\n",
        b";a=\r\n",
        b";a=;\r\n",
        b";a \r\n",
        b";a=b \r\n",
        b";a b\r\n",
        b";a=b=c\r\n",
        b";a=b\"c\"\r\n",
        b";b@d=x\r\n",
        b";a=\"b\r\n",
        b";a=\"b\"c\r\n",
        b";a=\"b\\\r\n",
        b";\"a\"\r\n",
    ];

    #[test]
    fn an_extension_has_a_form() {
        for extension in EXTENSIONS {
            let input = [b"5", extension, b"\r\nhello\r\n0\r\n\r\n"].concat();
            check(&input, Ok(Some((b"hello", input.len()))));
        }
        for wrong in NO_EXTENSIONS {
            check(&[b"5", wrong, b"hello\r\n0\r\n\r\n"].concat(), Err(Error::ChunkExtension));
        }
        for control in [&b"\0"[..], b"\n", b"\x7f"] {
            check(&[b"5;a", control].concat(), Err(Error::ChunkExtension));
            check(&[b"5;a=\"", control].concat(), Err(Error::ChunkExtension));
            check(&[b"5;a=\"\\", control].concat(), Err(Error::ChunkExtension));
        }
    }

    #[test]
    fn a_client_takes_any_text_for_an_extension() {
        let of_reply = |input: &[u8]| {
            let (mut decoder, mut rest) = (Decoder::default(), input);
            let limits = &ReplyLimits::default();
            decoder.decode(&mut rest, limits, |data| assert_eq!(data, b"hello"))
        };
        for extension in NO_EXTENSIONS {
            let input = [b"5", extension, b"hello\r\n0\r\n\r\n"].concat();
            let is_text = extension[0] == b';' || extension == b" \r\n";
            let expected = if is_text { Ok(Progress::Done) } else { Err(Error::ChunkExtension) };
            assert_eq!(of_reply(&input), expected, "{}", extension.escape_ascii());
        }
        assert_eq!(of_reply(b"5;a\0\r\nhello"), Err(Error::ChunkExtension));
    }

    #[test]
    fn a_client_takes_padded_sizes_and_folded_trailers() {
        let limits =
            ReplyLimits { chunk_overhead_bytes_max: 10, fields_max: 2, ..ReplyLimits::default() };
        for (chunks, expected) in [
            (&b"5 \r\nhello\r\n0\t \r\n\r\n"[..], Ok(())),
            (b"5  ;a\r\nhello\r\n0\r\n\r\n", Ok(())),
            (b"5         \r\nhello\r\n0  \r\n", Err(Error::ChunkOverhead)),
            (b"5 5\r\nhello", Err(Error::ChunkExtension)),
            (b" 5\r\nhello", Err(Error::ChunkSize)),
            (b"5\r\nhello\r\n0\r\nA: b\r\n c\r\nD:\r\n\r\n", Ok(())),
            (b"5\r\nhello\r\n0\r\nA: b\r\n \0\r\n\r\n", Err(Error::Trailer)),
            (b"5\r\nhello\r\n0\r\n A: b\r\n\r\n", Err(Error::Trailer)),
            (b"5\r\nhello\r\n0\r\nA:\r\n        \r\n \r\n", Err(Error::TrailersTooLong)),
        ] {
            for cut in 0..=chunks.len() {
                let (mut decoder, mut content) = (Decoder::default(), Vec::new());
                let [first, second] = [&chunks[..cut], &chunks[cut..]].map(|mut piece| {
                    if decoder.state == State::Done {
                        return Ok(Progress::Done);
                    }
                    decoder.decode(&mut piece, &limits, |data| content.extend_from_slice(data))
                });
                let outcome =
                    first.and(second).map(|progress| assert_eq!(progress, Progress::Done));
                assert_eq!(outcome, expected, "{} at {cut}", chunks.escape_ascii());
                assert!(outcome.is_err() || content == b"hello");
            }
        }
        let strict = Limits::default();
        for chunks in [&b"5 \r\n"[..], b"0\r\nA: b\r\n c"] {
            let outcome = Decoder::default().decode(&mut &chunks[..], &strict, |_| {});
            assert!(outcome.is_err(), "{}", chunks.escape_ascii());
        }
    }

    #[test]
    fn limits_are_exact() {
        check(b"14\r\n", Ok(None));
        check(b"15\r\n", Err(Error::BodyTooLong));
        check(b"10\r\n0123456789abcdef\r\n5\r\n", Err(Error::BodyTooLong));
        check(b"ffffffffffffffff\r\n", Err(Error::BodyTooLong));
        check(b"1;2345678901\r\n0\r\n2;", Ok(None));
        check(b"1;2345678901\r\n0\r\n2;a", Err(Error::ChunkOverhead));
        check(b"1;23456789012\r\n", Ok(None));
        check(b"1;234567890123\r\n", Err(Error::ChunkOverhead));
        check(b"0;23456\r\na:b456\r\n\r\n", Ok(Some((b"", 19))));
        check(b"0;23456\r\na:b4567\r\n", Err(Error::TrailersTooLong));
        check(b"0\r\na:\r\nb:\r\nc", Err(Error::TrailersTooLong));
    }

    #[test]
    fn random_bytes_are_judged_as_the_oracle_judges() {
        // Fragments, so that a good part of the inputs gets past the first line.
        let fragments: [&[u8]; 20] = [
            b"0",
            b"1",
            b"5",
            b"a",
            b"\r\n",
            b"\r\n",
            b"\r\n",
            b"hello",
            b";",
            b" ",
            b"x: y",
            b";x",
            b"=",
            b"\"",
            b"\\",
            b"\n",
            b"\r",
            b"0\r\n\r\n",
            b"5\r\nhello\r\n",
            b"\xff",
        ];
        let (limits, mut random) = (small_limits(), fastrand::Rng::with_seed(0x6c6f6f70));
        let mut complete = 0;
        for round in 0..200_000 {
            let mut input = Vec::new();
            for _ in 0..random.usize(1..10) {
                input.extend_from_slice(fragments[random.usize(..fragments.len())]);
            }
            let cut = random.usize(..=input.len());
            let expected = Oracle::verdict(&input, &limits);
            complete += usize::from(matches!(expected, Ok(Some(_))));
            assert_eq!(
                decode(&input, &[cut], &limits),
                expected,
                "round {round}: {input:?} at {cut}"
            );
        }
        assert!(complete > 10_000, "the inputs exercise the good paths too: {complete}");
    }
}
