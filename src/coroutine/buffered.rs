//! Lines, and other parts that end with a byte: asyncio's `StreamReader.readline`, `readuntil`, `readexactly`.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use memchr::memchr;

use super::split::ReadHalf;
use super::stream::Stream;
use crate::limits::LINE_BYTES_MAX;

/// Bytes that are asked for at a time.
const READ_BYTES: usize = 4096;

/// What a [`BufReader`] reads from: a [`Stream`], or the half of one.
///
/// ```
/// use helloop::coroutine::{self, BufReader, ReadSource};
///
/// coroutine::run(|handle| async move {
///     /// Of a stream, or of a half of one.
///     async fn first_line(source: impl ReadSource) -> std::io::Result<String> {
///         let mut line = String::new();
///         BufReader::new(source).read_line(&mut line).await?;
///         Ok(line)
///     }
///     let server = handle.start_server("localhost:0", |mut stream, _| async move {
///         let _ = stream.write_all(b"hello\n").await;
///     })?;
///     let (reader, _writer) = handle.open_connection(server.local_addr()).await?.split();
///     assert_eq!(first_line(reader).await?, "hello\n");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait ReadSource: sealed::Sealed {
    /// See [`Stream::poll_read`].
    ///
    /// # Errors
    /// What recv(2) says.
    fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Stream {}
    impl Sealed for super::ReadHalf {}
}

impl ReadSource for Stream {
    fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Stream::poll_read(self, cx, buffer)
    }
}

impl ReadSource for ReadHalf {
    fn poll_read(&mut self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        ReadHalf::poll_read(self, cx, buffer)
    }
}

/// A stream that is read line by line.
///
/// What was read and not asked for stays in its buffer. So a method that is given up (by a timeout, by
/// [`race`](super::race)) loses nothing: the next one begins where it began.
///
/// ```
/// use helloop::coroutine::{self, BufReader};
///
/// coroutine::run(|handle| async move {
///     let server = handle.start_server("localhost:0", |mut stream, _| async move {
///         stream.write_all(b"first\nsecond\nthe rest").await.expect("it reads");
///     })?;
///     let stream = handle.open_connection(server.local_addr()).await?;
///     let mut lines = BufReader::new(stream);
///     let mut line = String::new();
///     while lines.read_line(&mut line).await? > 0 {}
///     assert_eq!(line, "first\nsecond\nthe rest");
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct BufReader<S> {
    source: S,
    /// `buffer[begin..]` was read, and not asked for.
    buffer: Vec<u8>,
    begin: usize,
    line_bytes_max: usize,
}

impl<S: ReadSource> BufReader<S> {
    /// A line may have [`LINE_BYTES_MAX`] bytes.
    pub fn new(source: S) -> BufReader<S> {
        BufReader::with_line_bytes_max(LINE_BYTES_MAX, source)
    }

    /// A line may have so many bytes, its end included.
    pub fn with_line_bytes_max(line_bytes_max: usize, source: S) -> BufReader<S> {
        BufReader { source, buffer: Vec::new(), begin: 0, line_bytes_max }
    }

    /// Appends the next line to `line`, its `\n` included; returns its length, 0 at the end. The last line may have no
    /// `\n`.
    ///
    /// # Errors
    /// `InvalidData`: the line is not UTF-8 (it is skipped), or has too many bytes (it stays;
    /// [`read`](BufReader::read) takes it in parts). Or what recv(2) says.
    pub async fn read_line(&mut self, line: &mut String) -> io::Result<usize> {
        let bytes = self.find(b'\n').await?;
        let text = str::from_utf8(&self.unread()[..bytes]).map(|text| line.push_str(text));
        self.consume(bytes);
        match text {
            Ok(()) => Ok(bytes),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        }
    }

    /// Appends everything up to the next `delimiter`, which is included; returns how many bytes, 0 at the end.
    /// What follows the last one is appended, too.
    ///
    /// # Errors
    /// `InvalidData`: too many bytes without one, see [`read_line`](BufReader::read_line). Or what recv(2) says.
    pub async fn read_until(&mut self, delimiter: u8, into: &mut Vec<u8>) -> io::Result<usize> {
        let bytes = self.find(delimiter).await?;
        into.extend_from_slice(&self.unread()[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }

    /// Fills `into`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the stream ends before; what came stays in the buffer. Or what recv(2) says.
    pub async fn read_exact(&mut self, into: &mut [u8]) -> io::Result<()> {
        while self.unread().len() < into.len() {
            if self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        into.copy_from_slice(&self.unread()[..into.len()]);
        self.consume(into.len());
        Ok(())
    }

    /// Takes what is there, at most `into`; waits if there is nothing. Zero is the end.
    ///
    /// # Errors
    /// What recv(2) says.
    pub async fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.unread().is_empty() {
            return poll_fn(|cx| self.source.poll_read(cx, into)).await;
        }
        let bytes = self.unread().len().min(into.len());
        into[..bytes].copy_from_slice(&self.unread()[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }

    /// The stream, to write to. What is read from it directly is missing here.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.source
    }

    /// The stream, and what was read and not asked for.
    pub fn into_parts(mut self) -> (S, Vec<u8>) {
        self.buffer.drain(..self.begin);
        (self.source, self.buffer)
    }

    /// Reads until `delimiter` is there, or the end: the length of what is to be taken.
    async fn find(&mut self, delimiter: u8) -> io::Result<usize> {
        let mut looked_at = 0;
        loop {
            let unread = self.unread();
            if let Some(at) = memchr(delimiter, &unread[looked_at..]) {
                let bytes = looked_at + at + 1;
                return if bytes > self.line_bytes_max { Err(self.too_long()) } else { Ok(bytes) };
            }
            looked_at = unread.len();
            if looked_at >= self.line_bytes_max {
                return Err(self.too_long());
            }
            if self.fill().await? == 0 {
                return Ok(looked_at);
            }
        }
    }

    /// Reads once, after what is there; returns how many bytes.
    async fn fill(&mut self) -> io::Result<usize> {
        // At most once for each part that is taken.
        self.buffer.drain(..self.begin);
        self.begin = 0;
        let BufReader { source, buffer, .. } = self;
        let before = buffer.len();
        poll_fn(|cx| {
            buffer.resize(before + READ_BYTES, 0);
            let outcome = source.poll_read(cx, &mut buffer[before..]);
            let bytes = if let Poll::Ready(Ok(bytes)) = outcome { bytes } else { 0 };
            buffer.truncate(before + bytes);
            outcome
        })
        .await
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.begin..]
    }

    fn consume(&mut self, bytes: usize) {
        self.begin += bytes;
        if self.begin == self.buffer.len() {
            // One that waits owns no buffer.
            self.buffer = Vec::new();
            self.begin = 0;
        }
    }

    fn too_long(&self) -> io::Error {
        let text = format!("a line has more than {} bytes", self.line_bytes_max);
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

impl<S: fmt::Debug> fmt::Debug for BufReader<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let buffered = self.buffer.len() - self.begin;
        f.debug_struct("BufReader")
            .field("source", &self.source)
            .field("buffered", &buffered)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coroutine::{Either, race, yield_now};
    use crate::event_loop::{EventLoop, Handle};
    use crate::world::sim::{Faults, Net, Sim};
    use std::future::Future;
    use std::net::SocketAddr;
    use std::rc::Rc;

    fn address() -> SocketAddr {
        "127.0.0.1:7".parse().unwrap()
    }

    /// What a reader with such a limit makes of `bytes`, which come in parts that a seed chooses.
    fn reads<F: Future<Output = ()> + 'static>(
        bytes: &'static [u8],
        read: impl Fn(BufReader<Stream>, Handle) -> F + 'static,
    ) {
        let read = Rc::new(read);
        for seed in 0..20 {
            let world = Sim::with_faults(seed, Faults::ROUGH);
            let net: Net = world.net();
            let mut event_loop = EventLoop::with_world(Box::new(world));
            let handle = event_loop.handle().clone();
            let mut listener = crate::coroutine::Listener::bind(&handle, address()).unwrap();
            let peer = net.connect(address());
            peer.send(bytes);
            peer.finish();
            let (read, inner) = (Rc::clone(&read), handle.clone());
            let reading = async move {
                let (stream, _) = listener.accept().await;
                read(BufReader::with_line_bytes_max(10, stream), inner).await;
            };
            event_loop.run_until_complete(reading).unwrap();
        }
    }

    #[test]
    fn lines_come_one_by_one_and_the_last_needs_no_end() {
        reads(b"one\n\n3456789\xc3\xa4\nlast", |mut lines, _| async move {
            let mut seen = Vec::new();
            loop {
                let mut line = String::new();
                if lines.read_line(&mut line).await.unwrap() == 0 {
                    break;
                }
                seen.push(line);
            }
            assert_eq!(seen, ["one\n", "\n", "3456789\u{e4}\n", "last"]);
        });
    }

    #[test]
    fn a_line_that_is_too_long_stays_and_one_that_is_no_text_goes() {
        reads(b"\xff\n0123456789\n", |mut lines, _| async move {
            let mut line = String::new();
            let error = lines.read_line(&mut line).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            for _ in 0..2 {
                let error = lines.read_line(&mut line).await.unwrap_err();
                assert_eq!(error.to_string(), "a line has more than 10 bytes");
            }
            let mut all = [0; 11];
            lines.read_exact(&mut all).await.unwrap();
            assert_eq!((&all, line.as_str()), (b"0123456789\n", ""));
            let error = lines.read_exact(&mut all).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        });
    }

    #[test]
    fn what_is_given_up_loses_nothing() {
        reads(b"a,bc,def,", |mut parts, _| async move {
            let mut seen = Vec::new();
            while seen.len() < 9 {
                // It is given up whenever it has to wait.
                let read = parts.read_until(b',', &mut seen);
                if let Either::Left(Ok(0)) = race(read, yield_now()).await {
                    break;
                }
            }
            assert_eq!(seen, b"a,bc,def,");
            let (_, rest) = parts.into_parts();
            assert!(rest.is_empty());
        });
    }
}
