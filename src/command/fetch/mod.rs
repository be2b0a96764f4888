//! `helloop fetch`.
//!
//! Reading order: `batch` is the whole; `input`, `schedule`, `worker`, `report` and `output` are the
//! stations of a URL on its way through it.

mod address;
mod batch;
mod characters;
mod input;
mod names;
mod outcome;
mod output;
mod report;
mod retry;
mod schedule;
mod shard;
mod store;
mod worker;

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{ExitCode, exit};
use std::time::Duration;

use clap::{ArgAction, Args};
use helloop::client::{Client, Timeouts, TlsConfig};
use helloop::event_loop::{EventLoop, Handle};
use helloop::limits::{
    FETCH_BODY_PROGRESS_TIMEOUT, FETCH_CONNECT_TIMEOUT, FETCH_CONNECTIONS_MAX, FETCH_HEAD_TIMEOUT,
    FETCH_RESOLVE_TIMEOUT, FETCH_TLS_TIMEOUT, FETCH_WHOLE_TIMEOUT, REDIRECTS_MAX, TRACE_BYTES_MAX,
};
use helloop::signals::{SIGINT, on_signals};
use helloop::watch::SlowCallbacks;

use super::file_id::FileId;
use super::logging::{self, LogFormat};
use super::tracing::Tracing;
use super::units::{PositiveSpan, Size};
use super::{explain, usage};
use crate::command::run::{complain, raise_descriptor_limit, signals_that_drain};
use batch::{Batch, End, Note, Why, put};
use input::Input;
use output::Output;
use report::{Order, Report, Style};
use schedule::Schedule;
use shard::Shard;
use store::Store;
use worker::Worker;

const AFTER_HELP: &str = "\
A URL that fails costs only itself: the others are fetched, and the exit code says so.
A user name and a password in a URL are sent as Basic authentication, and shown nowhere.
Durations and sizes have a unit: 25s, 500ms, 1m 30s; 512B, 16KiB, 1MB.
--timeout limits a whole fetch; a slow server may need a longer --head-timeout or --body-timeout, too.

Examples:
  helloop fetch http://localhost:8080/World       one URL
  helloop fetch -i urls.txt                       one URL a line; # begins a note
  grep -o 'http[^ ]*' log | helloop fetch - -j 20 at most 20 at once
  helloop fetch --json --fail -i urls.txt         for programs; a 404 is a failure
  helloop fetch -O pages -i urls.txt              keep the bodies
  helloop fetch --shard 2/8 -i urls.txt           the third of eight processes that share a list

Exit codes:
  0    every URL was fetched
  1    some were not, or not written to their files
  2    usage
  3    cannot write to standard output, or the directory of -O is gone
  4    with --fail: every URL was answered, some with a status of 400 or more
  5    --deadline came first
  130  SIGINT, SIGTERM, SIGQUIT or SIGHUP came first; a second SIGINT ends it at once";

/// Exit codes; see [`AFTER_HELP`].
const SOME_FAILED: u8 = 1;
const CANNOT_WRITE: u8 = 3;
const REFUSED: u8 = 4;
const DEADLINE: u8 = 5;
const INTERRUPTED: u8 = 130;

/// Time between two drawings of the progress bar.
const TICK: Duration = Duration::from_millis(100);

/// Descriptors that are not for connections: the poller, standard streams, files, lookups.
const OTHER_DESCRIPTORS: u64 = 64;

/// Fetch URLs concurrently, on one thread, and say how many characters each has
///
/// Prints `Successfully fetched URL: N characters` in the order of the input, and on standard error
/// `Error fetching URL: CAUSE`.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Arguments {
    /// What to fetch; - reads URLs from standard input
    #[arg(value_name = "URL")]
    urls: Vec<String>,

    /// Read more URLs from this file, one a line; - is standard input. May be repeated
    #[arg(short, long, value_name = "FILE")]
    input: Vec<String>,

    /// Of the URLs, fetch those whose hosts belong to shard I of N, which begin at 0: 2/8.
    ///
    /// N processes with the same list fetch each URL once. All URLs of a host are in one shard, so that --per-host and
    /// Retry-After hold. The shard of a host is the CRC-32 of its name, modulo N.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,

    /// At most this many fetches at once
    #[arg(short = 'j', long, value_name = "N", default_value_t = FETCH_CONNECTIONS_MAX)]
    #[arg(value_parser = at_least_one)]
    concurrency: usize,

    /// At most this many of them to one host and port [default: no limit]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    per_host: Option<usize>,

    /// One fetch, with its redirects, may take this long. Each of its steps has a limit, too, of those
    /// that follow
    #[arg(long, value_name = "DURATION", default_value_t = PositiveSpan(FETCH_WHOLE_TIMEOUT))]
    timeout: PositiveSpan,

    /// Looking a name up may take this long
    #[arg(long, value_name = "DURATION", default_value_t = PositiveSpan(FETCH_RESOLVE_TIMEOUT))]
    resolve_timeout: PositiveSpan,

    /// Connecting may take this long, over all addresses of the name
    #[arg(long, value_name = "DURATION", default_value_t = PositiveSpan(FETCH_CONNECT_TIMEOUT))]
    connect_timeout: PositiveSpan,

    /// A TLS handshake may take this long
    #[arg(long, value_name = "DURATION", default_value_t = PositiveSpan(FETCH_TLS_TIMEOUT))]
    tls_timeout: PositiveSpan,

    /// The time from the first byte of a request to the end of the reply's head may be this long
    #[arg(long, value_name = "DURATION", default_value_t = PositiveSpan(FETCH_HEAD_TIMEOUT))]
    head_timeout: PositiveSpan,

    /// A body may bring nothing for this long
    #[arg(long, value_name = "DURATION")]
    #[arg(default_value_t = PositiveSpan(FETCH_BODY_PROGRESS_TIMEOUT))]
    body_timeout: PositiveSpan,

    /// The whole run may take this long [default: no limit]
    #[arg(long, value_name = "DURATION")]
    deadline: Option<PositiveSpan>,

    /// Try again this often, after a growing pause or that of Retry-After, where it may help:
    /// no connection, a timeout, a reset, 408, 429, 500, 502, 503, 504. A host that sends Retry-After
    /// is left alone until then, and others take its places
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,

    /// Follow this many redirects
    #[arg(long, value_name = "N", default_value_t = REDIRECTS_MAX)]
    max_redirects: u32,

    /// A longer body is a failure [default: no limit; it is not kept in memory]
    #[arg(long, value_name = "SIZE")]
    max_body_size: Option<Size>,

    /// A status of 400 or more is a failure, and so is one that HTTP does not have
    #[arg(long)]
    fail: bool,

    /// In which order the results come
    #[arg(long, value_name = "ORDER", default_value = "input")]
    order: Order,

    /// Report each URL as a JSON object on a line, failures included
    #[arg(long)]
    json: bool,

    /// Write bodies into this directory; a file appears when it is whole, and replaces its
    /// predecessor
    #[arg(short = 'O', long, value_name = "DIR")]
    output_dir: Option<String>,

    /// Ask with HEAD, for no body
    #[arg(long, conflicts_with = "output_dir")]
    head: bool,

    /// Send this header field, too. May be repeated. Secrets do not follow a redirect to another host
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,

    /// Trust the certificate authorities in this PEM file, too, and the server that has one of these
    /// certificates as its own (self-signed)
    #[arg(long, value_name = "FILE")]
    cacert: Option<String>,

    /// Accept every certificate. Anyone on the way can then read and change what is sent
    #[arg(long, conflicts_with = "cacert")]
    insecure: bool,

    /// No progress bar on a terminal
    #[arg(long)]
    no_progress: bool,

    /// Say on standard error what the event loop does, turn by turn
    #[arg(long)]
    explain: bool,

    /// Record what the event loop does into this file, for `helloop explain` and `helloop trace`
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,

    /// The file and the older FILE.1 together have at most this size; the older half is deleted
    #[arg(long, value_name = "SIZE", default_value_t = Size(TRACE_BYTES_MAX))]
    trace_size: Size,

    /// Log more: -v is debug, -vv trace [default: info, or what RUST_LOG says]
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// Runs the subcommand.
///
/// # Errors
/// When what was typed makes no sense; everything else is an exit code.
pub(crate) fn main(arguments: &Arguments) -> Result<ExitCode, clap::Error> {
    logging::install(arguments.verbose, LogFormat::Text, Box::new(io::stderr()));
    let wrong = |text: String| usage("fetch", text);
    let input = Input::open(&arguments.urls, &arguments.input, arguments.shard).map_err(wrong)?;
    arguments.keep_inputs_from_trace().map_err(wrong)?;
    let tls = arguments.tls().map_err(wrong)?;
    if arguments.insecure {
        complain(format_args!(
            "WARNING: --insecure believes every server. Anybody between here and there can read \
             and change what is sent."
        ));
    }
    let code = arguments.run(input, tls).unwrap_or_else(|(code, text)| {
        complain(format_args!("{text}"));
        code
    });
    Ok(ExitCode::from(code))
}

/// Why it could not begin: the exit code, and what to say.
type Refused = (u8, String);

impl Arguments {
    /// A trace replaces the file that is there. That must not be one that is read.
    fn keep_inputs_from_trace(&self) -> Result<(), String> {
        let Some(trace) = self.trace.as_deref() else { return Ok(()) };
        let Some(written) = FileId::at(trace) else { return Ok(()) };
        let file_of = |name: &String| match name.as_str() {
            "-" => FileId::of(&io::stdin()),
            path => FileId::at(path.as_ref()),
        };
        let standard_input = self.urls.iter().filter(|url| *url == "-");
        let mut read = self.input.iter().chain(&self.cacert).chain(standard_input);
        if read.any(|name| file_of(name) == Some(written)) {
            let trace = trace.display();
            return Err(format!("{trace} is read, and the trace would be written over it"));
        }
        Ok(())
    }

    fn run(&self, input: Input, tls: TlsConfig) -> Result<u8, Refused> {
        let failed = |error: std::io::Error| (SOME_FAILED, error.to_string());
        let store = self.store()?;
        let may_show_progress = !self.no_progress && !self.explain;
        let output = Output::new(may_show_progress)
            .map_err(|error| (CANNOT_WRITE, format!("no standard output: {error}")))?;
        let mut event_loop = EventLoop::new().map_err(failed)?;
        let tracing = Tracing::start(self.trace.as_deref(), self.trace_size)
            .map_err(|error| (CANNOT_WRITE, error.to_string()))?;
        tracing.attach(&mut event_loop, self.explain.then(|| explain::narrator(io::stderr())));
        let handle = event_loop.handle().clone();
        let concurrency = self.concurrency_that_fits();
        let style = if self.json { Style::Json } else { Style::Text };
        let worker = Worker {
            client: self.client(&handle, concurrency, tls),
            handle: handle.clone(),
            is_head: self.head,
            headers: self.header.clone(),
            refuses_errors: self.fail,
            retries_max: self.retries,
            store,
        };
        let batch = Batch::new(
            input,
            worker,
            Schedule::new(concurrency, self.per_host, self.retries > 0),
            Report::new(self.order, style),
            output,
        );
        self.arrange_end(&handle, &batch).map_err(failed)?;
        // Users cannot help it if something is slow: the code that runs here is ours, or the machine is busy.
        let mut slow = SlowCallbacks::new(&event_loop);
        let ended = if self.verbose == 0 {
            event_loop.run_until_complete(batch.run())
        } else {
            let turn = |event_loop: &mut EventLoop| slow.turn(event_loop, None).map(drop);
            event_loop.drive_until_complete(batch.run(), turn)
        };
        event_loop.observe(None);
        tracing.finish();
        let end = ended.map_err(failed)?;
        conclude(&end, self.deadline);
        Ok(exit_code(&end))
    }

    fn client(&self, handle: &Handle, concurrency: usize, tls: TlsConfig) -> Client {
        let timeouts = Timeouts {
            resolve: self.resolve_timeout.0,
            connect: self.connect_timeout.0,
            tls: self.tls_timeout.0,
            head: self.head_timeout.0,
            body_progress: self.body_timeout.0,
            whole: Some(self.timeout.0),
        };
        Client::builder(handle)
            .timeouts(timeouts)
            .connections_max(concurrency)
            .connections_per_host_max(self.per_host)
            .redirects_max(self.max_redirects)
            .body_bytes_max(self.max_body_size.map_or(u64::MAX, |size| size.0))
            .tls(tls)
            .build()
            .expect("no limit is zero")
    }

    fn tls(&self) -> Result<TlsConfig, String> {
        let config = TlsConfig::new();
        if self.insecure {
            return Ok(config.danger_accept_invalid_certs());
        }
        let Some(path) = &self.cacert else { return Ok(config) };
        let pem = fs::read(path).map_err(|error| format!("cannot read {path}: {error}"))?;
        config.add_roots_pem(&pem).map_err(|error| format!("{path}: {error}"))
    }

    fn store(&self) -> Result<Option<Store>, Refused> {
        let Some(directory) = &self.output_dir else { return Ok(None) };
        let store = Store::open(directory);
        let refused = |error| (CANNOT_WRITE, format!("cannot write to {directory}: {error}"));
        store.map(Some).map_err(refused)
    }

    /// Fewer than asked for where the system has no descriptors for more.
    fn concurrency_that_fits(&self) -> usize {
        raise_descriptor_limit();
        let Ok((limit, _)) = rlimit::Resource::NOFILE.get() else { return self.concurrency };
        let fits = usize::try_from(limit.saturating_sub(OTHER_DESCRIPTORS).max(1));
        let fits = fits.unwrap_or(usize::MAX);
        if fits < self.concurrency {
            complain(format_args!(
                "the limit of open descriptors ({limit}) allows only {fits} fetches at once"
            ));
        }
        fits.min(self.concurrency)
    }

    /// Signals, the deadline, and the clock of the progress bar.
    fn arrange_end(&self, handle: &Handle, batch: &Batch) -> std::io::Result<()> {
        let (mailbox, mut is_ending) = (batch.mailbox.clone(), false);
        on_signals(handle, &signals_that_drain(), move |signal| {
            // Supervisors repeat themselves; a person at a terminal is in a hurry.
            if is_ending && signal == SIGINT {
                exit(INTERRUPTED.into());
            }
            is_ending = true;
            put(&mailbox, Note::Stop(Why::Interrupted));
        })?;
        if let Some(deadline) = self.deadline {
            let mailbox = batch.mailbox.clone();
            handle.call_later(deadline.0, move |_| put(&mailbox, Note::Stop(Why::Deadline)));
        }
        if batch.output.has_bar() {
            let (mailbox, clock) = (batch.mailbox.clone(), handle.clone());
            let ticking = handle.spawn_named("progress", async move {
                loop {
                    clock.sleep(TICK).await;
                    put(&mailbox, Note::Tick);
                }
            });
            drop(ticking);
        }
        Ok(())
    }
}

/// Says on standard error why it ended early.
fn conclude(end: &End, deadline: Option<PositiveSpan>) {
    let Some(why) = &end.why else { return };
    let deadline = deadline.map_or_else(String::new, |deadline| deadline.to_string());
    let why = match why {
        Why::Interrupted => "interrupted".to_owned(),
        Why::Deadline => format!("the deadline ({deadline}) has come"),
        // As other programs end that are read by head(1): without a word.
        Why::Unread => return,
        Why::CannotWrite(text) => text.clone(),
        Why::NoDirectory => "the directory of --output-dir is gone".to_owned(),
    };
    let tally = end.tally;
    let failed = tally.failed + tally.refused;
    complain(format_args!(
        "{why}: {} fetched, {failed} failed, {} cancelled; nothing more was begun",
        tally.fetched, tally.cancelled
    ));
}

fn exit_code(end: &End) -> u8 {
    match &end.why {
        Some(Why::Unread | Why::CannotWrite(_) | Why::NoDirectory) => CANNOT_WRITE,
        Some(Why::Deadline) => DEADLINE,
        Some(Why::Interrupted) => INTERRUPTED,
        None if end.tally.failed + end.tally.cancelled > 0 => SOME_FAILED,
        None if end.tally.refused > 0 => REFUSED,
        None => 0,
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("it must be at least 1, or nothing could ever be fetched".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("a whole number is expected, for example 20".into()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once(':') else {
        return Err("a header field looks like `Name: value`".into());
    };
    let (name, value) = (name.trim(), value.trim());
    let mut probe = helloop::http::Ask::new("GET", "/", "localhost").expect("a good request");
    probe.header(name, value).map_err(|error| error.to_string())?;
    Ok((name.to_owned(), value.to_owned()))
}
