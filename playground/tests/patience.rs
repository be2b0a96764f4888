//! A learner who takes ten seconds for each click misses nothing: every lesson, at that pace.

use std::fmt::Write as _;
use std::process::Command;
use std::{fs, path::Path};

use chromium::{Page, View, is_installed};
use serde_json::Value;

#[path = "../../tests/browser/chromium.rs"]
#[allow(dead_code, reason = "this test uses a part")]
mod chromium;

/// The page's clock can be taken over: then only `pass` lets its time go by.
const CLOCK: &str = r"
(() => {
  const real = { now: performance.now.bind(performance), setTimeout, clearTimeout };
  const timers = new Map();
  let now = null, last = 1e9;
  performance.now = () => now ?? real.now();
  globalThis.setTimeout = (work, wait = 0, ...more) => {
    if (now === null) return real.setTimeout.call(globalThis, work, wait, ...more);
    timers.set(++last, { at: now + wait, work: () => work(...more) });
    return last;
  };
  globalThis.clearTimeout = (id) => timers.delete(id) || real.clearTimeout.call(globalThis, id);
  globalThis.takeClock = () => { now ??= real.now(); };
  globalThis.settle = () => new Promise((then) =>
    requestAnimationFrame(() => real.setTimeout.call(globalThis, then, 5)));
  globalThis.pass = async (span) => {
    const end = now + span;
    for (;;) {
      const [next] = [...timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (!next) break;
      timers.delete(next[0]);
      now = Math.max(now, next[1].at);
      next[1].work();
      await new Promise((then) => real.setTimeout.call(globalThis, then, 0));
    }
    now = end;
    await settle();
  };
})();
";

/// Plays a lesson, ten seconds before each click. Gives what was said and done, or where it is stuck.
const PLAY: &str = r"
(async (lesson) => {
  const find = (id) => document.getElementById(id);
  const shown = (element) => !element.hidden && !element.disabled;
  const began = performance.now();
  const said = [];
  const say = (who, text) => said.push([(performance.now() - began) / 1000, who, text]);
  let step = '';
  takeClock();
  document.querySelector(`[data-lesson='${lesson}']`).click();
  for (let clicks = 0; ; clicks += 1) {
    await settle();
    if (find('lesson').hidden) return { said };
    if (clicks > 80) return { stuck: find('lesson').innerText };
    const here = find('lesson-count').textContent;
    if (here !== step) say('lesson', `${(step = here)}: ${find('lesson-text').innerText}`);
    const isAsked = !find('lesson-ask').hidden;
    const answers = [...find('lesson-answers').children];
    if (isAsked && shown(answers[0])) {
      say('question', `${find('lesson-question').innerText} ${answers.map((a) => a.innerText).join(' / ')}`);
    }
    await pass(10_000);
    if (isAsked && shown(answers[0])) {
      say('learner', `“${answers[0].innerText}”`);
      answers[0].click();
      await settle();
      say('lesson', find('lesson-verdict').innerText);
    } else if (find('lesson').dataset.met === 'true') {
      if (find('lesson-wait').innerText) say('lesson', find('lesson-wait').innerText);
      say('loop', find('narrator').innerText);
      say('learner', `presses “${find('lesson-next').innerText}”`);
      find('lesson-next').click();
    } else if (shown(find('lesson-check'))) {
      const isRefused = find('lesson-wait').innerText.startsWith('✗');
      const button = find(isRefused ? 'lesson-show' : 'lesson-check');
      if (find('lesson-wait').innerText) say('lesson', find('lesson-wait').innerText);
      say('learner', `presses “${button.innerText}”`);
      button.click();
    } else if (shown(find('lesson-act'))) {
      say('learner', `presses “${find('lesson-act').innerText}”`);
      find('lesson-act').click();
    }
  }
})
";

#[test]
fn ten_seconds_for_each_click_are_not_too_slow_for_any_lesson() {
    if !is_installed() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("playground.html");
    let mut write = Command::new(env!("CARGO_BIN_EXE_helloop-playground"));
    let output = write.arg("--output").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut page = Page::open("about:blank", View::WIDE);
    page.prepare(CLOCK);
    page.go(&format!("file://{}?lang=en", file.display()));
    page.until("document.querySelector('#status').textContent === 'held'");
    let lessons = page.value("document.querySelectorAll('[data-lesson]').length").as_u64().unwrap();
    assert!(lessons >= 12, "{lessons}");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lessons");
    fs::create_dir_all(&place).unwrap();
    for lesson in 0..lessons {
        let played = page.value(&format!("({PLAY})({lesson})"));
        let said =
            played["said"].as_array().unwrap_or_else(|| panic!("lesson {}: {played}", lesson + 1));
        let mut transcript = String::new();
        for line in said {
            let (at, who) = (line[0].as_f64().unwrap(), line[1].as_str().unwrap());
            let _ = writeln!(transcript, "{at:6.1} s  {who:9} {}", line[2].as_str().unwrap());
        }
        fs::write(place.join(format!("{}.txt", lesson + 1)), &transcript).unwrap();
        let count = |who: &str, begins: &str| {
            let is_it =
                |line: &&Value| line[1] == who && line[2].as_str().unwrap().starts_with(begins);
            said.iter().filter(is_it).count()
        };
        // Questions are asked, and no step was left before it had happened.
        assert!(count("question", "") >= 2, "{transcript}");
        assert_eq!(count("learner", "presses “Skip”"), 0, "{transcript}");
        assert_eq!(count("lesson", "✗ Not yet."), 1, "the first moment is refused: {transcript}");
        assert!(said.last().unwrap()[0].as_f64() >= Some(60.0), "{transcript}");
    }
    page.assert_content();
}
