//! Three fetches at once:
//! `cargo run --example documents_gather -- http://example.com http://python.org http://github.com`.
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
//!             return await response.text()
//!     except Exception as error:
//!         print(f"Error fetching {url}: {error}")
//!         return None
//!
//! async def main():
//!     urls = ["http://example.com", "http://python.org", "http://github.com"]
//!     async with aiohttp.ClientSession() as session:
//!         results = await asyncio.gather(*(fetch(session, url) for url in urls))
//!         for url, text in zip(urls, results):
//!             if text:
//!                 print(f"Successfully fetched {url}: {len(text)} characters")
//!
//! asyncio.run(main())
//! ```
//!
//! An error is printed when it happens, the successes in the order of the URLs, once all fetches
//! have ended. Every status is a success, 404 as well: a server was reached, and it answered.
//! Three things are better than there: an error says what went wrong, a timeout too; an empty text is
//! 0 characters, and not silence; and the exit code is 1 if there was an error.

use std::process::ExitCode;

use helloop::client::{Client, Error};
use helloop::coroutine;
use helloop::event_loop::Handle;

const URLS: [&str; 3] = ["http://example.com", "http://python.org", "http://github.com"];

async fn fetch(client: Client, url: String) -> Option<String> {
    let text = async { client.get(&url).send().await?.text().await };
    text.await.inspect_err(|error: &Error| println!("Error fetching {url}: {error}")).ok()
}

async fn fetch_all(handle: Handle, urls: Vec<String>) -> ExitCode {
    let client = Client::new(&handle);
    let fetches = urls.iter().map(|url| fetch(client.clone(), url.clone()));
    let mut exit_code = ExitCode::SUCCESS;
    for (url, text) in urls.iter().zip(handle.gather(fetches).await) {
        match text {
            Ok(Some(text)) => {
                println!("Successfully fetched {url}: {} characters", text.chars().count());
            }
            _ => exit_code = ExitCode::FAILURE,
        }
    }
    exit_code
}

fn main() -> std::io::Result<ExitCode> {
    let mut urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        urls = URLS.map(str::to_owned).into();
    }
    coroutine::run(|handle| fetch_all(handle, urls))
}
