use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use helloop::SourceId;
use helloop::world::sim::{Net, Peer};

use super::ask::pattern;

/// A server's reply to one request, act by act.
#[derive(Clone)]
pub(super) struct Script {
    name: &'static str,
    acts: Vec<(Duration, Act)>,
    pub(super) fate: Fate,
    /// It keeps its connection for long.
    pub(super) is_slow: bool,
    /// It says more than it was asked.
    pub(super) poisons: bool,
    /// What is said when the client follows the redirect.
    again: Option<Vec<u8>>,
    /// It sends the client round in a circle.
    pub(super) is_circular: bool,
}

#[derive(Clone)]
enum Act {
    Say(Vec<u8>),
    /// Finishes sending, and closes.
    Close,
    Reset,
    /// Keeps the connection open, and answers nothing more on it.
    Ignore,
}

/// What must come of a fetch.
#[derive(Clone)]
pub(super) enum Fate {
    /// This body, unless the network prevents it.
    Right(Vec<u8>),
    /// Never a success.
    Wrong,
    /// This body, or an error.
    Either(Vec<u8>),
}

impl Fate {
    /// Whether a reply with this body may come of it.
    pub(super) fn gives(&self, body: &[u8]) -> bool {
        matches!(self, Fate::Right(right) | Fate::Either(right) if right == body)
    }
}

/// Where a hostile server listens.
pub(super) fn site_address(site: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, site + 1], 80))
}

/// How a good reply is framed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length,
    Chunks,
    UntilClose,
}

/// A complete reply with a body, as bytes.
fn message(framing: Framing, body: &[u8], fields: &str, is_head: bool) -> Vec<u8> {
    let framed = match framing {
        Framing::Length => format!("Content-Length: {}\r\n", body.len()),
        Framing::Chunks => "Transfer-Encoding: chunked\r\n".into(),
        Framing::UntilClose => String::new(),
    };
    let mut bytes = format!("HTTP/1.1 200 OK\r\n{framed}{fields}\r\n").into_bytes();
    match framing {
        _ if is_head => {}
        Framing::Chunks => {
            for chunk in body.chunks(700) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        }
        Framing::Length | Framing::UntilClose => bytes.extend_from_slice(body),
    }
    bytes
}

/// An answer that nobody has asked for. No other has its status, by which it is known also where a
/// HEAD was meant, whose body nobody reads.
const POISON: &[u8] = b"HTTP/1.1 203 OK\r\nContent-Length: 6\r\n\r\npoison";

pub(super) const POISON_STATUS: u16 = 203;

/// Replies that no client may take.
const GARBAGE: &[(&str, &str)] = &[
    ("garbage", "nothing like HTTP\r\n\r\n"),
    (
        "both framings",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    ("a length with a sign", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc"),
    ("a bare LF", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc"),
    ("HTTP/2", "HTTP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"),
    ("a field without a colon", "HTTP/1.1 200 OK\r\nA b\r\nContent-Length: 3\r\n\r\nabc"),
];

impl Script {
    /// Our own server's.
    pub(super) fn of_our_own(answer: Vec<u8>) -> Script {
        Script::new("our own server", Vec::new(), Fate::Right(answer))
    }

    fn new(name: &'static str, acts: Vec<(Duration, Act)>, fate: Fate) -> Script {
        Script { name, acts, fate, is_slow: false, poisons: false, again: None, is_circular: false }
    }

    /// The reply to request `number`.
    pub(super) fn drawn(random: &mut fastrand::Rng, number: usize, method: &str) -> Script {
        let is_head = method == "HEAD";
        let mut body = format!("{number}:").into_bytes();
        let most = if random.bool() { 50 } else { 3000 };
        body.extend(pattern(random.usize(0..most)));
        let framings = [Framing::Length, Framing::Length, Framing::Chunks, Framing::UntilClose];
        let framing = framings[random.usize(0..4)];
        let bytes = message(framing, &body, "", is_head);
        let right = if is_head { Vec::new() } else { body.clone() };
        let fate = Fate::Right(right.clone());
        let soon = Duration::from_millis(random.u64(0..50));
        match random.u8(0..100) {
            0..=39 => {
                let says_close = random.u8(0..4) == 0 && framing != Framing::UntilClose;
                if says_close {
                    let bytes = message(framing, &body, "Connection: close\r\n", is_head);
                    let mut acts = in_pieces(random, &bytes, 10);
                    acts.push((soon, Act::Ignore));
                    return Script::new("good, says close, and ignores the rest", acts, fate);
                }
                let mut acts = in_pieces(random, &bytes, 10);
                if framing == Framing::UntilClose || random.u8(0..4) == 0 {
                    acts.push((soon, Act::Close));
                }
                Script::new("good", acts, fate)
            }
            40..=44 => {
                let mut acts = in_pieces(random, &bytes, 60);
                acts.push((Duration::ZERO, Act::Close));
                Script { is_slow: true, ..Script::new("good, in many pieces", acts, fate) }
            }
            45..=49 => {
                let mut early = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n".repeat(2);
                early.extend(message(Framing::Length, &body, "", is_head));
                Script::new("early hints", in_pieces(random, &early, 5), fate)
            }
            50..=53 => {
                let endless = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(40);
                Script::new("endless hints", in_pieces(random, &endless, 5), Fate::Wrong)
            }
            54..=58 => redirect(random, number, fate, &body, is_head),
            59..=68 => truncated(random, &body, is_head, soon),
            69..=78 => {
                let (name, text) = GARBAGE[random.usize(..GARBAGE.len())];
                let mut acts = in_pieces(random, text.as_bytes(), 4);
                acts.push((soon, Act::Close));
                Script::new(name, acts, Fate::Wrong)
            }
            79..=83 => Script::new("closes without a word", vec![(soon, Act::Close)], Fate::Wrong),
            84..=87 => Script::new("resets without a word", vec![(soon, Act::Reset)], Fate::Wrong),
            88..=90 => Script { is_slow: true, ..Script::new("silence", Vec::new(), Fate::Wrong) },
            91..=94 => {
                let mut fields = String::new();
                (0..300).for_each(|n| fields += &format!("X-{n}: y\r\n"));
                let bytes = message(Framing::Length, &body, &fields, is_head);
                Script::new("too many fields", in_pieces(random, &bytes, 3), Fate::Wrong)
            }
            _ => {
                let mut bytes = message(Framing::Length, &body, "", is_head);
                let (name, later) = match soon.as_millis() % 3 {
                    0 => ("an answer to nobody behind", None),
                    1 => ("an answer to nobody at its heels", Some(Duration::ZERO)),
                    _ => ("an answer to nobody, later", Some(soon)),
                };
                let poison = later.map(|later| (later, Act::Say(POISON.to_vec())));
                if poison.is_none() {
                    bytes.extend_from_slice(POISON);
                }
                let acts = [(soon, Act::Say(bytes))].into_iter().chain(poison).collect();
                let script = Script::new(name, acts, Fate::Either(right));
                Script { poisons: true, ..script }
            }
        }
    }
}

fn redirect(
    random: &mut fastrand::Rng,
    number: usize,
    fate: Fate,
    body: &[u8],
    is_head: bool,
) -> Script {
    let is_endless = random.u8(0..3) == 0;
    let target = if is_endless { format!("/{number}") } else { format!("/{number}/again") };
    let head = format!("HTTP/1.1 307 There\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
    let acts = vec![(Duration::ZERO, Act::Say(head.into_bytes()))];
    if is_endless {
        let script = Script::new("a redirect to itself", acts, Fate::Wrong);
        return Script { is_circular: true, ..script };
    }
    let again = Some(message(Framing::Length, body, "", is_head));
    Script { again, ..Script::new("a redirect", acts, fate) }
}

/// Less than was announced, then the end or a reset.
fn truncated(random: &mut fastrand::Rng, body: &[u8], is_head: bool, soon: Duration) -> Script {
    let framing = if random.bool() { Framing::Length } else { Framing::Chunks };
    let bytes = message(framing, body, "", is_head);
    let cut = random.usize(1..bytes.len());
    let mut acts = in_pieces(random, &bytes[..cut], 6);
    acts.push((soon, if random.bool() { Act::Close } else { Act::Reset }));
    Script::new("truncated", acts, Fate::Wrong)
}

/// Says `bytes` in at most `pieces` pieces.
fn in_pieces(random: &mut fastrand::Rng, bytes: &[u8], pieces: usize) -> Vec<(Duration, Act)> {
    let pieces = random.usize(1..=pieces);
    let mut cuts: Vec<usize> = (1..pieces).map(|_| random.usize(0..=bytes.len())).collect();
    cuts.push(bytes.len());
    cuts.sort_unstable();
    let mut from = 0;
    let mut acts = Vec::new();
    for to in cuts.into_iter().filter(|to| *to > 0) {
        let pause = Duration::from_micros(random.u64(0..30_000));
        acts.push((pause, Act::Say(bytes[from..to].to_vec())));
        from = to;
    }
    acts
}

/// A connection of a hostile server.
struct Conversation {
    /// `None` once it is closed.
    peer: Option<Peer>,
    received: Vec<u8>,
    /// Bytes of requests that were taken from it.
    taken_bytes: u64,
    /// A reply is under way.
    is_busy: bool,
    scripts: Rc<Scripts>,
}

/// What the hostile servers of a world share.
pub(super) struct Scripts {
    /// By target.
    replies: HashMap<String, Script>,
    /// The requests that came, as `POST /target`, with how often they came.
    pub(super) asked: RefCell<HashMap<String, usize>>,
    /// The same, one by one, with their places.
    pub(super) taken: RefCell<Vec<Taken>>,
}

/// A complete request that has come.
pub(super) struct Taken {
    /// As the client's loop knows the connection.
    pub(super) source: SourceId,
    pub(super) method: String,
    /// Its first byte, and the first one behind it, among all that came on the connection.
    pub(super) begin: u64,
    pub(super) end: u64,
}

impl Scripts {
    pub(super) fn new(replies: HashMap<String, Script>) -> Rc<Scripts> {
        Rc::new(Scripts { replies, asked: RefCell::default(), taken: RefCell::default() })
    }
}

/// Serves a new connection.
pub(super) fn welcome(net: &Net, peer: Peer, scripts: &Rc<Scripts>) {
    /// Even a silent server lets go some day.
    const PATIENCE: Duration = Duration::from_secs(800);
    let conversation = Rc::new(RefCell::new(Conversation {
        peer: None,
        received: Vec::new(),
        taken_bytes: 0,
        is_busy: false,
        scripts: Rc::clone(scripts),
    }));
    let (watching, leaving) = (Rc::clone(&conversation), Rc::clone(&conversation));
    peer.watch(move |net| listen(net, &watching));
    conversation.borrow_mut().peer = Some(peer);
    net.at(net.now() + PATIENCE, move |_| drop(leaving.borrow_mut().peer.take()));
}

fn listen(net: &Net, conversation: &Rc<RefCell<Conversation>>) {
    let script = {
        let this = &mut *conversation.borrow_mut();
        let Some(peer) = &this.peer else { return };
        let bytes = peer.receive();
        this.received.extend(bytes);
        if peer.is_reset() || peer.at_end() {
            this.peer = None;
            return;
        }
        if this.is_busy {
            return;
        }
        let before = this.received.len();
        let Some((method, target)) = take_request(&mut this.received) else { return };
        let begin = this.taken_bytes;
        this.taken_bytes += (before - this.received.len()) as u64;
        if let Some(source) = peer.known_as() {
            let (method, end) = (method.clone(), this.taken_bytes);
            this.scripts.taken.borrow_mut().push(Taken { source, method, begin, end });
        }
        *this.scripts.asked.borrow_mut().entry(format!("{method} {target}")).or_default() += 1;
        this.is_busy = true;
        match target.strip_suffix("/again") {
            Some(first) => {
                let again = this.scripts.replies[first].again.clone().unwrap_or_default();
                vec![(Duration::ZERO, Act::Say(again))]
            }
            None => this.scripts.replies[&target].acts.clone(),
        }
    };
    // Silence is for ever.
    if !script.is_empty() {
        perform(net, conversation, script);
    }
}

fn perform(net: &Net, conversation: &Rc<RefCell<Conversation>>, mut acts: Vec<(Duration, Act)>) {
    if acts.is_empty() {
        conversation.borrow_mut().is_busy = false;
        return listen(net, conversation);
    }
    let (pause, act) = acts.remove(0);
    let conversation = Rc::clone(conversation);
    net.at(net.now() + pause, move |net| {
        {
            let this = &mut *conversation.borrow_mut();
            match (act, &this.peer) {
                (Act::Say(bytes), Some(peer)) => peer.send(&bytes),
                (Act::Close, _) => this.peer = None,
                (Act::Reset, Some(peer)) => {
                    peer.reset();
                    this.peer = None;
                }
                (Act::Ignore, _) => return,
                (_, None) => {}
            }
        }
        perform(net, &conversation, acts);
    });
}

/// Takes a complete request off the front; gives its method and target.
fn take_request(received: &mut Vec<u8>) -> Option<(String, String)> {
    let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = str::from_utf8(&received[..end]).expect("our client writes text");
    let field = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = field.map_or(0, |digits| digits.parse().expect("our client counts"));
    let mut words = head.split(' ').map(str::to_owned);
    let line = words.next().zip(words.next()).expect("our client writes requests");
    let whole = end + 4 + length;
    if received.len() < whole {
        return None;
    }
    received.drain(..whole);
    Some(line)
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
