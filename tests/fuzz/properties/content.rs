//! The content of a reply, with its coding and its charset taken off by the client: it fetches in a
//! simulated world, from a server that sends what the bytes say.

use std::cell::RefCell;
#[cfg(feature = "zstd")]
use std::io;
use std::io::Read;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use encoding_rs::{Encoding, UTF_8};
use flate2::read::{DeflateEncoder, GzEncoder, MultiGzDecoder, ZlibEncoder};
use flate2::{Decompress, FlushDecompress, Status};
use helloop::client::{Client, Error, ErrorKind};
use helloop::event_loop::EventLoop;
use helloop::world::sim::{Faults, Net, Peer, Sim};

use super::{BeginsWith, Property, choice, has};

pub(super) const PROPERTY: Property =
    Property { name: "content", hold, seed, begins_with: BeginsWith::Replies };

/// Labels of charsets; an empty one is none.
const LABELS: [&str; 16] = [
    "",
    "utf-8",
    "latin1",
    "utf-16le",
    "utf-16be",
    "shift_jis",
    "iso-2022-jp",
    "euc-jp",
    "gb18030",
    "big5",
    "euc-kr",
    "koi8-r",
    "x-user-defined",
    "x-mac-cyrillic",
    "replacement",
    "nonsense",
];

/// Decoded bytes that the client takes: all that an input can come to, or few.
const ENOUGH_BYTES: u64 = 1 << 24;
const FEW_BYTES: u64 = 1000;

/// The most that may be given at once, see `CODED_BYTES_PER_PIECE` of the client.
const PIECE_BYTES_MAX: usize = 2 << 20;

/// What the client made of a reply.
type Outcome = Result<Vec<u8>, Error>;

/// How the content is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    #[cfg(feature = "brotli")]
    Br,
    #[cfg(feature = "zstd")]
    Zstd,
}

/// What another decoder makes of a content.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    /// This.
    Content(Vec<u8>),
    /// This, or else it is wrong in a way that the other decoder lets pass.
    ContentOrWrong(Vec<u8>),
    /// It is wrong, or more than the client takes.
    Wrong,
}

/// The first byte: 1 the reply says that it is coded; 2 what follows is coded first, so that it is; 4
/// the client takes only a little; 8 the reply comes byte after byte; 16 and 32 choose the coding. The
/// second chooses the charset, and where the reply is cut. The content follows.
fn hold(data: &[u8]) {
    let (bits, rest) = choice(data);
    let (number, content) = choice(rest);
    let label = LABELS[usize::from(number % 16)];
    let coding = coding(bits >> 4 & 3);
    let sent = if has(bits, 2) { coding.coded(content, number) } else { content.to_vec() };
    let is_coded = has(bits, 1);
    let expected = match is_coded {
        true if has(bits, 2) && !sent.is_empty() => Expected::Content(content.to_vec()),
        true => coding.decoded(&sent),
        false => Expected::Content(sent.clone()),
    };
    let most = if has(bits, 4) { FEW_BYTES } else { ENOUGH_BYTES };
    let reply = Reply { label, coding: is_coded.then_some(coding), sent, most };

    let cut_bytes = if has(bits, 8) { 1 } else { 1 + usize::from(number / 16) * 7 };
    let mut outcomes = [usize::MAX, cut_bytes].map(|piece_bytes| {
        let (bytes, text) = reply.fetch(piece_bytes);
        reply.check_bytes(&bytes, &expected);
        reply.check_text(text, &bytes);
        bytes.map_err(|error| error.kind())
    });
    if is_coded && outcomes.iter().all(Result::is_err) {
        // What is too long and wrong is called by what is found first.
        outcomes = [const { Ok(Vec::new()) }; 2];
    }
    assert_eq!(outcomes[0], outcomes[1], "cut every {cut_bytes} bytes");
}

fn coding(number: u8) -> Coding {
    match number {
        #[cfg(feature = "brotli")]
        2 => Coding::Br,
        #[cfg(feature = "zstd")]
        3 => Coding::Zstd,
        1 => Coding::Deflate,
        _ => Coding::Gzip,
    }
}

struct Reply {
    label: &'static str,
    coding: Option<Coding>,
    sent: Vec<u8>,
    /// Bytes of content that the client takes.
    most: u64,
}

impl Reply {
    fn head(&self) -> String {
        let coding = self.coding.map(|coding| format!("Content-Encoding: {}\r\n", coding.name()));
        let coding = coding.unwrap_or_default();
        let (length, label) = (self.sent.len(), self.label);
        format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain; charset={label}\r\n{coding}\
             Content-Length: {length}\r\n\r\n"
        )
    }

    /// Fetches it twice, with the content in pieces of so many bytes: its bytes, and its text.
    fn fetch(&self, piece_bytes: usize) -> (Outcome, Result<String, Error>) {
        let world = Sim::with_faults(1, Faults::NONE);
        let net = world.net();
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let mut pieces = vec![self.head().into_bytes()];
        pieces.extend(self.sent.chunks(piece_bytes).map(<[u8]>::to_vec));
        let guests = Rc::new(RefCell::new(Vec::new()));
        let kept = Rc::clone(&guests);
        net.serve(address, move |net, peer| {
            let peer = Rc::new(peer);
            send_in_time(net, &peer, &pieces);
            kept.borrow_mut().push(peer);
        });

        let mut event_loop = EventLoop::with_world(Box::new(world));
        let client = Client::builder(event_loop.handle()).body_bytes_max(self.most).build();
        let client = client.expect("good limits");
        let is_coded = self.coding.is_some();
        let both = async move {
            let get = || client.get("http://127.0.0.1/").send();
            let bytes = collect(get().await, is_coded).await;
            let text = match get().await {
                Ok(reply) => reply.text().await,
                Err(error) => Err(error),
            };
            (bytes, text)
        };
        let outcome = event_loop.run_until_complete(both).expect("no panic");
        guests.borrow_mut().clear();
        outcome
    }

    fn check_bytes(&self, bytes: &Outcome, expected: &Expected) {
        match (bytes, expected) {
            (Ok(bytes), Expected::Content(expected) | Expected::ContentOrWrong(expected)) => {
                assert!(bytes == expected, "other bytes");
            }
            (Ok(_), Expected::Wrong) => panic!("another decoder refuses this"),
            (Err(error), _) => match (error.kind(), expected) {
                (
                    ErrorKind::TooLong,
                    Expected::Content(content) | Expected::ContentOrWrong(content),
                ) => {
                    // Before its coding comes off, or after.
                    let longest = content.len().max(self.sent.len());
                    assert!(longest as u64 > self.most, "{error}");
                }
                (ErrorKind::TooLong, Expected::Wrong) => {}
                (ErrorKind::Protocol, Expected::ContentOrWrong(_) | Expected::Wrong) => {}
                _ => panic!("{error}"),
            },
        }
    }

    /// The text is that of the bytes.
    fn check_text(&self, text: Result<String, Error>, bytes: &Outcome) {
        match (text, bytes) {
            (Ok(text), Ok(bytes)) => assert_eq!(text, text_of(self.label, bytes)),
            (Err(error), Err(other)) => assert_eq!(error.kind(), other.kind()),
            (text, bytes) => panic!("{text:?} of {bytes:?}"),
        }
    }
}

/// Sends one piece a millisecond.
fn send_in_time(net: &Net, peer: &Rc<Peer>, pieces: &[Vec<u8>]) {
    let mut due = net.now();
    for piece in pieces {
        due = due + Duration::from_millis(1);
        let (peer, piece) = (Rc::clone(peer), piece.clone());
        net.at(due, move |_| peer.send(&piece));
    }
}

/// The whole content; what is given at once is never much.
async fn collect(reply: Result<helloop::client::Reply, Error>, is_coded: bool) -> Outcome {
    let mut reply = reply?;
    let mut all = Vec::new();
    while let Some(piece) = reply.chunk().await? {
        assert!(!piece.is_empty(), "a piece is never empty");
        assert!(!is_coded || piece.len() <= PIECE_BYTES_MAX, "{} bytes at once", piece.len());
        all.extend(piece);
    }
    Ok(all)
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            #[cfg(feature = "brotli")]
            Coding::Br => "br",
            #[cfg(feature = "zstd")]
            Coding::Zstd => "zstd",
        }
    }

    /// `number` chooses between the ways to do it.
    fn coded(self, content: &[u8], number: u8) -> Vec<u8> {
        let level = flate2::Compression::default();
        let is_odd = number % 2 == 1;
        match self {
            Coding::Gzip => read(GzEncoder::new(content, level)),
            Coding::Deflate if is_odd => read(DeflateEncoder::new(content, level)),
            Coding::Deflate => read(ZlibEncoder::new(content, level)),
            #[cfg(feature = "brotli")]
            Coding::Br => uncompressed_brotli(content),
            #[cfg(feature = "zstd")]
            Coding::Zstd => {
                use ruzstd::encoding::{CompressionLevel, compress_to_vec};
                let none = CompressionLevel::Uncompressed;
                compress_to_vec(content, if is_odd { none } else { CompressionLevel::Fastest })
            }
        }
    }

    /// What another decoder, or the same driven in another way, makes of it. No content at all needs no
    /// coding.
    fn decoded(self, coded: &[u8]) -> Expected {
        if coded.is_empty() {
            return Expected::Content(Vec::new());
        }
        let or_wrong = Expected::ContentOrWrong;
        match self {
            Coding::Gzip => read_some(MultiGzDecoder::new(coded), Expected::Content),
            Coding::Deflate => inflated(coded),
            #[cfg(feature = "brotli")]
            Coding::Br => read_some(brotli_decompressor::Decompressor::new(coded, 4096), or_wrong),
            #[cfg(feature = "zstd")]
            Coding::Zstd => read_some(Frames { rest: coded, present: None }, or_wrong),
        }
    }
}

fn read(mut from: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    from.read_to_end(&mut all).expect("memory can be read");
    all
}

/// What can be read, if that is not more than the client takes.
fn read_some(from: impl Read, expected: impl Fn(Vec<u8>) -> Expected) -> Expected {
    let mut decoded = Vec::new();
    match from.take(ENOUGH_BYTES + 1).read_to_end(&mut decoded) {
        Ok(_) if decoded.len() as u64 <= ENOUGH_BYTES => expected(decoded),
        _ => Expected::Wrong,
    }
}

/// All at once.
fn inflated(coded: &[u8]) -> Expected {
    let has_header = matches!(coded, [first, second, ..]
        if first & 0x0f == 8 && (u32::from(*first) * 256 + u32::from(*second)) % 31 == 0);
    // No byte comes to more.
    let mut decoded = Vec::with_capacity(1100 * coded.len() + 100);
    let mut inflate = Decompress::new(has_header);
    // Without a checksum, and without all of its output at hand, the library takes what is before the
    // beginning for zeros.
    let flush = if has_header { FlushDecompress::Finish } else { FlushDecompress::None };
    let status = inflate.decompress_vec(coded, &mut decoded, flush);
    match status {
        Ok(Status::StreamEnd) if inflate.total_in() == coded.len() as u64 => {
            Expected::Content(decoded)
        }
        _ => Expected::Wrong,
    }
}

/// Blocks that are as they are (RFC 7932 section 9.2).
#[cfg(feature = "brotli")]
fn uncompressed_brotli(content: &[u8]) -> Vec<u8> {
    // A window of 16 bits is one bit. Then: not the last block, four digits of length, uncompressed.
    let (mut coded, mut bits) = (Vec::new(), 1);
    for block in content.chunks(1 << 16) {
        let length = u32::try_from(block.len() - 1).expect("it is short");
        let header = length << 3 | 1 << 19;
        coded.extend_from_slice(&(header << bits).to_le_bytes()[..3]);
        coded.extend_from_slice(block);
        bits = 0;
    }
    // The last block, and empty.
    coded.push(0b11 << bits);
    coded
}

/// Frame after frame, each read as its decoder likes it.
#[cfg(feature = "zstd")]
struct Frames<'a> {
    rest: &'a [u8],
    present: Option<ruzstd::decoding::StreamingDecoder<&'a [u8], ruzstd::decoding::FrameDecoder>>,
}

#[cfg(feature = "zstd")]
impl Read for Frames<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(mut frame) = self.present.take() {
                let bytes = frame.read(buffer)?;
                if bytes > 0 {
                    self.present = Some(frame);
                    return Ok(bytes);
                }
                self.rest = frame.into_parts().0;
            }
            match self.rest {
                [] => return Ok(0),
                [0x50..=0x5f, 0x2a, 0x4d, 0x18, a, b, c, d, rest @ ..] => {
                    let bytes = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
                    self.rest = rest.get(bytes..).ok_or(io::ErrorKind::UnexpectedEof)?;
                }
                rest => {
                    let frame = ruzstd::decoding::StreamingDecoder::new(rest);
                    self.present = Some(frame.map_err(io::Error::other)?);
                }
            }
        }
    }
}

/// The text, byte by byte.
fn text_of(label: &str, bytes: &[u8]) -> String {
    let by_mark = Encoding::for_bom(bytes).map(|(encoding, _)| encoding);
    let by_label = || Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8);
    let mut decoder = by_mark.unwrap_or_else(by_label).new_decoder_with_bom_removal();
    // More than any byte comes to, and any number of bytes that were held back.
    const ROOM_BYTES: usize = 64;
    let mut text = String::new();
    for byte in bytes {
        text.reserve(ROOM_BYTES);
        let _ = decoder.decode_to_string(&[*byte], &mut text, false);
    }
    text.reserve(ROOM_BYTES);
    let _ = decoder.decode_to_string(&[], &mut text, true);
    text
}

/// The reply is the content.
fn seed(sent: &[u8]) -> Vec<u8> {
    let number = u8::try_from(sent.len() % 256).expect("it is below 256");
    [&[3, number], sent].concat()
}
