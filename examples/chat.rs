//! A chat room for many connections: `cargo run --example chat -- 127.0.0.1:7777`, then
//! `nc 127.0.0.1 7777`, twice or more often. A number after the address says how many clients may come.
//!
//! Each connection is one coroutine, which waits for two things at once: a line from its own peer,
//! and a line from another client in its outbox. The outbox is bounded, and no client ever waits for
//! room in it: a member whose outbox is full reads too slowly, and loses the place. So one slow
//! reader costs the others nothing, and the room a bounded amount of memory.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use helloop::Printable;
use helloop::coroutine::{self, Either, Queue, Semaphore, Stream, race, yield_now};
use helloop::event_loop::Handle;

/// Connections at a time, unless fewer are asked for; a client that comes later is sent away. With it, the
/// usual limit of 1,024 descriptors is enough.
const CONNECTIONS_MAX: usize = 1000;

/// Lines that may wait for one member. At the limit: the place is lost. A member says at most one
/// line per turn of the loop, and a client that reads well has an empty outbox every other turn; so this
/// must be more than all clients can say in two turns.
const OUTBOX_LINES: usize = 4096;
const _: () = assert!(OUTBOX_LINES > 3 * CONNECTIONS_MAX);

/// Bytes of a line. At the limit: the connection is closed.
const LINE_BYTES_MAX: usize = 1024;

/// Characters of a name. At the limit: another name is asked for.
const NAME_CHARS_MAX: usize = 32;

/// Bytes that are written in one piece, and in which the peer has [`PATIENCE`].
const PIECE_BYTES: usize = 64 * 1024;

/// Time for saying a name, and for reading one piece. At the limit: the connection is closed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time for which input is thrown away after the last line, which a reset would destroy.
const LINGER: Duration = Duration::from_secs(2);

/// Why a client leaves.
enum Leaving {
    Quit,
    /// The peer closed the connection, or broke it.
    Gone,
    /// The outbox was full. The others know already.
    Lost,
    /// The peer took nothing for [`PATIENCE`].
    Stuck,
    LineTooLong,
    /// The room was full.
    NoPlace,
}

impl fmt::Display for Leaving {
    /// What the others read after the name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Leaving::Quit => "has left",
            Leaving::Gone => "is gone",
            Leaving::Lost => "reads too slowly and has lost the place",
            Leaving::Stuck => "does not read and was disconnected",
            Leaving::LineTooLong => "said too much in one line and was disconnected",
            Leaving::NoPlace => "found no place",
        })
    }
}

impl Leaving {
    /// What the peer reads last, if it reads.
    fn last_words(&self) -> Option<String> {
        match self {
            Leaving::Quit => Some("* Bye.\n".to_owned()),
            Leaving::Lost => Some("* You read too slowly and have lost your place.\n".to_owned()),
            Leaving::LineTooLong => Some(format!("* A line has at most {LINE_BYTES_MAX} bytes.\n")),
            Leaving::NoPlace => Some("* The room is full.\n".to_owned()),
            Leaving::Gone | Leaving::Stuck => None,
        }
    }
}

impl From<io::Error> for Leaving {
    fn from(_: io::Error) -> Leaving {
        Leaving::Gone
    }
}

/// The room: the clients in it, and their outboxes. Clones are the same room.
#[derive(Clone)]
struct Room {
    handle: Handle,
    /// By name.
    members: Rc<RefCell<BTreeMap<String, Member>>>,
    places: Semaphore,
}

#[derive(Clone)]
struct Member {
    /// Lines of the others, shared by all that are to read them.
    outbox: Queue<Rc<str>>,
    is_lost: Rc<Cell<bool>>,
}

impl Room {
    fn new(handle: &Handle, places: usize) -> Room {
        let places = Semaphore::new(handle, places);
        Room { handle: handle.clone(), members: Rc::default(), places }
    }

    /// Takes a name, and announces it to the others; `None` if it is taken.
    fn join(&self, name: &str) -> Option<Member> {
        if self.members.borrow().contains_key(name) {
            return None;
        }
        self.tell_all_but(name, &format!("* {name} has joined\n"));
        let outbox = Queue::new(&self.handle, OUTBOX_LINES);
        let member = Member { outbox, is_lost: Rc::default() };
        self.members.borrow_mut().insert(name.to_owned(), member.clone());
        Some(member)
    }

    /// Gives a name back, and announces it to the others. A client that was lost has no name any more;
    /// another client may have it.
    fn leave(&self, name: &str, member: &Member, why: &Leaving) {
        if !member.is_lost.get() {
            self.members.borrow_mut().remove(name);
            self.tell_all_but(name, &format!("* {name} {why}\n"));
        }
    }

    /// Puts a line into every other outbox, and waits for none of them: a client whose outbox is full is
    /// lost, and that is announced to the others, too.
    fn tell_all_but(&self, speaker: &str, line: &str) {
        let mut lines = vec![(Some(speaker), Rc::from(line))];
        while let Some((speaker, line)) = lines.pop() {
            self.members.borrow_mut().retain(|name, member| {
                if speaker == Some(name) || member.outbox.put_nowait(Rc::clone(&line)).is_ok() {
                    return true;
                }
                member.is_lost.set(true);
                lines.push((None, Rc::from(format!("* {name} {}\n", Leaving::Lost))));
                false
            });
        }
    }

    fn who(&self) -> String {
        let members = self.members.borrow();
        let names: Vec<&str> = members.keys().map(String::as_str).collect();
        format!("* Here: {}\n", names.join(", "))
    }
}

/// A connection, read by lines.
struct Connection {
    handle: Handle,
    stream: Stream,
    /// What was read after the last line that was taken.
    input: Vec<u8>,
}

impl Connection {
    /// The next line, without its end and in characters that no terminal obeys: the others read it on
    /// theirs. If this is dropped while it waits, nothing is lost.
    async fn line(&mut self) -> Result<String, Leaving> {
        loop {
            let end = self.input.iter().position(|byte| *byte == b'\n');
            if end.unwrap_or(self.input.len()) > LINE_BYTES_MAX {
                return Err(Leaving::LineTooLong);
            }
            if let Some(end) = end {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                let text = String::from_utf8_lossy(&line);
                return Ok(Printable(text.trim()).to_string());
            }
            let mut piece = [0; LINE_BYTES_MAX];
            match self.stream.read(&mut piece).await? {
                0 => return Err(Leaving::Gone),
                bytes => self.input.extend_from_slice(&piece[..bytes]),
            }
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), Leaving> {
        let written = self.handle.timeout(PATIENCE, self.stream.write_all(text.as_bytes())).await;
        Ok(written.map_err(|_| Leaving::Stuck)??)
    }

    /// Writes the first line of an outbox and everything that waits after it.
    async fn write_outbox(&mut self, first: &str, member: &Member) -> Result<(), Leaving> {
        let mut piece = first.to_owned();
        loop {
            while piece.len() < PIECE_BYTES
                && let Some(line) = member.outbox.get_nowait()
            {
                piece.push_str(&line);
            }
            self.write(&piece).await?;
            // What is left in the outbox has a gap after it.
            if member.is_lost.get() {
                return Err(Leaving::Lost);
            }
            if member.outbox.is_empty() {
                return Ok(());
            }
            piece.clear();
        }
    }

    /// Says the last words, and closes so that they arrive.
    async fn close(mut self, why: &Leaving) {
        let Some(words) = why.last_words() else { return };
        if self.write(&words).await.is_err() || self.stream.shut_write().is_err() {
            return;
        }
        let handle = self.handle.clone();
        let until_closed = async {
            let mut piece = [0; LINE_BYTES_MAX];
            while let Ok(1..) = self.stream.read(&mut piece).await {}
        };
        // Whether the peer has closed by then or not, this end does.
        let _ = handle.timeout(LINGER, until_closed).await;
    }
}

/// One connection from its first line to its last.
async fn visit(room: Room, mut connection: Connection) {
    if room.places.is_locked() {
        return connection.close(&Leaving::NoPlace).await;
    }
    let _place = room.places.acquire().await;
    let asked = room.handle.timeout(PATIENCE, ask_name(&room, &mut connection)).await;
    let why = match asked {
        Ok(Ok((name, member))) => {
            let Err(why) = talk(&room, &name, &member, &mut connection).await;
            room.leave(&name, &member, &why);
            why
        }
        Ok(Err(why)) => why,
        Err(_elapsed) => Leaving::Stuck,
    };
    connection.close(&why).await;
}

async fn ask_name(room: &Room, connection: &mut Connection) -> Result<(String, Member), Leaving> {
    connection.write("* What is your name?\n").await?;
    loop {
        let name = connection.line().await?.trim().to_owned();
        let is_good = |char: char| char.is_alphanumeric() || "-_".contains(char);
        if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(is_good) {
            let rule = format!("* A name has up to {NAME_CHARS_MAX} letters, digits, - and _\n");
            connection.write(&rule).await?;
        } else if let Some(member) = room.join(&name) {
            return Ok((name, member));
        } else {
            connection.write(&format!("* {name} is taken\n")).await?;
        }
    }
}

/// Carries lines both ways until there is a reason to leave.
async fn talk(
    room: &Room,
    name: &str,
    member: &Member,
    connection: &mut Connection,
) -> Result<std::convert::Infallible, Leaving> {
    connection.write(&room.who()).await?;
    loop {
        match race(member.outbox.get(), connection.line()).await {
            Either::Left(line) => connection.write_outbox(&line, member).await?,
            Either::Right(line) => match line?.trim() {
                "" => {}
                "/quit" => return Err(Leaving::Quit),
                "/who" => connection.write(&room.who()).await?,
                command if command.starts_with('/') => {
                    connection.write("* There are /who and /quit\n").await?;
                }
                line => room.tell_all_but(name, &format!("{name}: {line}\n")),
            },
        }
        // One line per turn: clients that read can keep up with clients that write.
        yield_now().await;
    }
}

async fn serve(handle: Handle, address: SocketAddr, places: usize) -> Result<(), String> {
    let room = Room::new(&handle, places);
    let listening = handle.start_server(address, move |stream, _| {
        let handle = room.handle.clone();
        visit(room.clone(), Connection { handle, stream, input: Vec::new() })
    });
    let server = listening.map_err(|error| format!("cannot listen on {address}: {error}"))?;
    println!("Server started at {}", server.local_addr());
    server.serve_forever().await;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7777".into());
    let address = address.parse().map_err(|error| format!("`{address}`: {error}"))?;
    let places = match arguments.next() {
        Some(places) => places.parse().map_err(|error| format!("`{places}` places: {error}"))?,
        None => CONNECTIONS_MAX,
    };
    Ok(coroutine::run(|handle| serve(handle, address, places.min(CONNECTIONS_MAX)))??)
}
