//! The playground's module: a [`Show`] behind functions that a page can call.
//!
//! A text goes in by [`room`]: the page writes it there, and says how long it is. One comes out by [`text`] and
//! [`text_bytes`], and stands until the next call. Nothing here is called from two threads: a page has one.
//!
//! A panic aborts a module. What it said stays readable, so the page can say why, make another module, and go to the moment
//! before by the recipe that it was last shown.

use std::cell::RefCell;
use std::io;
use std::panic;
use std::time::Duration;

use helloop::events::{Event, Observer};
use helloop::greeting::Greeting;
use helloop::lab::history::{
    History, Recipe, Show, Staged, digest, digest_of, digest_of_events, greeting_world,
};
use helloop::server::Server;

/// Hostile worlds, as the tests draw them: a seed that fails there can be looked at here.
#[path = "../../tests/support/hostile/mod.rs"]
#[allow(unused_imports, unreachable_pub, clippy::all, reason = "it is at home elsewhere")]
mod hostile;
/// What those are judged by, which the module leaves out.
#[path = "../../tests/support/checkers/mod.rs"]
#[allow(dead_code, unreachable_pub, clippy::all, reason = "it is shared with the tests")]
mod checkers;

use hostile::{Plan, Scene, record};

/// The world of a recipe: the lab's own, or `world=hostile`, a server among hostile clients.
fn world(recipe: &Recipe, observer: Box<dyn Observer>) -> io::Result<Staged> {
    if recipe.kind != "hostile" {
        return greeting_world(recipe, observer, Greeting);
    }
    let scene = Scene::set(Server::builder(), &Plan::drawn(recipe.seed), |_| observer);
    let (event_loop, net, props) = scene.apart();
    Ok(Staged { event_loop, net, props })
}

/// The text of the last call.
#[derive(Default)]
struct State {
    show: Option<Show>,
    input: Vec<u8>,
    output: String,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
    /// What a panic said: apart, because the state is being changed when it happens.
    static WORDS: RefCell<String> = RefCell::default();
}

fn with<R>(work: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(work)
}

impl State {
    fn input(&self, bytes: usize) -> String {
        String::from_utf8_lossy(&self.input[..bytes]).into_owned()
    }
}

/// Makes room for a text of so many bytes, and returns where it is to be written.
#[unsafe(no_mangle)]
pub extern "C" fn room(bytes: usize) -> *mut u8 {
    with(|state| {
        state.input = vec![0; bytes];
        state.input.as_mut_ptr()
    })
}

/// Where the text of the last call is, in UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn text() -> *const u8 {
    with(|state| state.output.as_ptr())
}

/// How long it is.
#[unsafe(no_mangle)]
pub extern "C" fn text_bytes() -> usize {
    with(|state| state.output.len())
}

/// Where the words of a panic are, in UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn words() -> *const u8 {
    WORDS.with_borrow(|words| words.as_ptr())
}

/// How long they are.
#[unsafe(no_mangle)]
pub extern "C" fn words_bytes() -> usize {
    WORDS.with_borrow(String::len)
}

/// Opens a world. The input holds its recipe, `bytes` long. Returns 1, with a page's first messages as the output, or 0,
/// with the error.
#[unsafe(no_mangle)]
pub extern "C" fn open(bytes: usize) -> u32 {
    panic::set_hook(Box::new(|info| {
        WORDS.with_borrow_mut(|words| *words = info.to_string());
    }));
    with(|state| {
        let opened = Show::of(&state.input(bytes), world);
        let is_good = opened.is_ok();
        state.output = match opened {
            Ok(mut show) => {
                let messages = show.messages();
                state.show = Some(show);
                messages
            }
            Err(error) => error.to_string(),
        };
        u32::from(is_good)
    })
}

/// Does what stands in so many bytes, `WHAT?QUERY`, at this moment of the page's clock. 1; or 0, and why not.
#[unsafe(no_mangle)]
pub extern "C" fn command(bytes: usize, now_ms: f64) -> u32 {
    with(|state| {
        let input = state.input(bytes);
        let (what, query) = input.split_once('?').unwrap_or((&input, ""));
        let Some(show) = &mut state.show else { return 0 };
        let done = show.command(what, query, moment(now_ms));
        state.output = match &done {
            Ok(()) => String::new(),
            Err(refused) => refused.to_string(),
        };
        u32::from(done.is_ok())
    })
}

/// Goes on, if it is time. The milliseconds after which this is to be called again; a negative number if nothing
/// happens before the next command.
#[unsafe(no_mangle)]
pub extern "C" fn tick(now_ms: f64) -> f64 {
    let next = with(|state| state.show.as_mut()?.tick(moment(now_ms)));
    next.map_or(-1.0, |next| next.as_secs_f64() * 1e3)
}

/// What was not sent to the page yet: server-sent events.
#[unsafe(no_mangle)]
pub extern "C" fn messages() {
    with(|state| state.output = state.show.as_mut().map(Show::messages).unwrap_or_default());
}

/// The digests of the seeds from `first` on, as lines `SEED HASH EVENTS`.
#[unsafe(no_mangle)]
pub extern "C" fn digests(first: u32, seeds: u32, steps: u32) {
    let lines = digest_lines(first, seeds, steps);
    with(|state| state.output = lines);
}

/// The same, for a comparison.
///
/// # Panics
/// If a world is stuck.
pub fn digest_lines(first: u32, seeds: u32, steps: u32) -> String {
    let line = |seed: u32| {
        let (hash, events) = digest(seed.into(), steps.into(), || Greeting).expect("it goes on");
        format!("{seed} {hash:016x} {events}\n")
    };
    (first..first + seeds).map(line).collect()
}

/// Events of a hostile world that are compared.
const HOSTILE_EVENTS: u64 = 2_000;

/// The digests of hostile worlds from the seed `first` on, as lines `SEED HASH EVENTS`.
#[unsafe(no_mangle)]
pub extern "C" fn hostile_digests(first: u32, seeds: u32) {
    let lines = hostile_lines(first, seeds);
    with(|state| state.output = lines);
}

/// The same, for a comparison.
///
/// # Panics
/// If a world is stuck.
pub fn hostile_lines(first: u32, seeds: u32) -> String {
    (first..first + seeds).map(|seed| hostile_line(seed, HOSTILE_EVENTS)).collect()
}

/// The digest of the first so many events of one of them.
///
/// # Panics
/// If it is stuck.
pub fn hostile_line(seed: u32, events_max: u64) -> String {
    let recipe = Recipe { kind: "hostile".into(), ..Recipe::new(seed.into()) };
    let mut history = History::of(&recipe, world).expect("it is made");
    let (hash, events) = digest_of(&mut history, events_max).expect("it goes on");
    format!("{seed} {hash:016x} {events}\n")
}

/// The same of a hostile world as a campaign records it, up to its first so many events.
///
/// # Panics
/// If it has fewer.
pub fn campaign_line(seed: u32, events: u64) -> String {
    let events = usize::try_from(events).expect("they are few");
    let recorded = record(&Plan::drawn(seed.into()), None).events;
    let hash = digest_of_events(&recorded[..events]);
    format!("{seed} {hash:016x} {events}\n")
}

/// How many events of a hostile world there are until everything on its loop has ended.
pub fn campaign_events(seed: u32) -> u64 {
    let recorded = record(&Plan::drawn(seed.into()), None).events;
    let ends = |(_, event): &(_, Event)| matches!(event, Event::Finished { .. });
    recorded.iter().rposition(ends).map_or(0, |last| last as u64 + 1)
}

fn moment(now_ms: f64) -> Duration {
    Duration::try_from_secs_f64(now_ms / 1e3).unwrap_or_default()
}
