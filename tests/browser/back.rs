//! A simulated world on the page: it goes backwards, and a link leads to a moment of it.

use crate::browser::chromium::{Page, View, is_installed};
use crate::browser::lab::Lab;

impl Page {
    #[track_caller]
    fn until_moment(&mut self, text: &str) {
        self.until(&format!(
            "document.querySelector('#moment-value').textContent === 'moment {text}'"
        ));
        self.until_status("held");
    }
}

#[test]
fn a_loop_goes_forwards_and_backwards() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    page.until_moment("0 of 0");
    page.press("[data-scenario='dribble']");
    page.until("document.querySelector('#conversations').textContent.includes('Dribble')");
    let mut told = Vec::new();
    for moment in 1..=12 {
        page.press_and_stop("#step-resume");
        page.until_moment(&format!("{moment} of {moment}"));
        told.push(page.text("#narrator"));
    }
    for moment in (1..12).rev() {
        page.press("#back-resume");
        page.until_moment(&format!("{moment} of 12"));
        assert_eq!(page.text("#narrator"), told[moment - 1], "moment {moment}");
    }
    // By keys, wherever nothing else wants them.
    page.value("document.activeElement.blur()");
    page.key("End");
    page.until_moment("12 of 12");
    assert_eq!(page.text("#narrator"), told[11]);
    page.key("ArrowLeft");
    page.until_moment("11 of 12");
    page.key("Home");
    page.until_moment("0 of 12");
    page.until("document.querySelector('#back-turn').disabled");
    page.press_and_stop("#step-turn");
    page.press("#back-turn");
    page.until_moment("0 of 12");
    page.assert_content();
}

#[test]
fn a_link_leads_to_what_was_seen() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    page.press("[data-scenario='pair']");
    page.press_and_stop("#step-turn");
    page.press_and_stop("#step-resume");
    let (seen, moment) = (page.text("#narrator"), page.text("#moment-value"));
    page.until("location.hash === '#seed=7&act=0:pair&at=4'");
    // Another world, in which somebody else has been; and the link.
    let other = Lab::simulated("seed=2&at=0");
    let mut page = Page::open(&format!("{}#seed=7&act=0:pair&at=4", other.url), View::WIDE);
    page.until_connected();
    page.until_moment(moment.trim_start_matches("moment "));
    assert_eq!(page.text("#narrator"), seen);
    // What somebody writes into the address leads on; what makes no sense is explained.
    page.value("location.hash = 'seed=7&act=0:pair&at=2'");
    page.until_moment("2 of 2");
    page.value("location.hash = 'seed=7&at=never'");
    page.until("document.querySelector('#banner').textContent.includes('`at=never`')");
}

#[test]
fn a_link_shows_the_lines_at_which_a_connection_is() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("seed=1&act=0:slow-reader&at=5");
    let mut page = lab.page();
    page.until_moment("5 of 5");
    page.until(
        "document.querySelectorAll('.listing .here').length === 2 && \
         [...document.querySelectorAll('.listing .here')].every((row) => { \
             const list = row.parentElement, at = row.offsetTop - list.offsetTop; \
             return at >= list.scrollTop && at < list.scrollTop + list.clientHeight; })",
    );
}

#[test]
fn two_futures_are_compared_and_gone_to() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("seed=1&act=0:dribble&at=30");
    let mut page = lab.page();
    page.until_moment("30 of 30");
    page.value("document.activeElement.blur()");
    page.key("w");
    page.until("document.querySelectorAll('#what-if-what option').length > 12");
    page.value("document.querySelector('#what-if-what').value = 'block'");
    page.press("#compare");
    let marked =
        "[...document.querySelectorAll('.future .marked span')].map((row) => row.textContent)";
    page.until(&format!("{marked}.length === 2"));
    // The same thing, and later: one handler has held everybody up.
    let both = page.value(marked);
    assert_eq!(both[0], both[1]);
    assert!(both[0].as_str().unwrap().contains("is readable"), "{both}");
    assert!(page.text("#parting").contains("the first difference for others is in time"));
    assert!(page.text("#parting").ends_with(" ms later."));
    // What was compared leaves no trace, until one goes there.
    assert_eq!(page.value("location.hash"), "#seed=1&act=0:dribble&at=30");
    page.press(".future:last-child button");
    page.until("document.querySelector('#what-if').hidden");
    page.until("location.hash.startsWith('#seed=1&act=0:dribble,30:block&at=')");
    let last = "document.querySelector('#turn-detail').textContent.includes('is readable')";
    page.until(last);
    // A client that disturbs nobody.
    page.press("#open-what-if");
    page.value("document.querySelector('#what-if-what').value = 'half-close'");
    page.press("#compare");
    page.until("document.querySelector('#parting').textContent.includes('nobody else notices')");
    page.key("Escape");
    page.until("document.querySelector('#what-if').hidden");
    page.assert_content();
}

#[test]
fn a_live_loop_has_no_bar_of_time() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    page.until("document.querySelector('#server-url').textContent !== ''");
    assert_eq!(page.value("document.querySelector('#time').hidden"), true);
    assert_eq!(page.value("document.querySelector('#back-turn').disabled"), true);
    page.assert_content();
}
