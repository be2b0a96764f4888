//! Connecting to a name with many addresses: Happy Eyeballs in its simple form (RFC 8305).
//!
//! Addresses are tried in the order of the system, the families taking turns. Each has a head start of
//! [`CONNECT_FALLBACK_DELAY`] before the next is tried as well; one that fails passes the start on at
//! once. The first to connect wins, and the others are closed.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use crate::coroutine::{Relay, Stream};
use crate::event_loop::Handle;
use crate::lazy_timer::LazyAlarm;
use crate::limits::CONNECT_FALLBACK_DELAY;
use crate::world::Time;

/// Attempts to connect, under way and to come.
pub(super) struct Race {
    handle: Handle,
    relay: Relay,
    /// Addresses to come.
    waiting: VecDeque<SocketAddr>,
    /// Attempts under way.
    running: Vec<(SocketAddr, Stream)>,
    failures: Vec<(SocketAddr, io::Error)>,
    /// When the next starts, even if none has failed.
    next_start: Time,
    alarm: LazyAlarm,
}

impl Race {
    pub(super) fn new(handle: &Handle, addresses: &[SocketAddr]) -> Race {
        Race {
            handle: handle.clone(),
            relay: Relay::default(),
            waiting: interleaved(addresses),
            running: Vec::new(),
            failures: Vec::new(),
            next_start: Time::ZERO,
            alarm: LazyAlarm::unset(),
        }
    }

    /// The winner; or, when all have failed, none: see [`failures`](Race::failures).
    pub(super) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<(SocketAddr, Stream)>> {
        loop {
            if let Some(winner) = self.poll_running(cx) {
                return Poll::Ready(Some(winner));
            }
            let is_due = self.running.is_empty() || self.handle.now() >= self.next_start;
            match self.waiting.pop_front() {
                Some(next) if is_due => self.start(next),
                Some(next) => {
                    self.waiting.push_front(next);
                    let task = self.relay.task(&self.handle, cx);
                    self.alarm.arm(self.next_start, &self.handle, task);
                    return Poll::Pending;
                }
                None if self.running.is_empty() => return Poll::Ready(None),
                None => return Poll::Pending,
            }
        }
    }

    /// Which addresses were tried, and what happened: `127.0.0.1:80: Connection refused (os error 111)`.
    /// Of those that were still being tried, that they did not answer.
    pub(super) fn failures(&self) -> String {
        let failed = self.failures.iter().map(|(address, error)| format!("{address}: {error}"));
        let silent = self.running.iter().map(|(address, _)| format!("{address}: no answer"));
        let untried = self.waiting.iter().map(|address| format!("{address}: not tried"));
        failed.chain(silent).chain(untried).collect::<Vec<_>>().join("; ")
    }

    /// Looks at all attempts; takes out those that have failed, and the one that has won.
    fn poll_running(&mut self, cx: &Context<'_>) -> Option<(SocketAddr, Stream)> {
        let mut index = 0;
        while let Some((_, stream)) = self.running.get_mut(index) {
            match stream.poll_connected(cx) {
                Poll::Pending => index += 1,
                Poll::Ready(Ok(())) => return Some(self.running.swap_remove(index)),
                Poll::Ready(Err(error)) => {
                    let (address, _) = self.running.remove(index);
                    self.failures.push((address, error));
                    self.next_start = self.handle.now();
                }
            }
        }
        None
    }

    fn start(&mut self, address: SocketAddr) {
        self.next_start = self.handle.now() + CONNECT_FALLBACK_DELAY;
        match Stream::connecting(&self.handle, address) {
            Ok(stream) => self.running.push((address, stream)),
            Err(error) => {
                self.failures.push((address, error));
                self.next_start = self.handle.now();
            }
        }
    }
}

impl Drop for Race {
    fn drop(&mut self) {
        self.alarm.cancel(&self.handle);
    }
}

/// The addresses in their order, except that the families take turns as long as there are both
/// (RFC 8305 section 4). The family of the first stays first.
fn interleaved(addresses: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let is_first_family = |address: &&SocketAddr| address.is_ipv6() == addresses[0].is_ipv6();
    let mut same = addresses.iter().filter(is_first_family);
    let mut other = addresses.iter().filter(|address| !is_first_family(address));
    let mut mixed = VecDeque::with_capacity(addresses.len());
    while mixed.len() < addresses.len() {
        mixed.extend(same.next().into_iter().chain(other.next()));
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coroutine::run;
    use socket2::{Domain, Socket, Type};
    use std::future::poll_fn;
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    #[test]
    fn families_take_turns_as_long_as_there_are_both() {
        let list = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let given = list(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]);
        let mixed = list(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]);
        assert_eq!(interleaved(&given), mixed);
        assert_eq!(interleaved(&[]), []);
        let given = list(&["1.0.0.1:1", "[::1]:1"]);
        assert_eq!(interleaved(&given), given);
    }

    /// A port that answers nothing, not even the handshake: its queue is full, for as long as the
    /// returned sockets live. `None` where the kernel answers all the same.
    fn black_hole(ip: &str) -> Option<(SocketAddr, impl Sized + use<>)> {
        let any: SocketAddr = format!("{ip}:0").parse().unwrap();
        let socket = Socket::new(Domain::for_address(any), Type::STREAM, None).unwrap();
        socket.bind(&any.into()).ok()?;
        socket.listen(0).unwrap();
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        for _ in 0..16 {
            match TcpStream::connect_timeout(&address, Duration::from_millis(50)) {
                Ok(stream) => waiting.push(stream),
                Err(_) => return Some((address, (listener, waiting))),
            }
        }
        None
    }

    fn race(addresses: Vec<SocketAddr>) -> (Option<SocketAddr>, Duration, String) {
        run(|handle| async move {
            let mut race = Race::new(&handle, &addresses);
            let began = Instant::now();
            let winner = poll_fn(|cx| race.poll(cx)).await;
            (winner.map(|(address, _)| address), began.elapsed(), race.failures())
        })
        .unwrap()
    }

    #[test]
    fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let good = (good.local_addr().unwrap(), good);
        for ip in ["[::1]", "127.0.0.2"] {
            // Not everywhere there is IPv6.
            let Some((dead, _full)) = black_hole(ip) else { continue };
            let (winner, took, failures) = race(vec![dead, good.0]);
            assert_eq!(winner, Some(good.0));
            assert!(took >= CONNECT_FALLBACK_DELAY && took < Duration::from_secs(5), "{took:?}");
            assert_eq!(failures, format!("{dead}: no answer"));
        }
    }

    /// What waits for the next start is the task that polls, and not the one that polled before.
    #[test]
    fn a_race_that_goes_to_another_task_goes_on_there() {
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let Some((dead, _full)) = black_hole("127.0.0.2") else { return };
        let addresses = vec![dead, good.local_addr().unwrap()];
        let winner = run(|handle| async move {
            let mut race = Race::new(&handle, &addresses);
            poll_fn(|cx| {
                assert!(race.poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let elsewhere = handle.spawn(async move { poll_fn(|cx| race.poll(cx)).await });
            // Longer than any machine needs, and shorter than a kernel tries.
            handle.timeout(Duration::from_secs(60), elsewhere).await.expect("it goes on").unwrap()
        });
        assert_eq!(winner.unwrap().map(|(address, _)| address), good.local_addr().ok());
    }

    #[test]
    fn addresses_that_refuse_cost_nothing_and_are_all_named() {
        let closed = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (first, second) = (closed(), closed());
        let (winner, took, failures) = race(vec![first, second]);
        assert_eq!(winner, None);
        assert!(took < CONNECT_FALLBACK_DELAY, "{took:?}");
        assert!(failures.starts_with(&format!("{first}: ")), "{failures}");
        assert!(failures.contains(&format!("; {second}: ")), "{failures}");
        assert_eq!(race(Vec::new()).0, None);
    }
}
