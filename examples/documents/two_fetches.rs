//! Two fetches, one after the other:
//! `cargo run --example documents_two_fetches -- http://localhost:8080/a http://localhost:8080/b`.
//!
//! In Python:
//!
//! ```python
//! import asyncio
//! import aiohttp
//!
//! async def fetch(session, url):
//!     async with session.get(url) as response:
//!         return await response.text()
//!
//! async def main():
//!     async with aiohttp.ClientSession() as session:
//!         first = await fetch(session, "http://localhost:8080/a")
//!         second = await fetch(session, "http://localhost:8080/b")
//!         print(first)
//!         print(second)
//!
//! asyncio.run(main())
//! ```
//!
//! Two awaits in a row are **not** concurrent, here as in Python: the second fetch begins when the
//! first has ended. What makes them concurrent is two tasks; see `gather.rs`.
//!
//! In Python, a failure of one fetch takes the other's text with it. Here each has its own line,
//! and the exit code is 1 if one failed. `FETCH_SECONDS=2.5` limits each fetch; without it, 300 s do.

use std::process::ExitCode;
use std::time::Duration;

use helloop::client::{Client, Error, Timeouts};
use helloop::coroutine;
use helloop::event_loop::Handle;

async fn fetch(client: &Client, url: &str) -> Result<String, Error> {
    client.get(url).send().await?.text().await
}

async fn fetch_two(
    handle: Handle,
    timeouts: Timeouts,
    urls: [String; 2],
) -> Result<ExitCode, Error> {
    let client = Client::builder(&handle).timeouts(timeouts).build()?;
    // One after the other: nothing else happens in this coroutine while it awaits.
    let first = fetch(&client, &urls[0]).await;
    let second = fetch(&client, &urls[1]).await;
    let mut exit_code = ExitCode::SUCCESS;
    for (url, result) in urls.iter().zip([first, second]) {
        match result {
            Ok(text) => println!("{text}"),
            Err(error) => {
                println!("Error fetching {url}: {error}");
                exit_code = ExitCode::FAILURE;
            }
        }
    }
    Ok(exit_code)
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let defaults = ["http://localhost:8080/a", "http://localhost:8080/b"];
    let urls = defaults.map(|url| arguments.next().unwrap_or_else(|| url.to_owned()));
    let timeouts = timeouts()?;
    Ok(coroutine::run(|handle| fetch_two(handle, timeouts, urls))??)
}

fn timeouts() -> Result<Timeouts, String> {
    let Ok(text) = std::env::var("FETCH_SECONDS") else { return Ok(Timeouts::default()) };
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let whole =
        seconds.ok_or_else(|| format!("FETCH_SECONDS is `{text}`: no number of seconds"))?;
    Ok(Timeouts { whole: Some(whole), ..Timeouts::default() })
}
