//! The content of a reply, with its coding and its charset taken off by the client: it fetches in a
//! simulated world, from a server that sends what the bytes say.

use std::cell::RefCell;
use std::io::Read;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use encoding_rs::{Encoding, UTF_8};
use flate2::read::{GzEncoder, MultiGzDecoder};
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

/// The first byte: 1 the reply says that it is gzip; 2 what follows is coded first, so that it is; 4
/// the client takes only a little; 8 the reply comes byte after byte. The second chooses the charset,
/// and where the reply is cut. The content follows.
fn hold(data: &[u8]) {
    let (bits, rest) = choice(data);
    let (number, content) = choice(rest);
    let label = LABELS[usize::from(number % 16)];
    let is_gzip = has(bits, 1);
    let sent = if has(bits, 2) { coded(content) } else { content.to_vec() };
    let expected = if is_gzip { decoded(&sent) } else { Some(sent.clone()) };
    let most = if has(bits, 4) { FEW_BYTES } else { ENOUGH_BYTES };
    let reply = Reply { label, is_gzip, sent, most };

    let cut_bytes = if has(bits, 8) { 1 } else { 1 + usize::from(number / 16) * 7 };
    for piece_bytes in [usize::MAX, cut_bytes] {
        let (bytes, text) = reply.fetch(piece_bytes);
        reply.check_bytes(bytes, expected.as_deref());
        reply.check_text(text, expected.as_deref());
    }
}

struct Reply {
    label: &'static str,
    is_gzip: bool,
    sent: Vec<u8>,
    /// Bytes of content that the client takes.
    most: u64,
}

impl Reply {
    fn head(&self) -> String {
        let coding = if self.is_gzip { "Content-Encoding: gzip\r\n" } else { "" };
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
        let is_gzip = self.is_gzip;
        let both = async move {
            let get = || client.get("http://127.0.0.1/").send();
            let bytes = collect(get().await, is_gzip).await;
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

    fn check_bytes(&self, bytes: Outcome, expected: Option<&[u8]>) {
        match (bytes, expected) {
            (Ok(bytes), Some(expected)) => assert!(bytes == expected, "other bytes"),
            (Ok(_), None) => panic!("another decoder refuses this"),
            (Err(error), expected) => self.check_error(&error, expected),
        }
    }

    fn check_error(&self, error: &Error, expected: Option<&[u8]>) {
        let is_too_long = expected.is_none_or(|expected| expected.len() as u64 > self.most);
        match error.kind() {
            ErrorKind::TooLong => assert!(is_too_long, "{error}"),
            ErrorKind::Protocol => assert_eq!(expected, None, "{error}"),
            _ => panic!("{error}"),
        }
    }

    fn check_text(&self, text: Result<String, Error>, expected: Option<&[u8]>) {
        match (text, expected) {
            (Ok(text), Some(expected)) => assert_eq!(text, text_of(self.label, expected)),
            (Ok(_), None) => panic!("another decoder refuses this"),
            (Err(error), expected) => self.check_error(&error, expected),
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
async fn collect(reply: Result<helloop::client::Reply, Error>, is_gzip: bool) -> Outcome {
    let mut reply = reply?;
    let mut all = Vec::new();
    while let Some(piece) = reply.chunk().await? {
        assert!(!piece.is_empty(), "a piece is never empty");
        assert!(!is_gzip || piece.len() <= PIECE_BYTES_MAX, "{} bytes at once", piece.len());
        all.extend(piece);
    }
    Ok(all)
}

fn coded(content: &[u8]) -> Vec<u8> {
    let mut coded = Vec::new();
    let mut encoder = GzEncoder::new(content, flate2::Compression::default());
    encoder.read_to_end(&mut coded).expect("memory can be read");
    coded
}

/// What another decoder makes of it; `None` if it refuses it. No content at all needs no coding.
fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let refused = MultiGzDecoder::new(coded).read_to_end(&mut decoded).is_err();
    if refused && !coded.is_empty() { None } else { Some(decoded) }
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
