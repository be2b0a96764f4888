//! Fetches many pages, a few at a time, and prints what each is called:
//!
//! ```sh
//! cargo run --example scrape -- --follow http://localhost:8080/   # and what it links to
//! cargo run --example scrape -- --workers 32 - < urls.txt
//! ```
//!
//! A line per page on standard output, as they end, separated by tabs: the number, the status (or
//! `error`), the URL, and the title (or what went wrong). The sum on standard error. Exit code 1 if
//! there was an error. It does not read `robots.txt`: ask the owner of the pages.
//!
//! A fixed number of workers pull URLs from a queue, and put the links that they find after the
//! others: breadth first. When every URL that was put is also done, the workers are cancelled. They
//! are a task group, so that one that fails ends all.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use helloop::Printable;
use helloop::client::{self, Client, Timeouts};
use helloop::coroutine::{self, JoinError, Queue};
use helloop::event_loop::Handle;
use html5gum::emitters::default::DefaultEmitter;
use html5gum::{Token, Tokenizer};
use url::Url;

/// Fetches many pages, a few at a time.
#[derive(Parser)]
struct Options {
    /// Pages to fetch; `-` reads more from standard input, one to a line
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Follow links within the same origin (scheme, host and port), breadth first
    #[arg(long)]
    follow: bool,
    /// Fetches at a time
    #[arg(long, default_value = "16", value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
    /// Pages in all; what is found beyond is counted, and not fetched
    #[arg(long, default_value = "10000", value_parser = clap::value_parser!(u32).range(1..))]
    pages: u32,
    /// Seconds for each page
    #[arg(long, default_value = "30", value_parser = seconds)]
    timeout: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.ok_or_else(|| "a number of seconds was expected".to_owned())
}

/// What a fetch brings.
struct Page {
    status: u16,
    title: String,
    /// Bytes of the body; of HTML, bytes of its text in UTF-8.
    bytes: u64,
    /// Links to the page's own origin, in order.
    links: Vec<Url>,
}

/// What the whole comes to.
#[derive(Default)]
struct Sum {
    pages: u64,
    errors: u64,
    bytes: u64,
}

/// Why everything ends early.
enum Failure {
    /// What is printed is not read any more.
    Output(io::Error),
    Worker(JoinError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Output(error) => write!(f, "cannot write: {error}"),
            Failure::Worker(error) => error.fmt(f),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Failure {
        Failure::Worker(error)
    }
}

struct Scraper {
    client: Client,
    is_following: bool,
    pages_max: usize,
    /// Has room for `pages_max`, so that no worker ever waits to put something.
    queue: Queue<Url>,
    /// Everything that was ever found.
    seen: RefCell<HashSet<Url>>,
    /// What was found when there were `pages_max` already.
    left_out: Cell<u64>,
    sum: RefCell<Sum>,
}

impl Scraper {
    fn new(handle: &Handle, options: &Options) -> Result<Scraper, client::Error> {
        let timeouts = Timeouts { whole: Some(options.timeout), ..Timeouts::default() };
        let client = Client::builder(handle)
            .timeouts(timeouts)
            .connections_max(usize::from(options.workers))
            .build()?;
        let pages_max = options.pages as usize;
        Ok(Scraper {
            client,
            is_following: options.follow,
            pages_max,
            queue: Queue::new(handle, pages_max),
            seen: RefCell::default(),
            left_out: Cell::new(0),
            sum: RefCell::default(),
        })
    }

    /// Puts a URL into the queue, unless it was found before. A fragment is no other page.
    fn find(&self, mut url: Url) {
        url.set_fragment(None);
        let mut seen = self.seen.borrow_mut();
        if !seen.insert(url.clone()) {
            return;
        }
        // The queue has room for all that are ever put, so this is the limit of pages.
        if seen.len() > self.pages_max || self.queue.put_nowait(url).is_err() {
            self.left_out.set(self.left_out.get() + 1);
        }
    }

    /// Fetches what is in the queue, until it is cancelled.
    async fn work(self: Rc<Self>) -> Result<Infallible, Failure> {
        loop {
            let url = self.queue.get().await;
            let outcome = self.fetch(&url).await;
            match outcome {
                Ok(page) => {
                    self.print(url.as_str(), Ok((page.status, &page.title)))?;
                    self.sum.borrow_mut().bytes += page.bytes;
                    page.links.into_iter().for_each(|link| self.find(link));
                }
                Err(error) => self.print(url.as_str(), Err(&error.to_string()))?,
            }
            self.queue.task_done();
        }
    }

    async fn fetch(&self, url: &Url) -> Result<Page, client::Error> {
        let mut reply = self.client.get(url.as_str()).send().await?;
        let status = reply.status();
        let kind = reply.headers().text("Content-Type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if kind != "text/html" {
            // Counted as it comes; nothing is kept.
            let mut bytes = 0;
            while let Some(piece) = reply.chunk().await? {
                bytes += piece.len() as u64;
            }
            return Ok(Page { status, title: String::new(), bytes, links: Vec::new() });
        }
        let at = Url::parse(reply.url()).unwrap_or_else(|_| url.clone());
        let text = reply.text().await?;
        let (title, mut links) = read_html(&text, &at);
        // A redirect may have led elsewhere.
        links.retain(|link| self.is_following && status == 200 && link.origin() == url.origin());
        Ok(Page { status, title, bytes: text.len() as u64, links })
    }

    /// Counts and prints a page, or what went wrong.
    fn print(&self, url: &str, outcome: Result<(u16, &str), &str>) -> Result<(), Failure> {
        let mut sum = self.sum.borrow_mut();
        let (status, words) = match outcome {
            Ok((status, title)) => {
                sum.pages += 1;
                (status.to_string(), title)
            }
            Err(error) => {
                sum.errors += 1;
                ("error".to_owned(), error)
            }
        };
        let number = sum.pages + sum.errors;
        let (url, words) = (Printable(url), Printable(words));
        Ok(writeln!(io::stdout(), "{number}\t{status}\t{url}\t{words}")?)
    }
}

/// The title, in one line, and the links of `<a href>`, resolved.
fn read_html(text: &str, at: &Url) -> (String, Vec<Url>) {
    let mut emitter = DefaultEmitter::default();
    // In a script or a title, what looks like a tag is none.
    emitter.naively_switch_states(true);
    let (mut title, mut is_in_title, mut base) = (None, false, at.clone());
    let mut links = Vec::new();
    for Ok(token) in Tokenizer::new_with_emitter(text, emitter) {
        match token {
            Token::StartTag(tag) => {
                is_in_title = &**tag.name == b"title" && title.is_none();
                let href = tag.attributes.get(b"href".as_slice());
                let href = href.map(|href| String::from_utf8_lossy(href));
                let link = href.and_then(|href| base.join(&href).ok());
                match (tag.name.as_slice(), link) {
                    (b"a", Some(link)) => links.push(link),
                    (b"base", Some(link)) => base = link,
                    _ => {}
                }
            }
            Token::String(words) if is_in_title => {
                let words = String::from_utf8_lossy(&words);
                title.get_or_insert_with(String::new).push_str(&words);
            }
            Token::EndTag(_) => is_in_title = false,
            _ => {}
        }
    }
    let title = title.unwrap_or_default();
    let is_separator = |char: char| char.is_whitespace() || char.is_control();
    let words: Vec<&str> = title.split(is_separator).filter(|word| !word.is_empty()).collect();
    (words.join(" "), links)
}

/// The URLs that were given, those on standard input included.
fn given(options: &Options) -> io::Result<Vec<String>> {
    let mut urls = Vec::new();
    for url in &options.urls {
        if url != "-" {
            urls.push(url.clone());
            continue;
        }
        for line in io::stdin().lines() {
            let line = line?;
            urls.extend(Some(line.trim().to_owned()).filter(|line| !line.is_empty()));
        }
    }
    Ok(urls)
}

async fn scrape(
    handle: Handle,
    options: Options,
    urls: Vec<String>,
) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let began = handle.clock();
    let scraper = Rc::new(Scraper::new(&handle, &options)?);
    let group = handle.task_group(async |group| {
        for text in urls {
            match Url::parse(&text) {
                Ok(url) => scraper.find(url),
                Err(error) => scraper.print(&text, Err(&format!("not a URL: {error}")))?,
            }
        }
        let work = |_| group.spawn(Rc::clone(&scraper).work());
        let workers: Vec<_> = (0..options.workers).map(work).collect();
        scraper.queue.join().await;
        for worker in workers {
            worker.cancel();
        }
        Ok::<(), Failure>(())
    });
    let ended = group.await;
    let seconds = handle.clock().since(began).as_secs_f64();
    let Sum { pages, errors, bytes } = *scraper.sum.borrow();
    eprintln!("pages: {pages}, errors: {errors}, bytes: {bytes}, seconds: {seconds:.3}");
    if scraper.left_out.get() > 0 {
        eprintln!("found, and not fetched: {}", scraper.left_out.get());
    }
    if let Err(failed) = ended {
        eprintln!("{failed}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let options = Options::parse();
    let urls = given(&options)?;
    coroutine::run(|handle| scrape(handle, options, urls))?
}
