//! The client in a simulated world: no threads, a clock that jumps, and a rough network.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use helloop::client::{Client, ErrorKind, Phase, Timeouts};
use helloop::coroutine::{Resolver, yield_now};
use helloop::event_loop::{EventLoop, Handle};
use helloop::events::Event;
use helloop::greeting::Greeting;
use helloop::http::{Request, Response, Status};
use helloop::limits::{LATE_BODY_REST, READ_BYTES_PER_RESUME_MAX, WRITE_BYTES_PER_RESUME_MAX};
use helloop::server::{Attached, Builder};
use helloop::watch::Recorder;
use helloop::world::sim::{Faults, Net, Peer, Sim};

fn address() -> SocketAddr {
    "127.0.0.1:80".parse().unwrap()
}

fn simulate<F: Future<Output: 'static> + 'static>(
    seed: u64,
    faults: Faults,
    test: impl FnOnce(Handle, Net, Attached) -> F,
) -> F::Output {
    let sim = Sim::with_faults(seed, faults);
    let net = sim.net();
    let mut event_loop = EventLoop::with_world(Box::new(sim));
    let handle = event_loop.handle().clone();
    let listener = handle.listen(address()).unwrap();
    let attached = Builder::default().attach(&handle, vec![listener], Greeting).unwrap();
    let test = test(handle, net, attached);
    event_loop.run_until_complete(test).unwrap()
}

#[test]
fn many_fetches_survive_a_rough_network() {
    for seed in 0..20 {
        simulate(seed, Faults::ROUGH, |handle, net, _attached| async move {
            let client = Client::builder(&handle).connections_max(7).build().unwrap();
            let fetches = (0..50).map(|number| {
                let request = client.get(&format!("http://127.0.0.1/{number}"));
                async move { request.send().await?.text().await }
            });
            for (number, text) in handle.gather(fetches).await.into_iter().enumerate() {
                assert_eq!(text.unwrap().unwrap(), format!("Hello, {number}!\n"), "seed {seed}");
            }
            assert!(client.idle_connections() <= 7 && client.idle_connections() > 0);
            drop(client);
            handle.sleep(Duration::from_secs(1)).await;
            assert_eq!(net.open_ends(), 0, "seed {seed}: everything is closed");
        });
    }
}

#[test]
fn an_idle_connection_is_kept_for_fifteen_seconds() {
    simulate(1, Faults::NONE, |handle, _net, _attached| async move {
        let client = Client::new(&handle);
        client.get("http://127.0.0.1/").send().await.unwrap();
        let tasks = handle.task_count();
        handle.sleep(Duration::from_millis(14_900)).await;
        assert_eq!(client.idle_connections(), 1);
        handle.sleep(Duration::from_millis(200)).await;
        assert_eq!(client.idle_connections(), 0);
        handle.sleep(Duration::from_millis(10)).await;
        assert!(handle.task_count() < tasks, "with the last connection, its keeper goes");
    });
}

#[test]
fn a_connection_rests_after_a_reply_without_content_and_is_used_then() {
    let sim = Sim::with_faults(1, Faults::NONE);
    let net = sim.net();
    let mut event_loop = EventLoop::with_world(Box::new(sim));
    let handle = event_loop.handle().clone();
    let listener = handle.listen(address()).unwrap();
    let nothing = |_: &Request<'_>, response: &mut Response| {
        response.status(Status::NO_CONTENT);
    };
    let _attached = Builder::default().attach(&handle, vec![listener], nothing).unwrap();
    let test = async move {
        let client = Client::new(&handle);
        let fetch = async || client.get("http://127.0.0.1/").send().await.unwrap().status();
        let ms = Duration::from_millis;
        for (pause, connections) in
            [(ms(0), 1), (ms(0), 2), (LATE_BODY_REST - ms(1), 3), (ms(1), 3), (LATE_BODY_REST, 3)]
        {
            handle.sleep(pause).await;
            assert_eq!(fetch().await, 204);
            assert_eq!(client.idle_connections(), connections, "after {pause:?}");
        }
        // On either side.
        assert_eq!(net.open_ends(), 6);
    };
    event_loop.run_until_complete(test).unwrap();
}

#[test]
fn a_connection_does_not_survive_a_body_that_comes_while_it_rests() {
    let sim = Sim::with_faults(1, Faults::NONE);
    let net = sim.net();
    let mut event_loop = EventLoop::with_world(Box::new(sim));
    let handle = event_loop.handle().clone();
    let peers = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&peers);
    net.serve(address(), move |net, peer| {
        let peer = Rc::new(peer);
        kept.borrow_mut().push(Rc::clone(&peer));
        for (after_ms, text) in [(1, "HTTP/1.1 204 No Content\r\n\r\n"), (41, "a body")] {
            let peer = Rc::clone(&peer);
            let due = net.now() + Duration::from_millis(after_ms);
            net.at(due, move |_| peer.send(text.as_bytes()));
        }
    });
    let test = async move {
        let client = Client::new(&handle);
        assert_eq!(client.get("http://127.0.0.1/").send().await.unwrap().status(), 204);
        assert_eq!(client.idle_connections(), 1);
        handle.sleep(LATE_BODY_REST).await;
        assert_eq!(client.idle_connections(), 0);
        peers.borrow_mut().clear();
    };
    event_loop.run_until_complete(test).unwrap();
}

#[test]
fn every_phase_ends_at_its_limit_and_not_earlier() {
    simulate(1, Faults::NONE, |handle, _net, _attached| async move {
        let silent: SocketAddr = "127.0.0.1:81".parse().unwrap();
        let _listener = handle.listen(silent).unwrap();
        let timeouts = Timeouts { head: Duration::from_secs(7), ..Timeouts::default() };
        let client = Client::builder(&handle).timeouts(timeouts).build().unwrap();
        let began = handle.now();
        let error = client.get("http://127.0.0.1:81/").send().await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::Head), "{error}");
        let took = handle.now().since(began);
        assert!(took >= Duration::from_secs(7) && took < Duration::from_millis(7_001), "{took:?}");

        // There are no threads in this world, so a name is never found.
        let began = handle.now();
        let error = client.get("http://name.example/").send().await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::Resolve), "{error}");
        assert!(error.to_string().contains("name.example within 10s"), "{error}");
        assert!(handle.now().since(began) >= Duration::from_secs(10));
    });
}

/// How often each name was asked for.
type Asked = Rc<RefCell<BTreeMap<String, u32>>>;

/// A name server that knows all names, and takes as long as `takes` says; `None`: it never answers.
fn name_server(
    handle: &Handle,
    takes: impl Fn(&str) -> Option<Duration> + 'static,
) -> (Resolver, Asked) {
    let asked = Asked::default();
    let (clock, counts) = (handle.clone(), Rc::clone(&asked));
    let look_up = move |name: String| {
        let (clock, takes) = (clock.clone(), takes(&name));
        *counts.borrow_mut().entry(name).or_default() += 1;
        async move {
            match takes {
                Some(takes) => clock.sleep(takes).await,
                None => pending().await,
            }
            Ok(vec![address()])
        }
    };
    (Resolver::with_look_up(handle, Duration::from_secs(10), look_up), asked)
}

/// Fetches all at once, and counts those that were answered.
async fn fetch_all(handle: &Handle, client: &Client, urls: Vec<String>) -> usize {
    let fetch = |url: String| {
        let request = client.get(&url);
        async move { request.send().await?.text().await }
    };
    let results = handle.gather(urls.into_iter().map(fetch)).await;
    results.iter().filter(|result| matches!(result, Ok(Ok(_)))).count()
}

#[test]
fn slow_names_are_looked_up_at_the_same_time_and_once() {
    simulate(1, Faults::NONE, |handle, _net, _attached| async move {
        let second = Duration::from_secs(1);
        let (resolver, asked) = name_server(&handle, move |_| Some(second));
        let client = Client::builder(&handle).resolver(resolver).build().unwrap();
        let began = handle.now();
        let urls = (0..300).map(|number| format!("http://h{}.example/{number}", number % 100));
        assert_eq!(fetch_all(&handle, &client, urls.collect()).await, 300);
        let took = handle.now().since(began);
        assert!(took < 2 * second, "{took:?}");
        assert_eq!((asked.borrow().len(), asked.borrow().values().max()), (100, Some(&1)));
    });
}

#[test]
fn the_limit_of_a_look_up_begins_when_it_does() {
    simulate(1, Faults::NONE, |handle, _net, _attached| async move {
        let eight = Duration::from_secs(8);
        let (resolver, _) = name_server(&handle, move |_| Some(eight));
        resolver.set_look_ups_max(2);
        let timeouts = Timeouts { whole: None, ..Timeouts::default() };
        let client = Client::builder(&handle).timeouts(timeouts).resolver(resolver);
        let client = client.connections_max(1000).build().unwrap();
        let began = handle.now();
        let urls = (0..100).map(|number| format!("http://h{number}.example/"));
        // The last of them waits for 392 s, and is allowed 10 s.
        assert_eq!(fetch_all(&handle, &client, urls.collect()).await, 100);
        assert_eq!(handle.now().since(began).as_secs(), 400);
    });
}

#[test]
fn a_dead_name_costs_only_those_who_ask_for_it() {
    simulate(1, Faults::NONE, |handle, _net, _attached| async move {
        let takes = |name: &str| (!name.starts_with("dead")).then_some(Duration::ZERO);
        let (resolver, asked) = name_server(&handle, takes);
        let (limit, good_took) = (Duration::from_secs(10), Rc::new(Cell::new(None)));
        let client = Client::builder(&handle).resolver(resolver.clone()).build().unwrap();
        let began = handle.now();
        let (fetch, clock, took) = (client.clone(), handle.clone(), Rc::clone(&good_took));
        let good = async move {
            clock.sleep(Duration::from_millis(1)).await;
            let reply = fetch.get("http://good.example/").send().await;
            took.set(Some(clock.now().since(began)));
            reply.map(drop)
        };
        let good = handle.spawn(good);
        let urls = (0..19).map(|number| format!("http://dead{number}.example/"));
        assert_eq!(fetch_all(&handle, &client, urls.collect()).await, 0);
        assert_eq!(handle.now().since(began).as_secs(), limit.as_secs());
        assert_eq!(good.await, Ok(Ok(())));
        assert!(good_took.get().unwrap() < Duration::from_secs(1), "{good_took:?}");

        // Even where all of the room is theirs, they have it for as long as somebody waits for them.
        resolver.set_look_ups_max(2);
        let began = handle.now();
        let dead = ["http://dead.example/", "http://deader.example/", "http://dead.example/again"];
        let urls = dead.into_iter().chain(["http://behind.example/"]);
        assert_eq!(fetch_all(&handle, &client, urls.map(Into::into).collect()).await, 1);
        assert_eq!(handle.now().since(began).as_secs(), limit.as_secs());
        assert!(asked.borrow().values().all(|times| *times == 1), "{asked:?}");
    });
}

#[test]
fn a_refused_address_passes_the_start_on_at_once() {
    simulate(1, Faults::NONE, |handle, _net, _attached| async move {
        let other: SocketAddr = "[::1]:82".parse().unwrap();
        let listener = handle.listen(other).unwrap();
        let _second = Builder::default().attach(&handle, vec![listener], Greeting).unwrap();
        let began = handle.now();
        let reply = Client::new(&handle).get("http://localhost:82/").send().await.unwrap();
        assert_eq!((reply.status(), reply.peer()), (200, other));
        assert!(handle.now().since(began) < Duration::from_millis(1));
    });
}

#[test]
fn a_client_needs_no_waker_of_its_task() {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::task::{Context, Poll, Wake, Waker};

    /// A waker as combinators have them: it notes which child is to be looked at.
    struct Noting(AtomicBool, Waker);

    impl Wake for Noting {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            self.1.wake_by_ref();
        }
    }

    simulate(1, Faults::NONE, |handle, _net, _attached| async move {
        let client = Client::new(&handle);
        let tasks = handle.task_count();
        for _ in 0..2 {
            let mut fetch = pin!(client.get("http://127.0.0.1/x").send());
            let mut noting = None;
            let reply = std::future::poll_fn(|cx| {
                let noting = noting.get_or_insert_with(|| {
                    Arc::new(Noting(AtomicBool::new(true), cx.waker().clone()))
                });
                // Looks only if its own waker was called.
                if !noting.0.swap(false, Ordering::SeqCst) {
                    return Poll::Pending;
                }
                let waker = Waker::from(Arc::clone(noting));
                fetch.as_mut().poll(&mut Context::from_waker(&waker))
            });
            assert_eq!(reply.await.unwrap().status(), 200);
        }
        drop(client);
        handle.sleep(Duration::from_secs(1)).await;
        assert!(handle.task_count() <= tasks, "no relay is left");
    });
}

/// An answer to nobody.
const SURPLUS: &[u8] = b"HTTP/1.1 203 To Nobody\r\nContent-Length: 0\r\n\r\n";

/// Answers whatever comes with 200, and after that does what it is told. Gives the connections.
fn serve_empty(
    net: &Net,
    site: SocketAddr,
    after: impl Fn(&Net, &Rc<Peer>) + 'static,
) -> Rc<RefCell<Vec<Rc<Peer>>>> {
    let connections = Rc::new(RefCell::new(Vec::new()));
    let (seen, after) = (Rc::clone(&connections), Rc::new(after));
    net.serve(site, move |_, peer| {
        let peer = Rc::new(peer);
        seen.borrow_mut().push(Rc::clone(&peer));
        let (me, after) = (Rc::clone(&peer), Rc::clone(&after));
        peer.watch(move |net| {
            if !me.receive().is_empty() {
                me.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                after(net, &me);
            }
        });
    });
    connections
}

/// What arrives while a connection changes hands is seen before the next request is written.
#[test]
fn an_answer_to_nobody_is_not_taken_for_the_next_answer() {
    for method in ["GET", "HEAD", "POST"] {
        simulate(1, Faults::NONE, |handle, net, _attached| async move {
            let site: SocketAddr = "127.0.0.1:81".parse().unwrap();
            let connections = serve_empty(&net, site, |net, peer| {
                // Not with the answer, but before the next turn asks what there is.
                let peer = Rc::clone(peer);
                net.at(net.now() + Duration::from_nanos(1), move |_| peer.send(SURPLUS));
            });
            let client = Client::builder(&handle).connections_max(1).build().unwrap();
            // The second waits for the connection of the first.
            let fetches = ["GET", method].map(|method| {
                let request = client.request(method, "http://127.0.0.1:81/");
                async move { request.send().await.map(|reply| reply.status()) }
            });
            for status in handle.gather(fetches).await {
                assert_eq!(status.unwrap().unwrap(), 200, "{method}");
            }
            assert_eq!(connections.take().len(), 2, "{method}");
        });
    }
}

/// A kept connection may not take the request at once. What comes until it does is no reply either.
#[test]
fn what_comes_before_the_first_byte_of_a_request_is_not_its_answer() {
    for method in ["GET", "HEAD", "POST"] {
        simulate(1, Faults::NONE, |handle, net, _attached| async move {
            let site: SocketAddr = "127.0.0.1:81".parse().unwrap();
            let connections = serve_empty(&net, site, |_, _| {});
            let client = Client::new(&handle);
            let first = client.get("http://127.0.0.1:81/").send().await.unwrap();
            assert_eq!((first.status(), client.idle_connections()), (200, 1));
            let mut blocked = Faults::NONE;
            blocked.would_block_percent = 100;
            net.set_faults(blocked);
            let request = client.request(method, "http://127.0.0.1:81/");
            let second = handle.spawn(async move { request.send().await });
            yield_now().await;
            net.set_faults(Faults::NONE);
            connections.borrow()[0].send(SURPLUS);
            let second = second.await.unwrap().unwrap();
            assert_eq!(second.status(), 200, "{method}");
            assert_eq!(connections.take().len(), 2, "{method}");
        });
    }
}

/// A server that takes everything at once, and whose answer is there at once, leaves turns to others: each
/// resume sends and reads no more than its share.
#[test]
fn an_upload_and_a_download_leave_turns_to_others() {
    const BYTES: usize = 4 << 20;
    let sim = Sim::new(1);
    let net = sim.net();
    let far: SocketAddr = "10.0.0.1:80".parse().unwrap();
    let peers = Rc::<RefCell<Vec<Peer>>>::default();
    let kept = Rc::clone(&peers);
    net.serve(far, move |_, peer| {
        peer.widen(usize::MAX);
        kept.borrow_mut().push(peer);
    });
    let mut event_loop = EventLoop::with_world(Box::new(sim));
    let recorder = Recorder::new(1_000_000);
    event_loop.observe(Some(Box::new(recorder.clone())));
    let handle = event_loop.handle().clone();
    let turns = event_loop.run_until_complete(async move {
        let client = Client::new(&handle);
        let request = client.post("http://10.0.0.1/").body(vec![b'x'; BYTES]);
        let fetch = handle.spawn(async move { request.send().await?.bytes().await });
        let begin = handle.turns();
        let mut received = 0;
        while received < BYTES {
            yield_now().await;
            received += peers.borrow().iter().map(|peer| peer.receive().len()).sum::<usize>();
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {BYTES}\r\n\r\n");
        peers.borrow()[0].send(head.as_bytes());
        peers.borrow()[0].send(&vec![b'y'; BYTES]);
        assert_eq!(fetch.await.unwrap().unwrap().len(), BYTES);
        handle.turns() - begin
    });
    let turns_min = 2 * (BYTES / READ_BYTES_PER_RESUME_MAX) as u64;
    assert!((turns_min..turns_min + 10).contains(&turns.unwrap()), "about {turns_min} turns");
    let (mut read, mut written) = (0, 0);
    for (_, event) in recorder.events() {
        match event {
            Event::Resumed { .. } => (read, written) = (0, 0),
            Event::Read { bytes, .. } => read += bytes,
            Event::Wrote { bytes, .. } => written += bytes,
            _ => {}
        }
        assert!(read <= READ_BYTES_PER_RESUME_MAX && written <= WRITE_BYTES_PER_RESUME_MAX);
    }
}
