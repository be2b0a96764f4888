//! zstd (RFC 8878), by the crate `ruzstd`.
//!
//! That reads from where it may wait for bytes. So a header or a block is given to it when all of it
//! is here. What it decodes it holds back up to the size of the window, which later blocks may refer
//! to: a body within one window comes when its frame is over.

use std::io::Read;

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Coding, Flaw, IN_THE_MIDDLE, PIECE_BYTES, Step};

/// What a reader of this coding must support, and a sender must not exceed (RFC 9659 section 3).
const WINDOW_BYTES_MAX: u64 = 8 * 1024 * 1024;

const MAGIC: [u8; 4] = 0xfd2f_b528_u32.to_le_bytes();

/// Bytes that a block may take: the bound of its content (RFC 8878 section 3.1.1.2.3).
const BLOCK_BYTES_MAX: usize = 128 * 1024;

/// Bytes of the checksum behind the last block, if there is one.
const CHECKSUM_BYTES: usize = 4;

/// Bytes of a block's header: whether it is the last, its kind, and its size.
const BLOCK_HEADER_BYTES: usize = 3;

/// A kind of block: one byte, so many times. All others have as many bytes as they say.
const RUN: u32 = 1;

pub(super) struct Zstd {
    decoder: FrameDecoder,
    place: Place,
}

enum Place {
    /// Before a frame, or at the end.
    Between,
    /// In a frame that is to be skipped; so many bytes of it are to come, at least one.
    Skipping(u32),
    /// In a frame, before a block or at its end.
    Frame(Frame),
}

struct Frame {
    /// A checksum follows the last block.
    has_checksum: bool,
    /// What the frame comes to, if its header says so.
    announced_bytes: Option<u64>,
    /// Bytes that came out of it.
    decoded_bytes: u64,
}

impl Zstd {
    pub(super) fn new() -> Zstd {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW_BYTES_MAX);
        Zstd { decoder, place: Place::Between }
    }

    /// Begins a frame. `None`: not all of its header is here.
    fn begin(&mut self, coded: &[u8]) -> Result<Option<usize>, Flaw> {
        let could_be = |magic: &[u8]| coded.iter().zip(magic).all(|(byte, other)| byte == other);
        if let [0x50..=0x5f, ..] = coded
            && could_be(&[coded[0], 0x2a, 0x4d, 0x18])
        {
            let Some(bytes) = coded.get(4..8) else { return Ok(None) };
            let bytes = u32::from_le_bytes(bytes.try_into().expect("four bytes"));
            self.place = if bytes == 0 { Place::Between } else { Place::Skipping(bytes) };
            return Ok(Some(8));
        }
        if !could_be(&MAGIC) {
            return Err("no frame begins where one should".into());
        }
        let Some(descriptor) = coded.get(MAGIC.len()) else { return Ok(None) };
        let (header_bytes, has_size) = header_bytes(*descriptor);
        let Some(mut header) = coded.get(..header_bytes) else { return Ok(None) };
        self.decoder.reset(&mut header).map_err(|error| error.to_string())?;
        self.place = Place::Frame(Frame {
            has_checksum: descriptor & 0b100 != 0,
            announced_bytes: has_size.then(|| self.decoder.content_size()),
            decoded_bytes: 0,
        });
        Ok(Some(header_bytes))
    }
}

impl Coding for Zstd {
    fn decode(&mut self, coded: &[u8], plain: &mut Vec<u8>) -> Result<Step, Flaw> {
        let taken = match &mut self.place {
            Place::Between => self.begin(coded)?,
            Place::Skipping(bytes) => {
                let here = coded.len().min(*bytes as usize);
                *bytes -= u32::try_from(here).expect("it is at most that many");
                if *bytes == 0 {
                    self.place = Place::Between;
                }
                (here > 0).then_some(here)
            }
            Place::Frame(frame) => {
                let taken = if self.decoder.can_collect() > 0 {
                    frame.decoded_bytes += take(&mut self.decoder, plain)? as u64;
                    Some(0)
                } else {
                    block(&mut self.decoder, frame, coded)?
                };
                if self.decoder.is_finished() && self.decoder.can_collect() == 0 {
                    frame.check(&self.decoder)?;
                    self.place = Place::Between;
                }
                taken
            }
        };
        Ok(Step { taken: taken.unwrap_or(0), is_starved: taken.is_none() })
    }

    fn finish(&mut self, _: &mut Vec<u8>) -> Result<(), Flaw> {
        match self.place {
            Place::Between => Ok(()),
            Place::Skipping(_) | Place::Frame(_) => Err(IN_THE_MIDDLE),
        }
    }
}

/// Decodes a block. `None`: not all of it is here.
fn block(decoder: &mut FrameDecoder, frame: &Frame, coded: &[u8]) -> Result<Option<usize>, Flaw> {
    let [first, second, third, ..] = *coded else { return Ok(None) };
    let header = u32::from_le_bytes([first, second, third, 0]);
    let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 0b11, (header >> 3) as usize);
    let content_bytes = match kind {
        RUN => 1,
        _ if size > BLOCK_BYTES_MAX => return Err("a block is too long".into()),
        _ => size,
    };
    let checksum_bytes = if is_last && frame.has_checksum { CHECKSUM_BYTES } else { 0 };
    let block_bytes = BLOCK_HEADER_BYTES + content_bytes + checksum_bytes;
    let Some(mut block) = coded.get(..block_bytes) else { return Ok(None) };
    decoder
        .decode_blocks(&mut block, BlockDecodingStrategy::UptoBlocks(1))
        .map_err(|error| error.to_string())?;
    Ok(Some(block_bytes))
}

/// Takes out what is decoded, and not needed for later blocks.
fn take(decoder: &mut FrameDecoder, plain: &mut Vec<u8>) -> Result<usize, Flaw> {
    plain.resize(decoder.can_collect().min(PIECE_BYTES), 0);
    let bytes = decoder.read(plain).map_err(|error| error.to_string())?;
    plain.truncate(bytes);
    Ok(bytes)
}

impl Frame {
    /// Whether a frame that is over is what it was announced to be.
    fn check(&self, decoder: &FrameDecoder) -> Result<(), Flaw> {
        if self.announced_bytes.is_some_and(|bytes| bytes != self.decoded_bytes) {
            return Err("a frame is not as long as it says".into());
        }
        if self.has_checksum
            && decoder.get_checksum_from_data() != decoder.get_calculated_checksum()
        {
            return Err("a checksum is wrong".into());
        }
        Ok(())
    }
}

/// The length of a frame header with this descriptor, its magic included, and whether it says how
/// long its content is (RFC 8878 section 3.1.1.1).
fn header_bytes(descriptor: u8) -> (usize, bool) {
    let (size_flag, is_single) = (descriptor >> 6, descriptor & 0b10_0000 != 0);
    let window_bytes = usize::from(!is_single);
    let dictionary_bytes = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    let size_bytes = match size_flag {
        0 => usize::from(is_single),
        flag => 1 << flag,
    };
    let header_bytes = MAGIC.len() + 1 + window_bytes + dictionary_bytes + size_bytes;
    (header_bytes, size_bytes > 0)
}
