//! Three fetches at once: `cargo run --example documents_gather -- URL URL URL`.
//!
//! In Python:
//!
//! ```python
//! import asyncio
//! import aiohttp
//!
//! async def fetch(session, url):
//!     try:
//!         async with session.get(url) as response:
//!             text = await response.text()
//!             return f"Successfully fetched {url}: {len(text)} characters"
//!     except aiohttp.ClientError as error:
//!         return f"Error fetching {url}: {error}"
//!
//! async def main():
//!     urls = ["http://localhost:8080/a", "http://localhost:8080/b", "http://localhost:8080/c"]
//!     async with aiohttp.ClientSession() as session:
//!         for line in await asyncio.gather(*(fetch(session, url) for url in urls)):
//!             print(line)
//!
//! asyncio.run(main())
//! ```
//!
//! The fetches run at the same time; the lines come in the order of the URLs, whichever fetch ended
//! first. Every status is a success, 404 as well: a server was reached, and it answered. An error
//! says what went wrong, a timeout too. The exit code is 1 if there was one. `FETCH_SECONDS=2.5`
//! limits each fetch; without it, 300 s do.

use std::process::ExitCode;
use std::time::Duration;

use helloop::client::{Client, Error, Timeouts};
use helloop::coroutine;
use helloop::event_loop::Handle;

async fn fetch(client: Client, url: String) -> Result<String, Error> {
    client.get(&url).send().await?.text().await
}

async fn fetch_all(
    handle: Handle,
    timeouts: Timeouts,
    urls: Vec<String>,
) -> Result<ExitCode, Error> {
    let client = Client::builder(&handle).timeouts(timeouts).build()?;
    let fetches = urls.iter().map(|url| fetch(client.clone(), url.clone()));
    let mut exit_code = ExitCode::SUCCESS;
    for (url, result) in urls.iter().zip(handle.gather(fetches).await) {
        match result.unwrap_or_else(|error| Err(error.into())) {
            Ok(text) => {
                println!("Successfully fetched {url}: {} characters", text.chars().count());
            }
            Err(error) => {
                println!("Error fetching {url}: {error}");
                exit_code = ExitCode::FAILURE;
            }
        }
    }
    Ok(exit_code)
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        urls = ["a", "b", "c"].map(|name| format!("http://localhost:8080/{name}")).into();
    }
    let timeouts = timeouts()?;
    Ok(coroutine::run(|handle| fetch_all(handle, timeouts, urls))??)
}

fn timeouts() -> Result<Timeouts, String> {
    let Ok(text) = std::env::var("FETCH_SECONDS") else { return Ok(Timeouts::default()) };
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let whole =
        seconds.ok_or_else(|| format!("FETCH_SECONDS is `{text}`: no number of seconds"))?;
    Ok(Timeouts { whole: Some(whole), ..Timeouts::default() })
}
