//! The processes: servers, and the clients that this program is itself.

use std::cell::Cell;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use helloop::client::Client;
use helloop::coroutine;
use helloop::greeting::Greeting;
use helloop::http::Response;
use helloop::limits::Limits;
use helloop::server::{OwnedRequest, Server, coroutines};

use crate::{Job, Manner, measure};

/// How long a slow server takes.
pub(crate) const DELAY: Duration = Duration::from_millis(100);

/// Ports that a server listens on. Clients take turns with them, so that the closed connections of
/// one client (TIME_WAIT) leave the local ports of the next alone.
const PORTS: usize = 12;

/// Descriptors of a process that are not connections: more than enough.
const DESCRIPTORS_BESIDE: u64 = 100;

/// Raises the limit for this process and those that it starts.
pub(crate) fn raise_descriptor_limit(connections: usize) -> Result<(), String> {
    let wanted = connections as u64 + DESCRIPTORS_BESIDE;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit >= wanted => Ok(()),
        Ok(limit) => Err(format!(
            "{wanted} descriptors are needed and the limit is {limit}: raise it (ulimit -Hn), or \
             give a smaller --fetches"
        )),
        Err(error) => Err(format!("the limit of descriptors cannot be raised: {error}")),
    }
}

/// The server: prints its addresses in one line, and serves until its input ends.
pub(crate) fn serve(manner: Manner, core: usize) -> Result<(), Box<dyn Error>> {
    measure::pin(core)?;
    raise_descriptor_limit(0)?;
    let mut limits = Limits::default();
    limits.requests_per_connection_max = (manner == Manner::Closing).then_some(1);
    let server = Server::builder().limits(limits).bind_all(&["127.0.0.1:0"; PORTS])?;
    let addresses: Vec<_> = server.local_addrs().iter().map(ToString::to_string).collect();
    let running = match manner {
        Manner::Quick | Manner::Closing => server.spawn(Greeting)?,
        Manner::Slow => server.spawn(coroutines(greet_later))?,
    };
    println!("{}", addresses.join(" "));
    std::io::stdout().flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    running.handle().shutdown();
    running.join()?;
    Ok(())
}

async fn greet_later(request: OwnedRequest) -> Response {
    request.handle().sleep(DELAY).await;
    let mut response = Response::new();
    response.text(format_args!("Hello, {}!\n", request.path().trim_start_matches('/')));
    response
}

/// A client: fetches, and prints wall time (microseconds) and peak memory (KiB).
pub(crate) fn fetch(name: &str, job: &Job) -> Result<(), Box<dyn Error>> {
    raise_descriptor_limit(job.limit)?;
    let began = Instant::now();
    match name {
        "bare" => crate::bare::run(job)?,
        "helloop" => gather(job)?,
        "pulling" => pull(job)?,
        _ => return Err(format!("no client is called {name}").into()),
    }
    let wall = began.elapsed();
    println!("{} {}", wall.as_micros(), measure::peak_kib("self")?);
    Ok(())
}

/// The client of this crate, as programs use it: gather, and a limit of connections.
fn gather(job: &Job) -> Result<(), Box<dyn Error>> {
    let Job { address, fetches, limit } = *job;
    coroutine::run(move |handle| async move {
        let client = Client::builder(&handle).connections_max(limit).build()?;
        let origin = format!("http://{address}");
        let fetch = |number: usize| {
            let request = client.get(&format!("{origin}/{number}"));
            async move {
                let reply = request.send().await?;
                let status = reply.status();
                Ok::<_, helloop::client::Error>((status, reply.text().await?))
            }
        };
        let replies = handle.gather((0..fetches).map(fetch)).await;
        for (number, reply) in replies.into_iter().enumerate() {
            let (status, text) = reply??;
            if status != 200 {
                return Err(format!("fetch {number}: status {status}").into());
            }
            crate::check(number, text.as_bytes())?;
        }
        Ok(())
    })?
}

/// The same, where only as many fetches are begun as may run: workers that pull from a list.
fn pull(job: &Job) -> Result<(), Box<dyn Error>> {
    let Job { address, fetches, limit } = *job;
    coroutine::run(move |handle| async move {
        let client = Client::builder(&handle).connections_max(limit).build()?;
        let (origin, next) = (format!("http://{address}"), Rc::new(Cell::new(0)));
        let worker = |_| {
            let (client, origin, next) = (client.clone(), origin.clone(), Rc::clone(&next));
            async move {
                loop {
                    let number = next.replace(next.get() + 1);
                    if number >= fetches {
                        return Ok::<_, Box<dyn Error>>(());
                    }
                    let reply = client.get(&format!("{origin}/{number}")).send().await?;
                    if reply.status() != 200 {
                        return Err(format!("fetch {number}: status {}", reply.status()).into());
                    }
                    crate::check(number, reply.text().await?.as_bytes())?;
                }
            }
        };
        for ended in handle.gather((0..limit).map(worker)).await {
            ended??;
        }
        Ok(())
    })?
}

/// A server in a process of its own. Dropping this ends it.
pub(crate) struct ServerProcess {
    child: Child,
    addresses: Vec<SocketAddr>,
    next: Cell<usize>,
}

impl ServerProcess {
    pub(crate) fn start(manner: Manner, core: usize) -> Result<ServerProcess, Box<dyn Error>> {
        let manner = manner.to_possible_value().ok_or("no manner")?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(["server", manner.get_name(), &core.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("the server has no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let addresses: Vec<SocketAddr> =
            line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        if addresses.is_empty() {
            return Err("the server did not start".into());
        }
        Ok(ServerProcess { child, addresses, next: Cell::new(0) })
    }

    /// The address for the next client.
    pub(crate) fn address(&self) -> SocketAddr {
        let next = self.next.get();
        self.next.set(next + 1);
        self.addresses[next % self.addresses.len()]
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
