//! `--explain`: the narrator on standard error, in colours if that is a terminal.

use std::io;

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use helloop::observe::{Narrator, Observer, Palette};

/// A narrator for people. `NO_COLOR` and `CLICOLOR_FORCE` are honoured.
pub(crate) fn narrator() -> Box<dyn Observer> {
    let palette = match AutoStream::choice(&io::stderr()) {
        ColorChoice::Never => Palette::default(),
        _ => colours(),
    };
    Box::new(Narrator::with_palette(io::stderr(), palette))
}

fn colours() -> Palette {
    let text = |style: Style| style.render().to_string();
    Palette {
        heading: text(Style::new().bold()),
        time: text(Style::new().dimmed()),
        phase: text(AnsiColor::Cyan.on_default()),
        purpose: text(AnsiColor::Green.on_default()),
        reset: anstyle::Reset.render().to_string(),
    }
}
