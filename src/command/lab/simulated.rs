//! `helloop lab --sim`: a simulated world, and a page that goes through its history.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Error;
use helloop::event_loop::EventLoop;
use helloop::greeting::Greeting;
use helloop::lab::history::{Recipe, Show};
use helloop::lab::{self, Bound};
use helloop::signals::on_signals;

use super::{Arguments, CannotBegin};
use crate::command::run::{Outcome, signals_that_drain};
use crate::command::stderr::StandardError;
use crate::command::usage;

/// The recipe of what was typed: a seed, a recipe, or a link that ends with one.
///
/// # Errors
/// What is wrong with it.
pub(super) fn recipe(typed: &str) -> Result<String, helloop::lab::history::BadRecipe> {
    let text = typed.rsplit_once('#').map_or(typed, |(_, recipe)| recipe);
    let is_seed = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = if is_seed { format!("seed={text}") } else { text.to_owned() };
    text.parse::<Recipe>()?;
    Ok(text)
}

/// Runs until a signal ends it.
///
/// # Errors
/// When what was typed makes no sense; everything else is an exit code.
pub(super) fn main(
    arguments: &Arguments,
    recipe: &str,
    stderr: &StandardError,
) -> Result<ExitCode, Error> {
    let builder = lab::Builder::default().read_only(arguments.read_only);
    match builder.bind(&arguments.page).map_err(CannotBegin::of) {
        Ok(bound) => match serve(bound, recipe, &mut stderr.out()) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Ok(Outcome::Failed(error).conclude(stderr.out())),
        },
        Err(CannotBegin::Usage(text)) => Err(usage("lab", text)),
        Err(CannotBegin::Outcome(outcome)) => Ok(outcome.conclude(stderr.out())),
    }
}

fn serve(bound: Bound, recipe: &str, stderr: &mut dyn Write) -> io::Result<()> {
    let show =
        Show::new(recipe, || Greeting).map_err(|error| io::Error::other(error.to_string()))?;
    let mut event_loop = EventLoop::new()?;
    let url = bound.url().to_owned();
    let attached = bound.simulate(event_loop.handle(), show)?;
    let server = attached.handle().clone();
    // Pages are open for ever: there is nothing to drain.
    on_signals(event_loop.handle(), &signals_that_drain(), move |_| server.shutdown())?;
    let _ = stderr.write_all(format!("Lab at {url}\n").as_bytes());
    event_loop.run_until(|| attached.is_finished()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_a_recipe_and_a_link_are_recipes() {
        assert_eq!(recipe("7").unwrap(), "seed=7");
        assert_eq!(recipe("seed=7&at=3").unwrap(), "seed=7&at=3");
        assert_eq!(recipe("file:///a/page.html#seed=7&at=3").unwrap(), "seed=7&at=3");
        assert!(recipe("seven").unwrap_err().to_string().contains("`seven`"));
    }
}
