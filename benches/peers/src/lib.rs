//! What the peers have in common: the arguments ADDRESS FETCHES LIMIT, the check of the bodies, the
//! line of figures at the end, and the runtime (one thread, as helloop).

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Semaphore;

pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Fetches `/0`, `/1`, … at most LIMIT at a time, with what `client` makes of an URL.
pub fn run<F>(client: impl FnOnce(usize) -> Outcome<F>) -> Outcome
where
    F: AsyncFetch,
{
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, fetches, limit] = &arguments[..] else {
        return Err("usage: ADDRESS FETCHES LIMIT".into());
    };
    let (fetches, limit): (usize, usize) = (fetches.parse()?, limit.parse()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let began = Instant::now();
    runtime.block_on(async {
        let client = client(limit)?;
        let permits = Arc::new(Semaphore::new(limit));
        let tasks: Vec<_> = (0..fetches)
            .map(|number| {
                let fetch = client.fetch(format!("http://{address}/{number}"));
                let permits = Arc::clone(&permits);
                tokio::spawn(async move {
                    let _permit = permits.acquire_owned().await?;
                    fetch.await
                })
            })
            .collect();
        for (number, task) in tasks.into_iter().enumerate() {
            let body = task.await??;
            if body != format!("Hello, {number}!\n").as_bytes() {
                return Err(format!("fetch {number}: {body:?}").into());
            }
        }
        let wall = began.elapsed().as_micros();
        let status = std::fs::read_to_string("/proc/self/status")?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
        println!("{wall} {}", peak.trim().trim_end_matches(" kB"));
        Ok(())
    })
}

/// A client.
pub trait AsyncFetch {
    /// The body of a reply with status 200.
    fn fetch(&self, url: String) -> impl Future<Output = Outcome<Vec<u8>>> + Send + 'static;
}
