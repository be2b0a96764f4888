//! The guided tours: each works from a fresh lab, and ends.

use crate::browser::chromium::{Page, is_installed};
use crate::browser::lab::Lab;

const LESSONS: u32 = 15;

/// Goes through a lesson as a learner does who lets it press the buttons: an answer where something is asked, `Next`
/// where what the step is for has happened, else what it offers. An exercise is handed in where the world stands, which is
/// wrong, and then where a right answer is shown. Gives how often something was asked.
const GO_THROUGH: &str = r#"
(async () => {
  const find = (id) => document.getElementById(id);
  const shown = (element) => !element.hidden && !element.disabled;
  const began = performance.now();
  let pressed = 0, asked = 0, refused = false;
  while (!find('lesson').hidden) {
    if (performance.now() - began > 30000) {
      return `stuck at ${find('lesson-count').textContent}: ${find('lesson-text').textContent} `
        + find('lesson-wait').textContent + find('lesson-act').title + find('banner').textContent;
    }
    if (find('lesson').textContent.includes('undefined')) return find('lesson').textContent;
    const next = find('lesson-next'), act = find('lesson-act');
    const answer = find('lesson-answers').querySelector('button:not(:disabled)');
    const check = find('lesson-check'), verdict = find('lesson-wait').textContent;
    // What a button does takes a moment to come back as an event, and longer on a busy machine. An order that is given
    // twice would find the next step's world.
    const isWaiting = performance.now() - pressed < 800;
    if (!find('lesson-ask').hidden && answer) {
      answer.click();
      asked += 1;
    } else if (shown(check) && find('lesson').dataset.met === 'false' && !isWaiting) {
      refused ||= verdict.startsWith('✗') && verdict.length > 20;
      if (!refused) check.click();
      else if (verdict.startsWith('✗')) find('lesson-show').click();
      else check.click();
      pressed = performance.now();
    } else if (find('lesson').dataset.met === 'true') {
      next.click();
      pressed = 0;
    } else if (shown(act) && !isWaiting) {
      act.click();
      pressed = performance.now();
    }
    await new Promise((then) => setTimeout(then, 30));
  }
  return asked;
})()
"#;

/// Goes through a lesson that is open.
#[track_caller]
fn finish(page: &mut Page, lesson: u32) {
    let end = page.value(GO_THROUGH);
    assert!(end.as_u64() >= Some(2), "lesson {}: {end}", lesson + 1);
}

#[track_caller]
fn go_through(lessons: impl IntoIterator<Item = u32>) {
    if !is_installed() {
        return;
    }
    let mut lab = Lab::start(&[]);
    let mut page = lab.page();
    assert_eq!(page.value("document.querySelectorAll('[data-lesson]').length"), LESSONS);
    for lesson in lessons {
        page.press(&format!("[data-lesson='{lesson}']"));
        finish(&mut page, lesson);
        page.until_status("running");
        page.assert_content();
        // The old one stays until the page has left it: it is not to be missed.
        let fresh = Lab::start(&[]);
        page.go(&fresh.url);
        page.until_connected();
        lab = fresh;
    }
    drop(lab);
}

#[test]
fn every_lesson_runs_to_its_end_from_a_fresh_lab() {
    go_through(0..LESSONS / 3);
}

/// In tests of their own, so that all thirds go on at once.
#[test]
fn so_does_every_later_lesson() {
    go_through(LESSONS / 3..LESSONS * 2 / 3);
}

#[test]
fn and_so_do_the_last_ones() {
    go_through(LESSONS * 2 / 3..LESSONS);
}

#[test]
fn lessons_follow_each_other_in_one_page() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    // Those that leave the most behind: a hundred connections, a loop that is held, slow motion.
    for lesson in [9, 0] {
        page.press(&format!("[data-lesson='{lesson}']"));
        finish(&mut page, lesson);
    }
    page.assert_content();
}

#[test]
fn a_step_points_and_waits_and_can_be_left() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    page.press("[data-lesson='0']");
    assert_eq!(page.value("document.querySelector('.lesson-target').id"), "loop");
    page.press("#lesson-next");
    page.until("document.querySelector('.lesson-target').id === 'pause'");
    page.until("document.querySelector('#lesson-next').textContent === 'Skip'");
    // The learner may press the real button, too.
    page.press("#pause");
    page.until("document.querySelector('#lesson-next').textContent === 'Next'");
    page.press("#lesson-back");
    page.until("document.querySelector('#lesson-count').textContent.startsWith('1 of')");
    page.press("#lesson-leave");
    page.until("document.querySelector('.lesson-target') === null");
    page.until_status("running");
    page.assert_content();
}

#[test]
fn nobody_is_too_slow_for_a_lesson() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    // Where does a slow client wait?
    page.press("[data-lesson='1']");
    page.press("#lesson-act");
    page.until_status("held");
    page.until("document.querySelector('#lesson-wait').textContent.includes('Next lets it go')");
    page.press("#lesson-next");
    page.until_status("held");
    let state = "document.querySelector('#cards .state').textContent";
    page.until(&format!("{state}.startsWith('receiving head')"));
    // What is asked is worked out from what is.
    let answers = "[...document.querySelectorAll('#lesson-answers button')]";
    page.value(&format!("{answers}.find((one) => one.textContent === 'receiving head').click()"));
    page.until("document.querySelector('#lesson-verdict').textContent.startsWith('✓')");
    page.press("#lesson-next");
    page.press("#lesson-act");
    page.until("document.querySelector('#lesson').dataset.met === 'true'");
    page.press("#lesson-next");
    page.value(&format!("{answers}.at(-1).click()"));
    page.until("document.querySelector('#lesson-verdict').textContent.startsWith('✗')");
    page.press("#lesson-next");
    page.until_status("running");
    page.assert_content();
}

/// In a world that goes back, a step is done again from where it began.
#[test]
fn a_step_is_done_again() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    page.press("[data-lesson='8']");
    // The lesson has begun, and what it began with has been obeyed.
    page.until("document.activeElement.id === 'lesson-next'");
    page.press("#lesson-act");
    page.until("document.querySelector('#lesson').dataset.met === 'true'");
    let found = |page: &mut Page| {
        let told = page.text("#narrator");
        told.split_once("Found: ").expect("what it ran until").1.to_owned()
    };
    let told = found(&mut page);
    page.press("#lesson-again");
    page.until("document.querySelector('#lesson').dataset.met === 'false'");
    page.press("#lesson-act");
    page.until("document.querySelector('#lesson').dataset.met === 'true'");
    assert_eq!(found(&mut page), told, "the same, once more");
    page.press("#lesson-leave");
    page.assert_content();
}

/// In a world that goes back, each lesson ends with an exercise: a wrong moment is refused, the solution is right.
#[track_caller]
fn play_simulated(lessons: impl IntoIterator<Item = u32>, language: &str, leave: &str) {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    page.go(&format!("{}?lang={language}", lab.url));
    page.until_connected();
    for lesson in lessons {
        page.press(&format!("[data-lesson='{lesson}']"));
        assert_eq!(page.text("#lesson-leave"), leave, "lesson {}", lesson + 1);
        finish(&mut page, lesson);
    }
    page.assert_content();
}

#[test]
fn every_lesson_runs_in_a_simulated_world_and_its_exercise_is_judged() {
    play_simulated(0..LESSONS, "en", "Leave");
}

#[test]
fn every_lesson_can_be_played_in_german() {
    play_simulated(0..LESSONS, "de", "Verlassen");
}

#[test]
fn a_reader_chooses_the_language() {
    if !is_installed() {
        return;
    }
    let lab = Lab::simulated("7");
    let mut page = lab.page();
    let first = |page: &mut Page| page.text("[data-lesson='0'] b");
    assert_eq!(first(&mut page), "What is a turn?");
    let choose = |language: &str| {
        format!(
            "(() => {{ const select = document.querySelector('#lesson-language');
               select.value = '{language}'; select.dispatchEvent(new Event('change')); }})()"
        )
    };
    // In the middle of a question: it is asked in the other language, and its answer counts.
    page.press("[data-lesson='1']");
    page.press("#lesson-act");
    page.until("document.querySelector('#lesson').dataset.met === 'true'");
    page.press("#lesson-next");
    page.value(&choose("de"));
    assert_eq!(first(&mut page), "Was ist eine Runde?");
    assert!(page.text("#lesson-question").starts_with("In welchem Zustand"));
    assert_eq!(page.value("document.querySelector('#lesson').lang"), "de");
    page.until("location.search === '?lang=de'");
    let answers = "[...document.querySelectorAll('#lesson-answers button')]";
    page.value(&format!("{answers}.find((one) => one.textContent === 'receiving head').click()"));
    page.until("document.querySelector('#lesson-verdict').textContent.startsWith('✓ Richtig.')");
    // The address keeps it, beside the moment.
    page.until("location.hash.startsWith('#seed=7&act=')");
    let address = page.value("location.href");
    page.go("about:blank");
    page.go(address.as_str().unwrap());
    page.until_connected();
    assert_eq!(first(&mut page), "Was ist eine Runde?");
    // Without a word in the address, the browser's own languages count, in their order.
    page.speak("fr-FR,de-AT,en");
    page.go(&lab.url);
    page.until_connected();
    assert_eq!(first(&mut page), "Was ist eine Runde?");
    page.assert_content();
}
