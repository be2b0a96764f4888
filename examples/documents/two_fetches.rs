//! Two fetches, one after the other:
//! `cargo run --example documents_two_fetches -- http://example.com http://python.org`.
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
//!         first = await fetch(session, "http://example.com")
//!         second = await fetch(session, "http://python.org")
//!         print(f"Example.com length: {len(first)}")
//!         print(f"Python.org length: {len(second)}")
//!
//! asyncio.run(main())
//! ```
//!
//! Two awaits in a row are **not** concurrent, here as in Python: the second fetch begins when the
//! first has ended. What makes them concurrent is two tasks; see `gather.rs`.
//!
//! In Python, a failure of one fetch takes the other's length with it. Here each has its own line,
//! and the exit code is 1 if one failed.

use std::process::ExitCode;

use helloop::client::{Client, Error};
use helloop::coroutine;
use helloop::event_loop::Handle;
use url::Url;

const URLS: [&str; 2] = ["http://example.com", "http://python.org"];

async fn fetch(client: &Client, url: &str) -> Result<String, Error> {
    client.get(url).send().await?.text().await
}

async fn fetch_two(handle: Handle, urls: [String; 2]) -> ExitCode {
    let client = Client::new(&handle);
    // One after the other: nothing else happens in this coroutine while it awaits.
    let first = fetch(&client, &urls[0]).await;
    let second = fetch(&client, &urls[1]).await;
    let mut exit_code = ExitCode::SUCCESS;
    for (url, result) in urls.iter().zip([first, second]) {
        match result {
            Ok(text) => println!("{} length: {}", title(url), text.chars().count()),
            Err(error) => {
                println!("Error fetching {url}: {error}");
                exit_code = ExitCode::FAILURE;
            }
        }
    }
    exit_code
}

/// The host of a URL with a capital letter: `Example.com`.
fn title(url: &str) -> String {
    let url = Url::parse(url).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    let mut letters = host.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

fn main() -> std::io::Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let urls = URLS.map(|url| arguments.next().unwrap_or_else(|| url.to_owned()));
    coroutine::run(|handle| fetch_two(handle, urls))
}
