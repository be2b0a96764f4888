//! What the server allocates: nothing for a request on the hot path, and a few words for an idle
//! connection. What the client allocates for a fetch. A binary of its own, because it counts with a global allocator of its own.

use std::cell::Cell;
use std::future::{Future, pending};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::Duration;

use allocation_counter::measure;
use helloop::coroutine::{
    self, JoinError, JoinHandle, Promise, Queue, Resolver, ReturnWhen, Semaphore, TaskGroup,
};
use helloop::event_loop::{EventLoop, Handle};
use helloop::events::Event;
use helloop::greeting::Greeting;
use helloop::http::{Exchange, Found, Response, Room, Terms};
use helloop::limits::Limits;
use helloop::server::{Attached, Builder, Server, Service};
use helloop::world::sim::Sim;

const GET: &[u8] = b"GET /World HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: test\r\n\
    Accept: */*\r\nAccept-Language: en\r\nX-Escaped: %C3%BC\r\n\r\n";

/// More than an idle connection may own: its task with its share of the loop's tables. In debug builds
/// mio's sockets remember their poller, in one more word.
const BYTES_PER_IDLE_CONNECTION_MAX: usize =
    240 + if cfg!(debug_assertions) { size_of::<usize>() } else { 0 };

/// A server on a loop of this thread.
struct House {
    event_loop: EventLoop,
    server: Attached,
}

impl House {
    fn new() -> House {
        House::built(Server::builder())
    }

    fn built(builder: Builder) -> House {
        let event_loop = EventLoop::new().expect("a descriptor for the poller");
        let server = builder.bind("127.0.0.1:0").expect("a free port");
        let server = server.attach(event_loop.handle(), Greeting).expect("the limits agree");
        House { event_loop, server }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.local_addrs()[0]).expect("the server listens")
    }

    fn turn_until(&mut self, done: impl Fn(&Attached) -> bool) {
        while !done(&self.server) {
            self.event_loop.turn(Some(Duration::from_secs(10))).expect("a turn");
        }
    }
}

fn read_answer(client: &mut TcpStream) {
    let mut buffer = [0; 1024];
    let mut length = 0;
    while !buffer[..length].ends_with(b"Hello, World!\n") {
        let more = client.read(&mut buffer[length..]).expect("an answer");
        assert!(more > 0, "the connection is closed");
        length += more;
    }
}

#[test]
fn a_keep_alive_request_on_a_real_socket_allocates_nothing() {
    ask_again_and_again(House::new());
}

#[cfg(feature = "twin")]
#[test]
fn nor_does_one_that_a_coroutine_answers() {
    use helloop::server::Connections;
    ask_again_and_again(House::built(Server::builder().connections(Connections::Coroutine)));
}

fn ask_again_and_again(mut house: House) {
    const REQUESTS: u64 = 500;
    let mut client = house.connect();
    for request in 1..=REQUESTS {
        client.write_all(GET).expect("the socket has room");
        let info = measure(|| house.turn_until(|server| server.report().requests >= request));
        read_answer(&mut client);
        // The first few fill the reused buffers and tables.
        assert!(request < 10 || info.count_total == 0, "request {request}: {info:?}");
    }
}

#[test]
fn pipelined_requests_allocate_nothing() {
    const AT_ONCE: u64 = 32;
    let mut house = House::new();
    let mut client = house.connect();
    for round in 1..=50 {
        let requests = GET.repeat(usize::try_from(AT_ONCE).expect("small"));
        client.write_all(&requests).expect("the socket has room");
        let info =
            measure(|| house.turn_until(|server| server.report().requests >= round * AT_ONCE));
        assert!(round < 10 || info.count_total == 0, "round {round}: {info:?}");
        let mut answers = Vec::new();
        while count(&answers, b"Hello, World!\n") < AT_ONCE {
            let mut buffer = [0; 4096];
            let more = client.read(&mut buffer).expect("answers");
            answers.extend_from_slice(&buffer[..more]);
        }
    }
}

fn count(bytes: &[u8], wanted: &[u8]) -> u64 {
    bytes.windows(wanted.len()).filter(|window| *window == wanted).count() as u64
}

/// Advances a fresh exchange over `input`, with the greeting; gives the number of answers.
fn advance(input: &[u8], output: &mut Vec<u8>, response: &mut Response) -> u32 {
    let (mut exchange, limits) = (Exchange::new(), Limits::default());
    let date = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    let terms = Terms { date, is_draining: false, requests_max: None };
    let mut rest = input;
    loop {
        let mut room = Room::new(None);
        let mut found = exchange.next(&mut rest, false, &limits, &mut room);
        if let Found::Body(announced) = found {
            let policy = Greeting.body_policy(announced.request());
            found = exchange.receive(announced, policy, &mut rest, false, &limits, output);
        }
        match found {
            Found::Request(asked) => {
                response.clear();
                Greeting.call(asked.request(), response);
                exchange.answer(asked, response, &terms, output);
            }
            Found::Wrong(wrong) => {
                exchange.refuse(&wrong, response, &terms, output);
            }
            _ => break,
        }
    }
    output.clear();
    exchange.requests()
}

/// Not only the plain greeting: 404, 405 with its field, a refusal, and a body that is there.
#[test]
fn answers_of_every_kind_allocate_nothing() {
    let inputs: [&[u8]; 5] = [
        GET,
        b"GET /a/b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        b"HEAD /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ];
    let (mut output, mut response) = (Vec::new(), Response::new());
    for round in 0..3 {
        for input in inputs {
            let mut answers = 0;
            let info = measure(|| answers = advance(input, &mut output, &mut response));
            assert_eq!(answers, 1);
            assert!(round == 0 || info.count_total == 0, "{info:?}: {input:?}");
        }
    }
}

/// The counter counts: a name that must be decoded is copied, and a body that comes later is kept.
#[test]
fn what_must_allocate_is_counted() {
    let (mut output, mut response) = (Vec::new(), Response::new());
    for _ in 0..2 {
        let input = b"GET /%41 HTTP/1.1\r\nHost: x\r\n\r\n";
        let info = measure(|| {
            advance(input, &mut output, &mut response);
        });
        assert!(info.count_total > 0);
        let input = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhe";
        let info = measure(|| {
            advance(input, &mut output, &mut response);
        });
        assert!(info.count_total > 0 && info.count_current == 0, "{info:?}");
    }
}

/// Bytes that the server owns for `connections` idle connections, each of which had a request.
fn bytes_of_idle_connections(house: &mut House, connections: usize) -> usize {
    let mut clients: Vec<TcpStream> = Vec::new();
    let mut bytes = 0;
    for batch in 1..=connections / 100 {
        let fresh: Vec<TcpStream> = (0..100).map(|_| house.connect()).collect();
        bytes += measure(|| house.turn_until(|server| server.open_connections() >= batch * 100))
            .bytes_current;
        clients.extend(fresh);
    }
    let reads = Rc::new(Cell::new(0));
    let counter = Rc::clone(&reads);
    let count = move |_, event: &Event| {
        let is_read = matches!(event, Event::Read { .. });
        counter.set(counter.get() + usize::from(is_read));
    };
    house.event_loop.observe(Some(Box::new(count)));
    // In two pieces, so that each has had something left over to keep for a while.
    let (first, second) = GET.split_at(30);
    for (number, piece) in [first, second].into_iter().enumerate() {
        for client in &mut clients {
            client.write_all(piece).expect("the socket has room");
        }
        let wanted = (number + 1) * connections;
        bytes += measure(|| house.turn_until(|_| reads.get() >= wanted)).bytes_current;
    }
    assert_eq!(house.server.report().requests, connections as u64);
    clients.iter_mut().for_each(read_answer);
    usize::try_from(bytes).expect("connections own something")
}

#[test]
fn an_idle_connection_owns_no_buffer() {
    // So many that what they share, the loop's queues, does not weigh much.
    const CONNECTIONS: usize = 2000;
    let descriptors = rlimit::increase_nofile_limit(8192).expect("the limit can be asked for");
    assert!(descriptors >= 2 * CONNECTIONS as u64 + 100, "only {descriptors} descriptors");
    let mut house = House::new();
    let bytes = bytes_of_idle_connections(&mut house, CONNECTIONS);
    let each = bytes / CONNECTIONS;
    println!("{each} bytes per idle connection");
    assert!(each <= BYTES_PER_IDLE_CONNECTION_MAX, "{each} bytes per idle connection");
    assert!(each >= 64, "{each} bytes cannot be all: something is not counted");
}

/// Rounds of waiting for what does not come, and bytes that all of them together may leave: less than
/// one in every round.
const ROUNDS: usize = 2_000;
const BYTES_LEFT_MAX: i64 = 1_000;

/// What outlives by far those who wait for it.
struct LongLived {
    handle: Handle,
    /// Empty while somebody waits for it.
    task: Cell<Option<JoinHandle<()>>>,
    never: coroutine::Event,
    promise: Promise<()>,
    /// Without a permit.
    semaphore: Semaphore,
    /// Without room; its item is never done with.
    full: Queue<()>,
    empty: Queue<()>,
    resolver: Resolver,
}

impl LongLived {
    fn new(handle: &Handle) -> LongLived {
        let full = Queue::new(handle, 1);
        full.put_nowait(()).expect("it has room for one");
        let (never, promise) = (coroutine::Event::new(handle), handle.promise());
        let ended = never.clone();
        let task = handle.spawn(async move { ended.wait().await });
        let look_up = |_| pending::<std::io::Result<Vec<SocketAddr>>>();
        LongLived {
            handle: handle.clone(),
            task: Cell::new(Some(task)),
            never,
            promise,
            semaphore: Semaphore::new(handle, 0),
            full,
            empty: Queue::new(handle, 1),
            resolver: Resolver::with_look_up(handle, Duration::from_secs(1), look_up),
        }
    }

    /// Waits for the loop's shortest time.
    async fn give_up<T>(&self, future: impl Future<Output = T>) {
        let result = self.handle.timeout(Duration::from_nanos(1), future).await;
        assert!(result.is_err(), "it does not come");
    }

    async fn wait_for_task(&self, when: ReturnWhen) {
        let task = self.task.take().expect("nobody else waits for it");
        let other = self.handle.spawn(pending::<()>());
        let limit = Some(Duration::from_nanos(1));
        let (ended, mut running) = self.handle.wait(vec![task, other], when, limit).await;
        assert_eq!((ended.len(), running.len()), (0, 2));
        running.pop().expect("the other one").cancel();
        self.task.set(running.pop());
    }

    async fn wait_and_give_up(&self, construct: &str) {
        let Self { handle, never, .. } = self;
        match construct {
            "Event::wait" => self.give_up(never.wait()).await,
            "Promise::wait" => self.give_up(self.promise.wait()).await,
            "Semaphore::acquire" => self.give_up(self.semaphore.acquire()).await,
            "Queue::get" => self.give_up(self.empty.get()).await,
            "Queue::put" => self.give_up(self.full.put(())).await,
            "Queue::join" => self.give_up(self.full.join()).await,
            "Resolver::resolve" => self.give_up(self.resolver.resolve("a.test")).await,
            "Handle::sleep" => self.give_up(handle.sleep(Duration::from_secs(1))).await,
            "Handle::wait, first" => self.wait_for_task(ReturnWhen::FirstCompleted).await,
            "Handle::wait, all" => self.wait_for_task(ReturnWhen::AllCompleted).await,
            "JoinHandle" => self.give_up(handle.spawn(pending::<()>())).await,
            "Handle::gather" => {
                let children = [never.clone(), never.clone()];
                let waits = |event: coroutine::Event| async move { event.wait().await };
                self.give_up(handle.gather(children.map(waits))).await;
            }
            "Handle::try_gather" => {
                self.give_up(handle.try_gather([pending::<Result<(), JoinError>>()])).await;
            }
            "Handle::task_group" => {
                let body = async |group: &TaskGroup<JoinError>| {
                    let _task = group.spawn(pending::<Result<(), JoinError>>());
                    Ok(())
                };
                self.give_up(handle.task_group(body)).await;
            }
            "add_done_callback" => {
                let task = self.task.take().expect("nobody else waits for it");
                let callback = task.add_done_callback(|_| panic!("it was taken back"));
                assert!(task.remove_done_callback(callback));
                assert!(!task.remove_done_callback(callback), "it is gone");
                self.task.set(Some(task));
                let callback = self.promise.add_done_callback(|_| panic!("it was taken back"));
                assert!(self.promise.remove_done_callback(callback));
            }
            other => panic!("{other} is not known"),
        }
    }
}

const CONSTRUCTS: [&str; 15] = [
    "Event::wait",
    "Promise::wait",
    "Semaphore::acquire",
    "Queue::get",
    "Queue::put",
    "Queue::join",
    "Resolver::resolve",
    "Handle::sleep",
    "Handle::wait, first",
    "Handle::wait, all",
    "JoinHandle",
    "Handle::gather",
    "Handle::try_gather",
    "Handle::task_group",
    "add_done_callback",
];

#[test]
fn those_who_wait_and_give_up_leave_nothing() {
    for construct in CONSTRUCTS {
        let mut event_loop = EventLoop::with_world(Box::new(Sim::new(1)));
        let long_lived = Rc::new(LongLived::new(event_loop.handle()));
        let mut rounds = |count: usize| {
            let long_lived = Rc::clone(&long_lived);
            let rounds = async move {
                for _ in 0..count {
                    long_lived.wait_and_give_up(construct).await;
                }
                // Tasks that were cancelled end in their own time.
                for _ in 0..5 {
                    coroutine::yield_now().await;
                }
            };
            event_loop.run_until_complete(rounds).expect("the loop runs");
        };
        // Tables have their size then.
        rounds(100);
        let left = measure(|| rounds(ROUNDS)).bytes_current;
        assert!(left <= BYTES_LEFT_MAX, "{construct}: {left} bytes after {ROUNDS} rounds");
    }
}

/// Allocations of a fetch, from its URL to its text. Each of them is a thing that outlives a call: the
/// URL, the request and its bytes, the exchange, the reply with its head and its body. Eleven were
/// counted; the collections of another Rust may grow otherwise.
#[cfg(feature = "client")]
const ALLOCATIONS_PER_FETCH_MAX: u64 = 13;

/// The same of a fetch that is a task of its own and waits for a connection: the task, what it shares
/// with its handle, the callback that tells the gather, and its share of tables and queues. Fifteen were
/// counted.
#[cfg(feature = "client")]
const ALLOCATIONS_PER_GATHERED_FETCH_MAX: u64 = 17;

#[cfg(feature = "client")]
mod fetching {
    use super::*;
    use helloop::client::{Client, Error};
    use helloop::server::Running;

    /// On a thread of its own, so that what it allocates is not counted.
    fn server() -> Running {
        let server = Server::builder().bind("127.0.0.1:0").expect("a free port");
        server.spawn(Greeting).expect("a thread")
    }

    /// Allocations per fetch, on this thread.
    fn count<F>(fetches: u64, fetch_all: impl FnOnce(Handle, Client, String) -> F) -> u64
    where
        F: Future<Output = Result<(), Error>> + 'static,
    {
        let server = server();
        let mut event_loop = EventLoop::new().expect("a descriptor for the poller");
        let handle = event_loop.handle().clone();
        let client = Client::builder(&handle).connections_max(10).build().expect("good limits");
        let origin = format!("http://{}", server.local_addrs()[0]);
        // The first opens the connection, and fills what is reused.
        let first = client.get(&format!("{origin}/0")).send();
        let first = event_loop.run_until_complete(async { first.await?.text().await });
        first.expect("the loop runs").expect("a first greeting");
        let all = fetch_all(handle, client.clone(), origin);
        let info = measure(|| {
            event_loop.run_until_complete(all).expect("the loop runs").expect("greetings");
        });
        server.handle().shutdown();
        server.join().expect("the server ends");
        let each = info.count_total.div_ceil(fetches);
        println!("{each} allocations per fetch");
        each
    }

    #[test]
    fn a_fetch_allocates_no_more_than_it_must() {
        const FETCHES: u64 = 200;
        let each = count(FETCHES, |_, client, origin| async move {
            for number in 0..FETCHES {
                let text = client.get(&format!("{origin}/{number}")).send().await?.text().await?;
                assert!(text.starts_with("Hello, "));
            }
            Ok(())
        });
        assert!(each <= ALLOCATIONS_PER_FETCH_MAX, "{each}");
        assert!(each >= 3, "{each} cannot be all: something is not counted");
    }

    #[test]
    fn a_gathered_fetch_allocates_no_more_than_it_must() {
        const FETCHES: u64 = 500;
        let each = count(FETCHES, |handle, client, origin| async move {
            let fetches = (0..FETCHES).map(|number| {
                let request = client.get(&format!("{origin}/{number}"));
                async move { request.send().await?.text().await }
            });
            for text in handle.gather(fetches).await {
                assert!(text??.starts_with("Hello, "));
            }
            Ok(())
        });
        assert!(each <= ALLOCATIONS_PER_GATHERED_FETCH_MAX, "{each}");
        assert!(each >= 5, "{each} cannot be all: something is not counted");
    }
}
