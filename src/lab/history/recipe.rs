//! What a history follows from, as a text that fits into a link.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::lab::scenario::Scenario;
use crate::world::sim::Faults;

/// Moments that are gone to at once, at most: further ones are reached by running. A moment costs about 3 µs.
pub const MOMENT_MAX: u64 = 1_000_000;

/// Actions of a recipe, at most.
pub const ACTIONS_MAX: usize = 1_000;

/// The longest time within a wait that a recipe names.
const AFTER_MAX: Duration = Duration::from_secs(1_000_000);

/// All that a moment of a simulated world follows from. As a text: `seed=7&faults=short:40&act=12:one,30+5000:wake&at=57`.
///
/// ```
/// use helloop::lab::history::Recipe;
///
/// let recipe: Recipe = "seed=7&act=2:one&at=9".parse()?;
/// assert_eq!((recipe.seed, recipe.moment), (7, 9));
/// assert_eq!(recipe.to_string(), "seed=7&act=2:one&at=9");
/// # Ok::<(), helloop::lab::history::BadRecipe>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Which kind of world it is; empty: the lab's own, a server that greets. Others are those that the page's host knows.
    pub kind: String,
    /// Everything that is left to chance follows from it.
    pub seed: u64,
    /// How rough the network is.
    pub faults: Faults,
    /// What is done from outside, in the order of the moments.
    pub actions: Vec<Action>,
    /// The moment to stand at: so many steps after the beginning.
    pub moment: u64,
}

/// Something that is done from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Action {
    /// The moment at which it is done.
    pub moment: u64,
    /// How much later than that: zero, or a time within the wait that follows.
    pub after: Duration,
    /// What is done.
    pub what: Deed,
}

/// What can be done from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Clients begin.
    Begin(Scenario),
    /// The loop's wait is ended: what a pause does.
    Wake,
    /// From then on, this fault strikes in so many percent of the cases: a name as in `faults=`.
    Fault(&'static str, u8),
    /// The network resets the connection that was opened last.
    Reset,
}

impl Recipe {
    /// A world with this seed in which nothing goes wrong, at its beginning.
    pub fn new(seed: u64) -> Recipe {
        let (kind, actions) = (String::new(), Vec::new());
        Recipe { kind, seed, faults: Faults::NONE, actions, moment: 0 }
    }
}

/// `one`, `wake`, `reset`, `short=40`.
impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Begin(scenario) => f.write_str(scenario.name()),
            Deed::Wake => f.write_str("wake"),
            Deed::Reset => f.write_str("reset"),
            Deed::Fault(name, percent) => write!(f, "{}={percent}", name.replace(' ', "-")),
        }
    }
}

impl Deed {
    /// What [`Display`](fmt::Display) has written; `None` if that makes no sense.
    pub(super) fn named(name: &str) -> Option<Deed> {
        match name {
            "wake" => return Some(Deed::Wake),
            "reset" => return Some(Deed::Reset),
            _ => {}
        }
        let Some((fault, percent)) = name.split_once('=') else {
            return name.parse().ok().map(Deed::Begin);
        };
        let percent = percent.parse().ok().filter(|percent| *percent <= 100)?;
        let mut none = Faults::NONE;
        let known = none.by_name().into_iter().map(|(known, _)| known);
        let fault = known.into_iter().find(|known| known.replace(' ', "-") == fault)?;
        Some(Deed::Fault(fault, percent))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.moment)?;
        if !self.after.is_zero() {
            write!(f, "+{}", self.after.as_nanos())?;
        }
        write!(f, ":{}", self.what)
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}&at={}", self.world(), self.moment)
    }
}

impl Recipe {
    /// As a text, without the moment: the same for all moments of a history.
    pub(in crate::lab) fn world(&self) -> String {
        let mut text = String::new();
        if !self.kind.is_empty() {
            text = format!("world={}&", self.kind);
        }
        text += &format!("seed={}", self.seed);
        let mut faults = self.faults;
        let present = faults.by_name().into_iter().filter(|(_, percent)| **percent > 0);
        let faults = present.map(|(name, percent)| format!("{}:{percent}", name.replace(' ', "-")));
        let actions = self.actions.iter().map(Action::to_string);
        for (key, list) in [("faults", faults.collect::<Vec<_>>()), ("act", actions.collect())] {
            if !list.is_empty() {
                text += &format!("&{key}={}", list.join(","));
            }
        }
        text
    }
}

/// The text of a recipe makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecipe {
    /// The part, and what it should be.
    text: String,
}

impl fmt::Display for BadRecipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for BadRecipe {}

fn bad(part: &str, remedy: &str) -> BadRecipe {
    BadRecipe { text: format!("`{}` makes no sense here: {remedy}", crate::Printable(part)) }
}

impl FromStr for Recipe {
    type Err = BadRecipe;

    fn from_str(text: &str) -> Result<Recipe, BadRecipe> {
        let mut recipe = Recipe::new(0);
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "seed" => {
                    let seed = value.parse();
                    recipe.seed = seed.map_err(|_| bad(pair, "a seed is a number below 2^64"))?;
                }
                "at" => recipe.moment = moment(value).ok_or_else(|| bad(pair, MOMENT))?,
                "world" => recipe.kind = kind(value).ok_or_else(|| bad(pair, KIND))?,
                "faults" => recipe.faults = faults(value)?,
                "act" => recipe.actions = actions(value)?,
                _ => return Err(bad(pair, "there are world=, seed=, faults=, act= and at=")),
            }
        }
        Ok(recipe)
    }
}

const MOMENT: &str = "a moment is a number from 0 to 1000000";

fn moment(text: &str) -> Option<u64> {
    text.parse().ok().filter(|moment| *moment <= MOMENT_MAX)
}

const KIND: &str = "a kind of world is a word of at most 20 letters";

fn kind(text: &str) -> Option<String> {
    let is_word = text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_lowercase());
    is_word.then(|| text.to_owned())
}

/// `short:40,cut:5`
fn faults(text: &str) -> Result<Faults, BadRecipe> {
    let mut faults = Faults::NONE;
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (name, percent) = part.split_once(':').unwrap_or((part, ""));
        let percent: Option<u8> = percent.parse().ok().filter(|percent| *percent <= 100);
        let percent =
            percent.ok_or_else(|| bad(part, "a fault is such as short:40, in percent"))?;
        let mut all = faults.by_name();
        let known = all.iter_mut().find(|(known, _)| known.replace(' ', "-") == name);
        let Some((_, place)) = known else {
            let names = all.map(|(name, _)| name.replace(' ', "-")).join(", ");
            return Err(bad(part, &format!("there are the faults {names}")));
        };
        **place = percent;
    }
    Ok(faults)
}

/// `12:one,30+5000:wake`
fn actions(text: &str) -> Result<Vec<Action>, BadRecipe> {
    const REMEDY: &str = "an action is such as 12:one or 12+5000:one, a moment, nanoseconds after it, and a \
                          scenario, reset, or a fault such as short=40, in the order of the moments";
    let mut actions = Vec::<Action>::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let action = action(part).ok_or_else(|| bad(part, REMEDY))?;
        let is_later = actions.last().is_none_or(|before| before.moment <= action.moment);
        if !is_later || actions.len() == ACTIONS_MAX {
            return Err(bad(part, REMEDY));
        }
        actions.push(action);
    }
    Ok(actions)
}

fn action(text: &str) -> Option<Action> {
    let (when, what) = text.split_once(':')?;
    let (at, after) = when.split_once('+').unwrap_or((when, "0"));
    let after = Duration::from_nanos(after.parse().ok()?);
    let what = Deed::named(what)?;
    let is_possible = after <= AFTER_MAX && (what != Deed::Wake || !after.is_zero());
    is_possible.then_some(Action { moment: moment(at)?, after, what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_is_its_text() {
        let mut faults = Faults::ROUGH;
        faults.would_block_percent = 7;
        let actions = vec![
            Action { moment: 0, after: Duration::ZERO, what: Deed::Begin(Scenario::SlowReader) },
            Action { moment: 9, after: Duration::from_nanos(5), what: Deed::Wake },
            Action { moment: 9, after: Duration::ZERO, what: Deed::Fault("would block", 100) },
            Action { moment: 10, after: Duration::ZERO, what: Deed::Reset },
        ];
        let kind = "hostile".to_owned();
        let recipe = Recipe { kind, seed: u64::MAX, faults, actions, moment: 12 };
        assert_eq!(recipe.to_string().parse(), Ok(recipe.clone()));
        assert!(recipe.to_string().contains("would-block:7"), "{recipe}");
        assert_eq!("".parse(), Ok(Recipe::new(0)));
        for seed in 0..50 {
            let recipe = Recipe { faults: Faults::drawn(seed), ..Recipe::new(seed) };
            assert_eq!(recipe.to_string().parse(), Ok(recipe));
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, named) in [
            ("seed=x", "`seed=x`"),
            ("at=1000001", "a number from 0 to 1000000"),
            ("faults=short", "short:40"),
            ("faults=short:101", "in percent"),
            ("faults=shorts:1", "would-block"),
            ("act=1", "`1`"),
            ("act=1:two", "`1:two`"),
            ("act=2:one,1:one", "in the order"),
            ("act=2:wake", "nanoseconds"),
            ("act=2:short=101", "`2:short=101`"),
            ("act=2:shorts=1", "a fault such as"),
            ("act=2+18446744073709551615:one", "nanoseconds"),
            ("sed=1", "there are world="),
            ("world=A%20b", "a word of"),
            ("\u{1b}[31m", "makes no sense"),
        ] {
            let error = text.parse::<Recipe>().unwrap_err().to_string();
            assert!(error.contains(named) && !error.contains('\u{1b}'), "{text}: {error}");
        }
    }
}
