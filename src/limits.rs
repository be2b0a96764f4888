//! Every limit and timeout in one place: its name, its unit, why it has this value, and what
//! happens when it is reached.
//!
//! The constants are the defaults; [`Limits`] holds the values that one server uses. Relations that
//! must hold between them are asserted when the crate is compiled (for the defaults) and by
//! [`Limits::check`] (for values that a program has chosen).

use std::fmt;
use std::time::Duration;

/// Time from the first byte of a request head to its last. At the limit: 408, close.
/// Ten seconds is long for a head that fits into a few packets and short for a slowloris.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for which a connection may stay open without a request under way. At the limit: closed
/// silently. Longer than the 60 s for which nginx and the balancers of the clouds keep connections to
/// the servers behind them: the side that closes first may meet a request that is on its way, and a
/// POST is then lost. aiohttp's number.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// Window in which a request body must advance by [`PROGRESS_BYTES_MIN`]. At the limit: 408, close.
pub const BODY_PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);

/// Window in which the peer must take [`PROGRESS_BYTES_MIN`] of an answer. At the limit: the
/// connection is reset, because a peer that does not read would not see anything else.
pub const WRITE_PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);

/// Bytes that count as progress within a window. A slow but honest modem moves several times as
/// much; a peer that feeds one byte every 29 s to stay alive does not.
pub const PROGRESS_BYTES_MIN: usize = 1024;

/// Time for which input is read and thrown away after the last answer, so that unread input does
/// not turn into a reset that destroys the answer on its way (RFC 9112 section 9.6).
pub const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a request head, the empty line included. At the limit: 431, or 414 while still in the
/// request line; close.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a request line, its CRLF included. At the limit: 414, close.
/// RFC 9112 section 3 recommends at least 8,000 octets.
pub const REQUEST_LINE_BYTES_MAX: usize = 8 * 1024;

/// Header fields of one request. At the limit: 431, close. Browsers send 10 to 15; gateways, tracing
/// and single sign-on add dozens. As many as Apache takes.
pub const FIELDS_MAX: usize = 100;

/// The most that [`Limits::fields_max`] and [`ReplyLimits::fields_max`] can be set to: parsed
/// fields live on the stack.
pub const FIELDS_MAX_CEILING: usize = 128;

/// Bytes that may stand at the front of a connection before its first request, where a
/// [`preface`](crate::server::Builder::preface) is read: a header of the PROXY protocol with certificates' names in it
/// has some hundred. At the limit: closed. nginx's number.
pub const PREFACE_BYTES_MAX: usize = 4096;

/// Time in which a server writes at most one line to the log at WARN about a preface that is wrong.
pub const PREFACE_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes of a request body, without the framing of chunks. At the limit: 413, close.
pub const BODY_BYTES_MAX: u64 = 1024 * 1024;

/// Bytes of chunk extensions, and of trailer lines, in one request or reply. At the limit: 413 for
/// extensions, 431 for trailers; close. In a reply: the exchange fails. Their only use in practice is to
/// keep a parser busy.
pub const CHUNK_OVERHEAD_BYTES_MAX: usize = 16 * 1024;

/// Bytes of answers that may wait in memory for one connection before no further request of it is
/// answered. Pipelining stops there until the peer reads (backpressure).
pub const OUTPUT_BYTES_MAX: usize = 64 * 1024;

/// Bytes read from one connection, or one stream of coroutines, in one resume. At the limit: to the
/// back of the ready queue. asyncio reads as much of a socket before it looks at the others.
pub const READ_BYTES_PER_RESUME_MAX: usize = 256 * 1024;

/// Bytes written to one stream of coroutines, or of a streamed body to one connection, in one
/// resume. At the limit: to the back of the ready queue. A peer that reads as fast as we write would
/// take everything at once.
pub const WRITE_BYTES_PER_RESUME_MAX: usize = READ_BYTES_PER_RESUME_MAX;

/// Reads of one stream of coroutines, writes to it, items put into or taken from one queue, and so on,
/// in one resume without waiting. At the limit: to the back of the ready queue. An operation costs up
/// to a microsecond or two even if it moves a single byte; with buffers of 1 KiB this is what the limit
/// of bytes allows.
pub const OPERATIONS_PER_RESUME_MAX: usize = 256;

/// Requests answered for one connection in one resume. At the limit: to the back of the ready queue.
pub const REQUESTS_PER_RESUME_MAX: usize = 64;

/// Parts of a streamed body, taken for one connection in one resume. At the limit: to the back of the
/// ready queue.
pub const PARTS_PER_RESUME_MAX: usize = 64;

/// Connections accepted in one resume. At the limit: to the back of the ready queue.
pub const ACCEPTS_PER_RESUME_MAX: usize = 64;

/// Bytes of the loop's one input buffer: the most that one `read` can return. Connections own no
/// buffer of their own while they are idle.
pub const INPUT_BUFFER_BYTES: usize = 64 * 1024;

/// A resume that takes this long is reported, with what ran and which tasks waited: asyncio's number.
/// Zero turns the report off, and saves one reading of the clock per resume.
pub const SLOW_CALLBACK: Duration = Duration::from_millis(100);

/// Entries of a list of the loop (tasks that are ready, tasks that were woken) whose memory is kept when the
/// list is empty. What a longer burst took is given back.
pub const BURST_KEPT: usize = 4096;

/// Tasks that are dropped because they were given to a loop that is gone, for one call. A destructor that
/// gives the loop another such task could go on for ever, one drop within the other; any further ones are
/// leaked, and logged. They are on the stack together, at about a kilobyte each.
pub const REFUSED_TASKS_DROPPED_MAX: usize = 128;

/// Tasks that a report of a loop on which nothing can happen names.
pub const DEADLOCK_TASKS_NAMED_MAX: usize = 10;

/// Length of the kernel's accept queue that is asked for (the kernel caps it at
/// `net.core.somaxconn`).
pub const LISTEN_BACKLOG: i32 = 4096;

/// Pause of an acceptor that got no descriptor (EMFILE, ENFILE) or no memory (ENOBUFS, ENOMEM), or
/// whose new connection cannot be watched (ENOSPC). Without it the loop would spin: the queue stays
/// readable.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// Time in which an acceptor writes at most one line to the log about why clients have to wait.
pub const ACCEPT_LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Descriptors left for the program itself when the number of connections is derived from the
/// descriptor limit, beside those that are open when the first acceptor is resumed and one for a
/// newcomer in the hand of each acceptor: for a file that is opened now and then.
pub const DESCRIPTORS_RESERVED: usize = 4;

/// Time for which a connection must have done nothing before it is closed in favour of a newcomer
/// for which a full server has no room. At the limit: one that lingers after its last answer is closed
/// first, else the one that has been idle longest. A peer nearby takes its answer within that time,
/// and sends its next request if it has one.
pub const MAKE_ROOM_IDLE_MIN: Duration = Duration::from_millis(20);

/// Time for which idle connections stay open after a drain began, so that a request which was
/// already on its way is answered (with `Connection: close`) and not cut.
pub const DRAIN_IDLE_GRACE: Duration = Duration::from_millis(500);

/// Time from the beginning of a drain to its end. At the limit: what is still open is cut and counted.
/// Orchestrators commonly kill after 30 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(25);

/// A reused buffer that grew above this is given back after use, so that one large answer does not
/// cost its memory for ever.
pub const BUFFER_BYTES_KEPT_MAX: usize = 64 * 1024;

/// Time for looking a name up, from the moment at which the look-up begins: a queue of other names
/// does not count. At the limit: the fetch fails. The system's resolver waits 5 s for each of its servers;
/// one that has not answered by then has been asked twice.
pub const FETCH_RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for connecting, over all addresses of a name. At the limit: the fetch fails, and says which
/// addresses were tried. aiohttp's number; a kernel alone would try for two minutes.
pub const FETCH_CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a TLS handshake. At the limit: the fetch fails. Two round trips and a signature.
pub const FETCH_TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// Time from the first byte of a request to the end of the reply's head. At the limit: the fetch
/// fails. Gateways commonly wait for 60 s for the servers behind them.
pub const FETCH_HEAD_TIMEOUT: Duration = Duration::from_secs(60);

/// Time between two reads of a reply's body. At the limit: the fetch fails. A body that moves,
/// however slowly, is limited by [`FETCH_WHOLE_TIMEOUT`].
pub const FETCH_BODY_PROGRESS_TIMEOUT: Duration = Duration::from_secs(30);

/// Time for a whole fetch, from asking for it to the last byte of the body, redirects and waiting
/// for a free connection included. At the limit: the fetch fails. aiohttp's number.
pub const FETCH_WHOLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Connections of one client, busy and idle ones together. At the limit: fetches wait in order;
/// idle connections make room. aiohttp's number.
pub const FETCH_CONNECTIONS_MAX: usize = 100;

/// Time for which a client keeps an idle connection. At the limit: closed. aiohttp's number, and less
/// than servers commonly keep theirs, so that few requests meet a close.
pub const FETCH_IDLE_TIMEOUT: Duration = Duration::from_secs(15);

/// Time for which a client does not use a connection again whose reply had no content by its status
/// (204). Some servers send a body then, a little later, and it would be taken for the reply to the
/// next request; if it comes within this time, the connection is closed. (Servers make this mistake
/// less often with HEAD and 304.) More than the 40 ms by which a delayed acknowledgement may
/// hold the second of two writes back, and a round trip to the other end of the world.
pub const LATE_BODY_REST: Duration = Duration::from_millis(250);

/// Redirects that one fetch follows. At the limit: the fetch fails. aiohttp's number.
pub const REDIRECTS_MAX: u32 = 10;

/// Idle connections that a client looks at in one resume, when something has happened to one of them. At
/// the limit: to the back of the ready queue. A look takes some 20 ns, or a read where there is news.
pub const IDLE_LOOKS_PER_RESUME_MAX: usize = 64;

/// Head start of an address of a name before the next one is tried as well: the "Connection Attempt
/// Delay" of RFC 8305 section 5, with the value that it recommends.
pub const CONNECT_FALLBACK_DELAY: Duration = Duration::from_millis(250);

/// Bytes of a line that [`BufReader`](crate::coroutine::BufReader) reads, its end included, unless it is told another number:
/// as many as asyncio's. A longer one is an error, and stays in the buffer.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a request's body up to which it is sent together with the head, at the price of a copy. A
/// larger one is sent after the head, from where it is.
pub const REQUEST_BODY_INLINE_BYTES_MAX: usize = 16 * 1024;

/// Time for which the addresses of a name are remembered by one [`Resolver`]: aiohttp's number. Short,
/// because getaddrinfo(3) does not say how long an answer is valid.
///
/// [`Resolver`]: crate::coroutine::Resolver
pub const RESOLVED_KEPT: Duration = Duration::from_secs(10);

/// Names that one resolver remembers. At the limit it forgets the oldest, which is asked for again.
pub const RESOLVED_NAMES_MAX: usize = 1024;

/// Names that one resolver looks up at a time, as long as they are awaited. At the limit: names
/// wait in order. Each takes a thread, and name servers take only so many questions at once. A client
/// needs no more than it has connections.
pub const LOOK_UPS_MAX: usize = 256;

/// Look-ups of one resolver that run on although they are not awaited any more. At the limit: names
/// wait until a look-up ends. A thread that asks a dead name server cannot be called back; it hangs
/// for 30 s as a rule, three times as long as a fetch waits.
pub const LOOK_UPS_GIVEN_UP_MAX: usize = 512;

/// Time without a look-up after which a thread for look-ups ends. To start one takes some 50 us, and
/// as long as there is one, the other threads' system calls are dearer.
pub const LOOK_UP_THREAD_IDLE: Duration = Duration::from_secs(1);

/// Bytes of the head of a reply, the empty line included. At the limit: the exchange fails, the
/// connection is closed. Four times what a server takes, because of servers that set many cookies.
pub const REPLY_HEAD_BYTES_MAX: usize = 64 * 1024;

/// Header fields of one reply. At the limit: the exchange fails, the connection is closed.
/// As many as can be parsed on the stack.
pub const REPLY_FIELDS_MAX: usize = FIELDS_MAX_CEILING;

/// Interim replies (1xx) before the final one. At the limit: the exchange fails, the connection is
/// closed. A 100, a 103 or two, and a 102 now and then are honest; an endless series is a way to
/// keep a client busy without ever answering.
pub const INTERIM_REPLIES_MAX: u32 = 16;

/// Bytes of the body of a reply, without the framing of chunks. At the limit: the exchange fails,
/// the connection is closed. Bodies are handed on chunk by chunk, so this bounds what a caller
/// that collects them may have to keep; one that writes them to disk may raise it.
pub const REPLY_BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Cookies that one fetch keeps from its redirects. At the limit: the oldest is forgotten. RFC 6265
/// section 6.1 asks for as many as this for a host.
pub const COOKIES_MAX: usize = 50;

/// Bytes of a cookie with its attributes. At the limit: it is ignored. RFC 6265 section 6.1 asks for no
/// less.
pub const COOKIE_BYTES_MAX: usize = 4096;

/// Codings of the content of one reply that a client decodes. At the limit: the exchange fails. One is
/// usual, two are a mistake, and each multiplies the size that a few bytes may have. curl's number.
pub const CONTENT_CODINGS_MAX: usize = 5;

/// Bytes that a client decodes in one resume, counted before and after. At the limit: to the back of
/// the ready queue. It takes a few milliseconds.
pub const DECODED_BYTES_PER_RESUME_MAX: usize = 1024 * 1024;

/// Bytes of a trace on disk, the older file and the present one together. At the limit: the older half
/// is deleted. A keep-alive request leaves some 60 bytes, so this holds a million of them.
pub const TRACE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Levels by which a tree of tasks is indented when it is shown. Deeper ones stand at the last: in a
/// chain of n tasks that wait for each other, the spaces alone would be n² bytes.
pub const TREE_DEPTH_SHOWN_MAX: usize = 32;

const _: () = assert!(REQUEST_LINE_BYTES_MAX <= HEAD_BYTES_MAX);
const _: () = assert!(LATE_BODY_REST.as_nanos() < FETCH_IDLE_TIMEOUT.as_nanos());
const _: () = assert!(FIELDS_MAX <= FIELDS_MAX_CEILING);
const _: () = assert!(INPUT_BUFFER_BYTES >= HEAD_BYTES_MAX);
const _: () = assert!(READ_BYTES_PER_RESUME_MAX >= INPUT_BUFFER_BYTES);
const _: () = assert!(REPLY_FIELDS_MAX <= FIELDS_MAX_CEILING);
const _: () = assert!(INPUT_BUFFER_BYTES >= REPLY_HEAD_BYTES_MAX);
const _: () = assert!(LOOK_UPS_GIVEN_UP_MAX >= 2 * LOOK_UPS_MAX);

/// Methods that set one field each, for a struct to which fields may be added: such a struct cannot be
/// written down outside of this crate, not even with `..Default::default()`.
macro_rules! setters {
    ($type:ident { $($field:ident: $value:ty),* $(,)? } $($optional:ident: $some:ty),* $(,)?) => {
        impl $type {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: $value) -> $type {
                    self.$field = $field;
                    self
                }
            )*
            $(
                #[doc = concat!("Sets [`", stringify!($optional), "`](#structfield.", stringify!($optional), ").")]
                #[must_use]
                pub fn $optional(mut self, $optional: impl Into<Option<$some>>) -> $type {
                    self.$optional = $optional.into();
                    self
                }
            )*
        }
    };
}
pub(crate) use setters;

/// The limits of one server. `Limits::default()` holds the constants of this module.
///
/// There will be more of them, so that they are changed one by one. They are checked when the server
/// begins:
///
/// ```
/// use helloop::limits::Limits;
/// use helloop::server::Server;
/// use std::time::Duration;
///
/// let limits = Limits::default()
///     .idle_timeout(Duration::from_secs(620))
///     .body_bytes_max(16 * 1024 * 1024)
///     .connections_max(1000);
/// assert_eq!(limits.connections_max, Some(1000));
/// let server = Server::builder().limits(limits).bind("localhost:0")?;
///
/// let error = Limits::default().head_bytes_max(10).check().unwrap_err();
/// assert_eq!(error.to_string(), "head_bytes_max is 10: a head needs at least 64 bytes");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// See [`HEAD_TIMEOUT`].
    pub head_timeout: Duration,
    /// See [`IDLE_TIMEOUT`].
    pub idle_timeout: Duration,
    /// See [`BODY_PROGRESS_TIMEOUT`].
    pub body_progress_timeout: Duration,
    /// See [`WRITE_PROGRESS_TIMEOUT`].
    pub write_progress_timeout: Duration,
    /// See [`LINGER_TIMEOUT`].
    pub linger_timeout: Duration,
    /// See [`DRAIN_IDLE_GRACE`].
    pub drain_idle_grace: Duration,
    /// See [`PROGRESS_BYTES_MIN`].
    pub progress_bytes_min: usize,
    /// See [`HEAD_BYTES_MAX`].
    pub head_bytes_max: usize,
    /// See [`REQUEST_LINE_BYTES_MAX`].
    pub request_line_bytes_max: usize,
    /// See [`FIELDS_MAX`].
    pub fields_max: usize,
    /// See [`BODY_BYTES_MAX`].
    pub body_bytes_max: u64,
    /// See [`CHUNK_OVERHEAD_BYTES_MAX`].
    pub chunk_overhead_bytes_max: usize,
    /// See [`OUTPUT_BYTES_MAX`].
    pub output_bytes_max: usize,
    /// See [`READ_BYTES_PER_RESUME_MAX`].
    pub read_bytes_per_resume_max: usize,
    /// See [`REQUESTS_PER_RESUME_MAX`].
    pub requests_per_resume_max: usize,
    /// See [`ACCEPTS_PER_RESUME_MAX`].
    pub accepts_per_resume_max: usize,
    /// Requests on one connection; the last one is answered with `Connection: close`.
    /// `None` (the default): no limit.
    pub requests_per_connection_max: Option<u32>,
    /// Open connections. At the limit, the connection that has been idle longest is closed in favour
    /// of a new one (see [`MAKE_ROOM_IDLE_MIN`]); while none is idle, new ones wait.
    /// `None` (the default): derived from the descriptors that the process may have and does not yet
    /// need when the server is about to accept for the first time.
    pub connections_max: Option<usize>,
}

setters! {
    Limits {
        head_timeout: Duration,
        idle_timeout: Duration,
        body_progress_timeout: Duration,
        write_progress_timeout: Duration,
        linger_timeout: Duration,
        drain_idle_grace: Duration,
        progress_bytes_min: usize,
        head_bytes_max: usize,
        request_line_bytes_max: usize,
        fields_max: usize,
        body_bytes_max: u64,
        chunk_overhead_bytes_max: usize,
        output_bytes_max: usize,
        read_bytes_per_resume_max: usize,
        requests_per_resume_max: usize,
        accepts_per_resume_max: usize,
    }
    requests_per_connection_max: u32,
    connections_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_timeout: HEAD_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            body_progress_timeout: BODY_PROGRESS_TIMEOUT,
            write_progress_timeout: WRITE_PROGRESS_TIMEOUT,
            linger_timeout: LINGER_TIMEOUT,
            drain_idle_grace: DRAIN_IDLE_GRACE,
            progress_bytes_min: PROGRESS_BYTES_MIN,
            head_bytes_max: HEAD_BYTES_MAX,
            request_line_bytes_max: REQUEST_LINE_BYTES_MAX,
            fields_max: FIELDS_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            chunk_overhead_bytes_max: CHUNK_OVERHEAD_BYTES_MAX,
            output_bytes_max: OUTPUT_BYTES_MAX,
            read_bytes_per_resume_max: READ_BYTES_PER_RESUME_MAX,
            requests_per_resume_max: REQUESTS_PER_RESUME_MAX,
            accepts_per_resume_max: ACCEPTS_PER_RESUME_MAX,
            requests_per_connection_max: None,
            connections_max: None,
        }
    }
}

/// The limits that a client sets to the replies it reads. `ReplyLimits::default()` holds the
/// constants of this module.
///
/// ```
/// use helloop::limits::ReplyLimits;
///
/// let limits = ReplyLimits::default().body_bytes_max(1024).fields_max(50);
/// assert_eq!(limits.check(), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplyLimits {
    /// See [`REPLY_HEAD_BYTES_MAX`]. Holds for the final head and for each interim one.
    pub head_bytes_max: usize,
    /// See [`REPLY_FIELDS_MAX`]. Holds for the head and for the trailers.
    pub fields_max: usize,
    /// See [`INTERIM_REPLIES_MAX`].
    pub interims_max: u32,
    /// See [`REPLY_BODY_BYTES_MAX`].
    pub body_bytes_max: u64,
    /// See [`CHUNK_OVERHEAD_BYTES_MAX`].
    pub chunk_overhead_bytes_max: usize,
}

setters! {
    ReplyLimits {
        head_bytes_max: usize,
        fields_max: usize,
        interims_max: u32,
        body_bytes_max: u64,
        chunk_overhead_bytes_max: usize,
    }
}

impl Default for ReplyLimits {
    fn default() -> ReplyLimits {
        ReplyLimits {
            head_bytes_max: REPLY_HEAD_BYTES_MAX,
            fields_max: REPLY_FIELDS_MAX,
            interims_max: INTERIM_REPLIES_MAX,
            body_bytes_max: REPLY_BODY_BYTES_MAX,
            chunk_overhead_bytes_max: CHUNK_OVERHEAD_BYTES_MAX,
        }
    }
}

impl ReplyLimits {
    /// Checks what would make every exchange fail, or silently count as something else.
    ///
    /// # Errors
    /// Names the limit that is out of range, the value, and the range.
    pub fn check(&self) -> Result<(), LimitError> {
        let ReplyLimits { head_bytes_max, fields_max, .. } = *self;
        if head_bytes_max < 64 || u32::try_from(head_bytes_max).is_err() {
            return Err(LimitError(format!(
                "head_bytes_max is {head_bytes_max}: not between 64 bytes and 4 GiB"
            )));
        }
        if !(1..=FIELDS_MAX_CEILING).contains(&fields_max) {
            return Err(LimitError(format!(
                "fields_max is {fields_max}: not between 1 and {FIELDS_MAX_CEILING}"
            )));
        }
        Ok(())
    }
}

/// A limit that cannot work: which one, and what it would have to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitError(String);

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LimitError {}

impl Limits {
    /// Checks the relations between the limits.
    ///
    /// # Errors
    /// Names the limit that is out of range, the value, and the range.
    pub fn check(&self) -> Result<(), LimitError> {
        let refuse = |text: String| Err(LimitError(text));
        if self.head_bytes_max < 64 {
            return refuse(format!(
                "head_bytes_max is {}: a head needs at least 64 bytes",
                self.head_bytes_max
            ));
        }
        if u32::try_from(self.head_bytes_max).is_err() {
            return refuse(format!("head_bytes_max is {}: above 4 GiB", self.head_bytes_max));
        }
        if self.request_line_bytes_max > self.head_bytes_max {
            return refuse(format!(
                "request_line_bytes_max is {}: more than head_bytes_max ({})",
                self.request_line_bytes_max, self.head_bytes_max
            ));
        }
        if self.fields_max > FIELDS_MAX_CEILING {
            return refuse(format!(
                "fields_max is {}: at most {FIELDS_MAX_CEILING}",
                self.fields_max
            ));
        }
        let never_zero = [
            ("request_line_bytes_max", self.request_line_bytes_max),
            ("fields_max", self.fields_max),
            ("output_bytes_max", self.output_bytes_max),
            ("read_bytes_per_resume_max", self.read_bytes_per_resume_max),
            ("requests_per_resume_max", self.requests_per_resume_max),
            ("accepts_per_resume_max", self.accepts_per_resume_max),
            ("connections_max", self.connections_max.unwrap_or(1)),
            (
                "requests_per_connection_max",
                self.requests_per_connection_max.map_or(1, |n| n as usize),
            ),
        ];
        match never_zero.iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => refuse(format!("{name} is 0: nothing could ever happen")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_consistent() {
        assert_eq!(Limits::default().check(), Ok(()));
        assert_eq!(ReplyLimits::default().check(), Ok(()));
    }

    /// The names that stand at the beginnings of lines between two texts of this file.
    fn names_between(begin: &str, end: &str) -> Vec<&'static str> {
        let source = include_str!("limits.rs");
        let (_, rest) = source.split_once(begin).expect("the beginning");
        let (between, _) = rest.split_once(end).expect("the end");
        let name = |line: &'static str| line.trim().trim_start_matches("pub ").split_once(": ");
        between.lines().filter_map(name).map(|(name, _)| name).collect()
    }

    #[test]
    fn every_limit_has_a_setter() {
        for (name, count) in [("Limits", 18), ("ReplyLimits", 5)] {
            let fields = names_between(&format!("\npub struct {name} {{\n"), "\n}\n");
            let setters = names_between(&format!("setters! {{\n    {name} {{\n"), "\n}\n");
            let fields: Vec<_> =
                fields.into_iter().filter(|name| !name.starts_with("///")).collect();
            assert!(fields.len() >= count, "{fields:?}");
            assert_eq!(fields, setters);
        }
    }

    #[test]
    fn an_impossible_limit_is_refused_by_name() {
        let check = |change: fn(&mut Limits)| {
            let mut limits = Limits::default();
            change(&mut limits);
            limits.check().unwrap_err().to_string()
        };
        assert!(check(|l| l.head_bytes_max = 10).contains("head_bytes_max is 10"));
        assert!(check(|l| l.request_line_bytes_max = 1 << 20).contains("request_line_bytes_max"));
        assert!(check(|l| l.fields_max = 1000).contains("at most 128"));
        assert!(check(|l| l.connections_max = Some(0)).contains("connections_max is 0"));
        let short = ReplyLimits { head_bytes_max: 63, ..ReplyLimits::default() };
        assert!(short.check().unwrap_err().to_string().contains("head_bytes_max is 63"));
        let many = ReplyLimits { fields_max: 129, ..ReplyLimits::default() };
        assert!(many.check().unwrap_err().to_string().contains("between 1 and 128"));
    }
}
