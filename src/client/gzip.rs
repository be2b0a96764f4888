//! Taking the gzip coding off (RFC 9110 section 8.4.1.3).

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;

use flate2::write::MultiGzDecoder;

use super::error::{Error, ErrorKind, Phase};

/// What a request says that it accepts.
pub(super) const ACCEPT_ENCODING: Option<&str> = Some("gzip");

/// Coded bytes that are decoded at once. Decoded they are at most about a thousand times as many, so
/// that a piece of the body, and what a bomb can do before it is noticed, stays near a megabyte.
const CODED_BYTES_PER_PIECE: usize = 1024;

/// Takes the coding off, piece by piece. A body that ends in the middle of its coding is an error,
/// although other clients let it pass.
pub(super) struct Decoder {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// Coded bytes that are not decoded yet.
    waiting: VecDeque<u8>,
}

impl Decoder {
    pub(super) fn new() -> Option<Decoder> {
        let (decoder, waiting) = (MultiGzDecoder::new(Vec::new()), VecDeque::new());
        Some(Decoder { decoder, waiting })
    }

    /// Decodes some of what has come; empty while nothing is known yet.
    pub(super) fn decode(&mut self, piece: Vec<u8>) -> Result<Vec<u8>, Error> {
        if self.waiting.is_empty() {
            self.waiting = piece.into();
        } else {
            self.waiting.extend(piece);
        }
        let here = self.waiting.len().min(CODED_BYTES_PER_PIECE);
        let coded: Vec<u8> = self.waiting.drain(..here).collect();
        self.decoder.write_all(&coded).map_err(|error| bad(&error))?;
        Ok(std::mem::take(self.decoder.get_mut()))
    }

    /// Whether more can be decoded without more input.
    pub(super) fn has_more(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The input is over: what is left, if the coding is over as well.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, Error> {
        let finished = self.decoder.try_finish();
        finished.map_err(|_| bad(&"it ends in the middle, or its checksum is wrong"))?;
        Ok(std::mem::take(self.decoder.get_mut()))
    }
}

fn bad(what: &dyn fmt::Display) -> Error {
    let message = format!("the body is not the gzip that it claims to be: {what}");
    Error::new(ErrorKind::Protocol, Phase::Body, message)
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn coded(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    /// Decodes `coded`, given in pieces of `size` bytes; and the longest piece that came out.
    fn decoded(coded: &[u8], size: usize) -> Result<(Vec<u8>, usize), Error> {
        let mut decoder = Decoder::new().unwrap();
        let (mut body, mut longest) = (Vec::new(), 0);
        let mut take = |piece: Vec<u8>| {
            longest = longest.max(piece.len());
            body.extend(piece);
        };
        for piece in coded.chunks(size) {
            take(decoder.decode(piece.to_vec())?);
            while decoder.has_more() {
                take(decoder.decode(Vec::new())?);
            }
        }
        take(decoder.finish()?);
        Ok((body, longest))
    }

    #[test]
    fn any_cut_gives_the_same_body_and_a_cut_off_end_an_error() {
        let body = b"hello, hello, hello".repeat(100);
        let whole = coded(&body);
        for size in 1..=whole.len() {
            assert_eq!(decoded(&whole, size).unwrap().0, body);
        }
        for end in 0..whole.len() {
            let error = decoded(&whole[..end], 16).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Protocol, "{end}: {error}");
        }
        let mut wrong = whole.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(decoded(&wrong, 16).unwrap_err().kind(), ErrorKind::Protocol);
        assert_eq!(decoded(b"hello", 5).unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn two_members_are_one_body_and_a_bomb_comes_in_small_pieces() {
        let both = [coded(b"a"), coded(b"b")].concat();
        assert_eq!(decoded(&both, 7).unwrap().0, b"ab");
        let (body, longest) = decoded(&coded(&vec![0; 50_000_000]), 64 * 1024).unwrap();
        assert_eq!(body.len(), 50_000_000);
        assert!(longest < 2_000_000, "{longest}");
    }
}
