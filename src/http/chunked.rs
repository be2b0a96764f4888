//! The chunked coding, taken off byte by byte (RFC 9112 section 7.1).
//!
//! ```text
//! chunked-body = *( size [ext] CRLF data CRLF )  1*"0" [ext] CRLF  *( trailer CRLF )  CRLF
//! ```
//!
//! Strict where others were lenient and got smuggled through: every line ends with CRLF, a size is
//! 1 to 16 hexadecimal digits and nothing else, white space stands only before an extension.

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
}

impl From<&Limits> for ChunkLimits {
    fn from(limits: &Limits) -> ChunkLimits {
        ChunkLimits {
            body_bytes_max: limits.body_bytes_max,
            overhead_bytes_max: limits.chunk_overhead_bytes_max,
            trailers_max: limits.fields_max,
        }
    }
}

impl From<&ReplyLimits> for ChunkLimits {
    fn from(limits: &ReplyLimits) -> ChunkLimits {
        ChunkLimits {
            body_bytes_max: limits.body_bytes_max,
            overhead_bytes_max: limits.chunk_overhead_bytes_max,
            trailers_max: limits.fields_max,
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
    /// White space behind a size: an extension must follow.
    SpaceBeforeExtension,
    Extension,
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

impl Decoder {
    /// Consumes `input` up to the end of the body and gives the content to `sink`, in order and in
    /// pieces that are not empty. Extensions and trailers are checked and dropped.
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

    /// Consumes `input` up to the end of the next piece of content: [`Decoder::decode`] by hand.
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
            State::SpaceBeforeExtension | State::Extension | State::SizeLf | State::Data => {
                self.remaining
            }
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

            (State::SpaceBeforeExtension, b' ' | b'\t') => self.extension(limits, self.state),
            (State::SpaceBeforeExtension, b';') => self.extension(limits, State::Extension),
            (State::SpaceBeforeExtension, _) => Err(Error::ChunkExtension),
            (State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Extension, _) if is_field_value_byte(byte) => {
                self.extension(limits, State::Extension)
            }
            (State::Extension, _) => Err(Error::ChunkExtension),

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
        let next = match byte {
            b'\r' => State::SizeLf,
            b';' => State::Extension,
            b' ' | b'\t' => State::SpaceBeforeExtension,
            _ => return Err(Error::ChunkSize),
        };
        // No chunk is read that could not be kept.
        self.announced_bytes = match self.announced_bytes.checked_add(self.remaining) {
            Some(bytes) if bytes <= limits.body_bytes_max => bytes,
            _ => return Err(Error::BodyTooLong),
        };
        if next == State::SizeLf { Ok(next) } else { self.extension(limits, next) }
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
    fn extension(&mut self, limits: &ChunkLimits, next: State) -> Result<State, Error> {
        self.overhead_bytes += 1;
        if self.overhead_bytes > limits.overhead_bytes_max {
            return Err(Error::ChunkOverhead);
        }
        Ok(next)
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
            while b" \t".contains(&end) {
                self.count(Error::ChunkOverhead)?;
                end = self.next()?;
                if !b" \t;".contains(&end) {
                    return Err(Stop::Wrong(Error::ChunkExtension));
                }
            }
            while end != b'\r' {
                if end < b' ' && end != b'\t' || end == 0x7f {
                    return Err(Stop::Wrong(Error::ChunkExtension));
                }
                self.count(Error::ChunkOverhead)?;
                end = self.next()?;
            }
            self.expect(b'\n', Error::ChunkLineEnd)?;
            Ok(size)
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
        check(b"5 \r\nhello", Err(Error::ChunkExtension));
        check(b"5;a\nhello", Err(Error::ChunkExtension));
        check(b"5;a\0\r\n", Err(Error::ChunkExtension));
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

    #[test]
    fn limits_are_exact() {
        check(b"14\r\n", Ok(None));
        check(b"15\r\n", Err(Error::BodyTooLong));
        check(b"10\r\n0123456789abcdef\r\n5\r\n", Err(Error::BodyTooLong));
        check(b"ffffffffffffffff\r\n", Err(Error::BodyTooLong));
        check(b"1;2345678901\r\n0\r\n2;\r\n", Ok(None));
        check(b"1;2345678901\r\n0\r\n2;;", Err(Error::ChunkOverhead));
        check(b"1;23456789012\r\n", Ok(None));
        check(b"1;234567890123\r\n", Err(Error::ChunkOverhead));
        check(b"0;23456\r\na:b456\r\n\r\n", Ok(Some((b"", 19))));
        check(b"0;23456\r\na:b4567\r\n", Err(Error::TrailersTooLong));
        check(b"0\r\na:\r\nb:\r\nc", Err(Error::TrailersTooLong));
    }

    #[test]
    fn random_bytes_are_judged_as_the_oracle_judges() {
        // Fragments, so that a good part of the inputs gets past the first line.
        let fragments: [&[u8]; 16] = [
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
