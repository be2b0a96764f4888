//! The page for those who do not see it, or have no mouse: axe-core has nothing to say, and a lesson is done by the
//! keyboard and by what is said alone.
//!
//! axe-core is a package of npm: `npm ci --prefix tests/browser`. Without it the test says so and passes, but fails
//! where the variable `CI` is set.

use std::fs;
use std::io::Write;

use crate::browser::chromium::{Page, View, is_installed};
use crate::browser::lab::Lab;

const AXE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/node_modules/axe-core/axe.min.js");

/// The rules of WCAG up to 2.2, levels A and AA. What a rule has to say, and about what.
const RUN: &str = "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']}).then((all) =>
    all.violations.flatMap((one) => one.nodes.map((node) => `${one.id}: ${node.html} ${node.failureSummary}`)))";

fn axe() -> Option<String> {
    let axe = fs::read_to_string(AXE).ok();
    if axe.is_none() {
        let advice = "axe-core is not installed; install it with `npm ci --prefix tests/browser`";
        assert!(std::env::var_os("CI").is_none(), "{advice}");
        let _ = writeln!(std::io::stderr(), "skipped: {advice}");
    }
    axe
}

#[track_caller]
fn assert_accessible(page: &mut Page, what: &str) {
    let found = page.value(RUN);
    assert_eq!(found, serde_json::json!([]), "{what}");
}

#[test]
fn axe_finds_nothing_at_any_width_and_in_any_colours() {
    let Some(axe) = axe().filter(|_| is_installed()) else { return };
    let lab = Lab::simulated("seed=7&act=0:dribble,0:one,0:slow-reader,0:sleep,0:gather&at=80");
    let mut page = lab.page();
    page.until_status("held");
    page.value(&format!("{axe}; 0"));
    page.press("[data-scenario=hundred]");
    page.press_and_stop("#step-turn");
    page.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })");
    for (width, height) in [(1280, 900), (400, 900)] {
        for is_dark in [false, true] {
            let view = View { width, height, is_dark };
            page.look_as(view);
            assert_accessible(&mut page, &format!("{view:?}"));
            page.press("#open-what-if");
            page.until("document.querySelector('#what-if-what option[value=block]') !== null");
            page.value("document.querySelector('#what-if-what').value = 'block'");
            page.press("#compare");
            page.until("document.querySelectorAll('.future').length === 2");
            assert_accessible(&mut page, &format!("two futures, {view:?}"));
            page.key("Escape");
            page.press("[data-lesson='0']");
            page.until("document.activeElement.id === 'lesson-next'");
            assert_accessible(&mut page, &format!("a lesson, {view:?}"));
            page.press("#lesson-leave");
            page.press_and_stop("#pause");
        }
    }
    for what in ["open-log", "open-keys"] {
        page.press(&format!("#{what}"));
        assert_accessible(&mut page, what);
        page.key("Escape");
    }
    page.value(
        "document.querySelector('[data-phase=queue]').dispatchEvent(new MouseEvent('click'))",
    );
    page.until("!document.querySelector('#code').hidden");
    assert_accessible(&mut page, "the code of a phase");
    page.assert_content();
}

impl Page {
    /// Goes from one thing to the next by the keyboard, until one is said to be a button with such a name.
    #[track_caller]
    fn tab_to(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let mut passed = Vec::new();
        for _ in 0..150 {
            self.key("Tab");
            let (role, name) = self.focused();
            if role == "button" && wanted(&name) {
                return name;
            }
            passed.push(name);
        }
        panic!("there is no such button; there are {passed:#?}");
    }

    #[track_caller]
    fn press_by_key(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        let name = self.tab_to(wanted);
        self.key("Enter");
        name
    }
}

/// Buttons of a lesson that are not its own.
const OF_ALL_LESSONS: [&str; 6] = ["Do it again", "Back", "Skip", "Next", "Finish", "Leave"];

#[test]
fn a_lesson_is_done_by_the_keyboard_and_by_what_is_said() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    page.until_status("held");
    page.press_by_key(|name| name.contains("What is a turn?"));
    let (mut steps, mut answers, mut heard) = (Vec::new(), 0, String::new());
    let mut is_shown = false;
    for _ in 0..60 {
        // What is said of a lesson stands in a region of its own, which is gone when the lesson is over.
        page.value("new Promise((then) => setTimeout(then, 100))");
        let said = page.said_in("complementary");
        if said.is_empty() {
            break;
        }
        heard += &page.said_in("contentinfo");
        let step = said.lines().find(|line| line.contains(" of ")).unwrap_or_default().to_owned();
        if steps.last() != Some(&step) {
            steps.push(step);
        }
        let is_over = |line: &str| line == "Next" || line == "Finish";
        if said.contains("What do you expect?") {
            // The question is the last one before that, and the answers come after it.
            let is_question = |line: &&str| line.ends_with('?') && *line != "What do you expect?";
            let question = said.lines().collect::<Vec<_>>().into_iter().rfind(is_question).unwrap();
            let answer = said.lines().skip_while(|line| *line != question).nth(1).unwrap();
            page.press_by_key(|name| name == answer);
            answers += 1;
        } else if said.lines().any(is_over) {
            page.press_by_key(|name| name == "Next" || name == "Finish");
        } else if said.lines().any(|line| line == "Check this moment") {
            // Its answer is a moment: one is shown, and checked.
            let next = if is_shown { "Check this moment" } else { "Show me" };
            page.press_by_key(|name| name == next);
            is_shown = true;
        } else if said.contains("Waiting for:") {
            let offered = |name: &str| {
                !OF_ALL_LESSONS.contains(&name) && said.lines().any(|line| line == name)
            };
            page.press_by_key(offered);
        }
    }
    assert_eq!(page.said_in("complementary"), "", "the lesson goes on: {steps:?}");
    let last = steps.last().unwrap();
    let (at, of) = last.split_once(" of ").unwrap();
    assert_eq!(at, of, "{steps:?}");
    assert!(steps.len() > 4 && answers >= 2, "{steps:?}, {answers} answers");
    // Each step of the loop was said in the narrator's words.
    for said in ["The loop is held before turn ", "Last: "] {
        assert!(heard.contains(said), "{said}: {heard}");
    }
    page.assert_content();
}

#[test]
fn a_word_is_explained_where_it_stands() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    page.until_status("held");
    // By the keyboard: what the word means is said with it.
    page.tab_to(|name| name == "turns");
    page.until("!document.querySelector('#hint').hidden");
    assert!(page.text("#hint").starts_with("Turn One pass of the loop, of four phases"));
    let described = page.value("document.activeElement.getAttribute('aria-describedby')");
    assert_eq!(described, "hint");
    page.key("Escape");
    page.until("document.querySelector('#hint').hidden");
    // By the pointer, over a button that is more than a word.
    page.value(
        "document.querySelector('[data-scenario=smuggle]')
             .dispatchEvent(new PointerEvent('pointerover', { bubbles: true }))",
    );
    page.until("document.querySelector('#hint').textContent.startsWith('Request smuggling ')");
    // In a lesson's text, a word is explained once a step.
    page.press("[data-lesson='0']");
    page.until("document.querySelectorAll('#lesson-text .term').length > 0");
    // Every word that the page points at is in the glossary.
    let unknown = page.value(
        "[...document.querySelectorAll('[data-word]')].filter((one) => {
             one.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
             return document.querySelector('#hint').hidden;
         }).map((one) => one.dataset.word)",
    );
    assert_eq!(unknown, serde_json::json!([]));
    page.assert_content();
}

#[test]
fn a_phase_leads_to_its_code_and_back() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    page.until_status("held");
    page.press_by_key(|name| name.starts_with("Phase 3 queue"));
    page.until("!document.querySelector('#code').hidden");
    let code = page.text("#code");
    assert!(
        code.contains("src/event_loop/turn.rs:") && code.contains("timers.pop_due(now)"),
        "{code}"
    );
    page.key("Escape");
    page.until("document.querySelector('#code').hidden");
    assert!(page.focused().1.starts_with("Phase 3 queue"), "the focus is where it was");
    page.assert_content();
}

#[test]
fn who_wants_no_motion_sees_none() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    page.until_status("held");
    page.prefer_no_motion();
    page.press("[data-lesson='0']");
    page.until("document.querySelector('.lesson-target')");
    let moving = page.value(
        "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one))
             .filter((style) => style.animationName !== 'none' || style.transitionDuration !== '0s').length",
    );
    assert_eq!(moving, 0);
    page.assert_content();
}
