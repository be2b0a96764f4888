//! What the page is like: many connections, read-only, a lab that is gone, sizes and colours.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;

use crate::browser::chromium::{View, is_installed};
use crate::browser::lab::Lab;

const SCENARIOS: [&str; 11] = [
    "one",
    "pair",
    "dribble",
    "slow-reader",
    "hundred",
    "half-close",
    "smuggle",
    "sleep",
    "block",
    "gather",
    "thread",
];

#[test]
fn every_scenario_is_shown_to_its_end() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    // The last one takes what the others need.
    for scenarios in [&SCENARIOS[..], &["descriptors"]] {
        for scenario in scenarios {
            page.press(&format!("[data-scenario={scenario}]"));
            page.until(&format!("document.querySelector('[data-talk={scenario}]')"));
        }
        for scenario in scenarios {
            let talk = format!("document.querySelector('[data-talk={scenario}]')");
            page.until(&format!("{talk}.querySelector('h3').textContent.endsWith(' ended')"));
            // The hundred are counted, not shown.
            let kinds: &[&str] =
                if *scenario == "hundred" { &["note"] } else { &["sent", "received"] };
            for kind in kinds {
                let shown = page.value(&format!("{talk}.querySelector('li.{kind}') !== null"));
                assert_eq!(shown, true, "{scenario}: nothing was {kind}");
            }
        }
    }
    page.assert_content();
}

#[test]
fn a_thousand_connections_are_counted() {
    const CONNECTIONS: usize = 1000;
    if !is_installed() {
        return;
    }
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| lab.program.connect()).collect();
    let badges = "[...document.querySelectorAll('.overview .badge')]";
    let sum = "(sum, badge) => sum + Number(badge.textContent.replace(/[^0-9]/g, ''))";
    page.until(&format!("{badges}.reduce({sum}, 0) === {CONNECTIONS}"));
    let chips = page.value("document.querySelectorAll('.task-chip').length").as_u64().unwrap();
    assert!((10..1000).contains(&chips), "{chips} are drawn singly");
    // It can still be used: a card is opened, and the loop is stepped.
    page.press(".task-chip");
    page.until("document.querySelectorAll('.card').length === 1");
    page.press_and_stop("#pause");
    clients[500].write_all(b"GET /World HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    page.press_and_stop("#step-turn");
    page.until("document.querySelector('#turn-detail').innerText.includes('is answered 200')");
    page.assert_content();
}

#[test]
fn what_a_task_has_cost_is_in_a_table_and_sources_of_signals_are_folded_away() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    page.press("[data-scenario=block]");
    page.until("document.querySelector('[data-talk=block] h3')?.textContent.endsWith(' ended')");
    page.press_and_stop("#pause");
    page.value("document.querySelector('#totals').open = true");
    let rows = "[...document.querySelectorAll('#totals-rows tr')]";
    page.until(&format!("{rows}.some((row) => row.textContent.startsWith('acceptor'))"));
    page.press("[data-column=resumes]");
    page.until("document.querySelector('#totals-head [aria-sort]').textContent === 'resumes'");
    let resumes = page.value(&format!("{rows}.map((row) => Number(row.children[1].textContent))"));
    let resumes: Vec<u64> =
        resumes.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect();
    assert!(resumes.is_sorted_by(|a, b| a >= b) && resumes[0] > 1, "{resumes:?}");
    // Waiting is what a task does most.
    let waited = format!("{rows}.every((row) => row.children[5].textContent.endsWith('s'))");
    assert_eq!(page.value(&waited), true);
    page.until("document.querySelector('#signal-count').textContent.includes('source')");
    let shown = "document.querySelector('#signal-sources').open || \
                 document.querySelector('#sources').textContent.includes('of signal')";
    assert_eq!(page.value(shown), false);
    page.assert_content();
}

#[test]
fn a_read_only_page_says_why_it_does_nothing() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&["--read-only"]);
    let mut page = lab.page();
    page.until("document.querySelector('#reason').textContent.includes('read-only')");
    let buttons =
        "[...document.querySelectorAll('.controls button, [data-scenario], [data-lesson]')]";
    let free = page.value(&format!("{buttons}.filter(b => !b.disabled || !b.title).length"));
    assert_eq!(free, 0);
    page.assert_content();
}

#[test]
fn an_ordinary_server_has_a_lab_without_lessons() {
    if !is_installed() {
        return;
    }
    let lab = Lab::beside_a_server();
    let mut page = lab.page();
    page.press("[data-scenario=pair]");
    page.until("document.querySelector('[data-talk=pair] li.received')");
    for button in ["[data-lesson='0']", "[data-scenario=block]"] {
        page.until(&format!("document.querySelector(\"{button}\").title.includes('helloop lab')"));
        assert_eq!(page.value(&format!("document.querySelector(\"{button}\").disabled")), true);
    }
    page.assert_content();
}

#[test]
fn a_lab_that_is_gone_is_missed() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    drop(lab);
    page.until_status("connection lost");
    assert!(page.text("#banner").contains("tries again"));
    let disabled = page.value("document.querySelector('#pause').title");
    assert!(disabled.as_str().unwrap().contains("lost"), "{disabled}");
}

/// Texts whose contrast is below 4.5 (WCAG 2.2, 1.4.3), with what it is.
const PALE: &str = r#"
(() => {
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((c) => c / 255)
      .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (numbers(colour)[3] !== 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const ownText = (element) => [...element.childNodes]
    .filter((node) => node.nodeType === Node.TEXT_NODE).map((node) => node.data.trim()).join('');
  const isRead = (element) => element.checkVisibility() && ownText(element)
    && !element.closest('svg, .only-heard, :disabled');
  const pale = [];
  for (const element of [...document.querySelectorAll('body *')].filter(isRead)) {
    const colours = [getComputedStyle(element).color, ground(element)];
    const [darker, lighter] = colours.map(light).sort((a, b) => a - b);
    const contrast = (lighter + 0.05) / (darker + 0.05);
    if (contrast < 4.5) pale.push(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 100)}`);
  }
  return pale;
})()
"#;

/// What can be operated and has no name for those who hear the page, and ids that are there twice.
const NAMELESS: &str = r#"
(() => {
  const name = (e) => e.innerText || e.getAttribute('aria-label') || e.labels?.[0]?.innerText;
  const all = [...document.querySelectorAll('button, select, input, [tabindex]')];
  const nameless = all.filter((e) => e.checkVisibility() && !name(e)?.trim());
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  return [...nameless.map((element) => element.outerHTML), ...twice];
})()
"#;

/// Pictures for people to look at, and what can be checked without eyes: nothing is wider than the
/// page, and all text can be read.
#[test]
fn it_can_be_read_wide_and_narrow_light_and_dark() {
    if !is_installed() {
        return;
    }
    let lab = Lab::start(&[]);
    let mut page = lab.page();
    for scenario in ["one", "block", "slow-reader", "dribble", "sleep"] {
        page.press(&format!("[data-scenario={scenario}]"));
    }
    page.until("document.querySelectorAll('.card').length >= 2");
    page.press_and_stop("#pause");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lab");
    fs::create_dir_all(&place).unwrap();
    for (width, height) in [(1280, 1000), (400, 900)] {
        for is_dark in [false, true] {
            page.look_as(View { width, height, is_dark });
            for (name, scroll) in [("top", "0"), ("middle", "900"), ("end", "1e6")] {
                page.value(&format!("scrollTo({{ top: {scroll}, behavior: 'instant' }})"));
                let colours = if is_dark { "dark" } else { "light" };
                let file = place.join(format!("{width}-{colours}-{name}.png"));
                fs::write(file, page.picture()).unwrap();
            }
            let wide = page.value("document.documentElement.scrollWidth").as_u64().unwrap();
            assert!(wide <= u64::from(width), "{wide} pixels are needed, {width} are there");
            let pale = page.value(PALE);
            assert_eq!(pale, serde_json::json!([]), "dark: {is_dark}");
            assert_eq!(page.value(NAMELESS), serde_json::json!([]));
        }
    }
    page.assert_content();
}
