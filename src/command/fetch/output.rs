//! Lines to standard output and standard error, and the progress bar between them.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use helloop::coroutine::Executor;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::report::{Line, Tally};
use crate::command::line_writer::standard_output;

/// What the bar shows: itself, and `12/100 done, 1 failed, 3s`.
const TEMPLATE: &str = "{bar:32} {pos}/{len} done{msg}, {elapsed}";

/// Writes without holding up the loop: on a thread of its own, one batch of lines after the other.
#[derive(Clone)]
pub(super) struct Output {
    executor: Executor,
    stdout: Arc<File>,
    /// `None` where it would not be seen.
    bar: Option<ProgressBar>,
}

impl Output {
    /// With a bar if `may_show_progress` and standard error is a terminal.
    ///
    /// # Errors
    /// When there is no standard output.
    pub(super) fn new(may_show_progress: bool) -> io::Result<Output> {
        let bar = (may_show_progress && io::stderr().is_terminal()).then(|| {
            let style = ProgressStyle::with_template(TEMPLATE).expect("a good template");
            // It is drawn on request only.
            ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
        });
        let stdout = Arc::new(standard_output()?);
        Ok(Output { executor: Executor::new(1), stdout, bar })
    }

    pub(super) fn has_bar(&self) -> bool {
        self.bar.is_some()
    }

    /// Writes lines, and shows how far it has come: so much of `known` URLs.
    ///
    /// # Errors
    /// When standard output cannot be written. That standard error cannot is nothing that could be
    /// said.
    pub(super) async fn write(&self, lines: Vec<Line>, tally: Tally, known: u64) -> io::Result<()> {
        let (stdout, bar) = (Arc::clone(&self.stdout), self.bar.clone());
        let write = move || match bar {
            // Of nothing, a bar would show all.
            Some(bar) if known > 0 => {
                let written = bar.suspend(|| write_lines(&stdout, &lines));
                show(&bar, tally, known);
                written
            }
            _ => write_lines(&stdout, &lines),
        };
        self.executor.run(write).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }

    /// Takes the bar off the terminal.
    pub(super) async fn finish(&self) {
        let Some(bar) = self.bar.clone() else { return };
        // Only a panic could be wrong, and there is none.
        let _ = self.executor.run(move || bar.finish_and_clear()).await;
    }
}

fn write_lines(stdout: &File, lines: &[Line]) -> io::Result<()> {
    let is_same = |a: &Line, b: &Line| matches!(a, Line::Output(_)) == matches!(b, Line::Output(_));
    for run in lines.chunk_by(is_same) {
        let mut text = String::new();
        for Line::Output(line) | Line::Error(line) in run {
            text.push_str(line);
            text.push('\n');
        }
        match &run[0] {
            Line::Output(_) => (&*stdout).write_all(text.as_bytes())?,
            Line::Error(_) => drop(io::stderr().write_all(text.as_bytes())),
        }
    }
    Ok(())
}

fn show(bar: &ProgressBar, tally: Tally, known: u64) {
    bar.set_length(known);
    if tally.unfetched() > 0 {
        bar.set_message(format!(", {} failed", tally.unfetched()));
    }
    bar.set_position(tally.done());
}
