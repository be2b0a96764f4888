//! gzip and deflate (RFC 9110 sections 8.4.1.2 and 8.4.1.3), by the crate `flate2`.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use super::{Coding, Flaw, IN_THE_MIDDLE, PIECE_BYTES, Step};

/// Coded bytes that are decoded at once. Decoded they are at most about a thousand times as many, so
/// that a piece of the body, and what a bomb can do before it is noticed, stays near a megabyte.
const CODED_BYTES_PER_STEP: usize = 1024;

/// gzip: members, one after the other.
pub(super) struct Gzip(MultiGzDecoder<Vec<u8>>);

impl Default for Gzip {
    fn default() -> Gzip {
        Gzip(MultiGzDecoder::new(Vec::new()))
    }
}

impl Coding for Gzip {
    fn decode(&mut self, coded: &[u8], plain: &mut Vec<u8>) -> Result<Step, Flaw> {
        let taken = coded.len().min(CODED_BYTES_PER_STEP);
        self.0.write_all(&coded[..taken]).map_err(|error| error.to_string())?;
        plain.append(self.0.get_mut());
        Ok(Step { taken, is_starved: taken == coded.len() })
    }

    fn finish(&mut self, plain: &mut Vec<u8>) -> Result<(), Flaw> {
        self.0.try_finish().map_err(|_| "it ends in the middle, or its checksum is wrong")?;
        plain.append(self.0.get_mut());
        Ok(())
    }
}

/// deflate: with the header of zlib, as RFC 9110 has it, or without, as some servers do. Browsers
/// take both.
#[derive(Default)]
pub(super) struct Deflate {
    /// `None` until it is known which of the two it is.
    inflate: Option<Decompress>,
    is_over: bool,
}

impl Coding for Deflate {
    fn decode(&mut self, coded: &[u8], plain: &mut Vec<u8>) -> Result<Step, Flaw> {
        if self.is_over {
            return match coded {
                [] => Ok(Step { taken: 0, is_starved: true }),
                _ => Err("more bytes come after its end".into()),
            };
        }
        let inflate = match (&mut self.inflate, coded) {
            (Some(inflate), _) => inflate,
            (None, [first, second, ..]) => {
                self.inflate.insert(Decompress::new(is_zlib(*first, *second)))
            }
            (None, _) => return Ok(Step { taken: 0, is_starved: true }),
        };
        plain.reserve(coded.len().saturating_mul(8).clamp(512, PIECE_BYTES));
        let mut taken = 0;
        loop {
            let before = (inflate.total_in(), plain.len());
            let status = inflate
                .decompress_vec(&coded[taken..], plain, FlushDecompress::None)
                .map_err(|error| error.to_string())?;
            taken += usize::try_from(inflate.total_in() - before.0).expect("it is in the input");
            // It may hold back output although all input is taken and there is room.
            let is_stuck = (inflate.total_in(), plain.len()) == before;
            self.is_over = status == Status::StreamEnd;
            if self.is_over {
                return Ok(Step { taken, is_starved: taken == coded.len() });
            }
            if is_stuck || plain.len() == plain.capacity() {
                return Ok(Step { taken, is_starved: is_stuck });
            }
        }
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), Flaw> {
        if self.is_over { Ok(()) } else { Err(IN_THE_MIDDLE) }
    }
}

/// Whether a stream that begins so has the header of zlib (RFC 1950 section 2.2). Without it, the
/// low bits of the first byte would be those of a stored block whose unused bits are not zero, which
/// nobody writes.
fn is_zlib(first: u8, second: u8) -> bool {
    first & 0x0f == 8 && u16::from_be_bytes([first, second]).is_multiple_of(31)
}
