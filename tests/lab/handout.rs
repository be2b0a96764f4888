//! The handout of the lessons: a page to print, with figures that are drawn from seeded runs.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use helloop::greeting::Greeting;
use helloop::lab::history::History;
use serde_json::Value;

/// Each lesson: the steps whose sentences say what it is about, and the moments that are drawn.
const LESSONS: [(&str, &[&str], [&str; 2]); 15] = [
    ("turn", &["phases"], ["act=0:one&at=2", "act=0:one&at=5"]),
    ("slow-client", &["dribble", "reads"], ["act=0:dribble&at=5", "act=0:dribble,5:one&at=8"]),
    ("readiness", &["crowd", "remember"], ["act=0:hundred&at=2", "act=0:hundred&at=69"]),
    ("partial-read", &["dribble", "waits"], ["act=0:dribble&at=6", "act=0:dribble&at=7"]),
    ("blocking", &["block", "heard"], ["act=0:block&at=5", "act=0:block&at=7"]),
    ("awaiting", &["serve", "end"], ["act=0:sleep&at=5", "act=0:sleep&at=7"]),
    ("timers", &["order", "end"], ["act=0:sleep,0:slow-reader&at=8", "act=0:slow-reader&at=9"]),
    ("batches", &["crowd", "share"], ["act=0:hundred&at=4", "act=0:hundred&at=67"]),
    ("backpressure", &["big", "waits"], ["act=0:slow-reader&at=5", "act=0:slow-reader&at=7"]),
    ("keep-alive", &["one", "idle"], ["act=0:pair&at=5", "act=0:one&at=5"]),
    ("half-close", &["linger", "limit"], ["act=0:half-close&at=4", "act=0:smuggle&at=5"]),
    ("gather", &["begin", "third"], ["act=0:gather&at=11", "act=0:gather&at=42"]),
    ("thread", &["ask", "end"], ["act=0:thread&at=7", "act=0:thread&at=17"]),
    ("descriptors", &["short", "spin"], ["act=0:descriptors&at=2", "act=0:descriptors&at=4"]),
    ("smuggling", &["send", "hidden"], ["act=0:smuggle&at=4", "act=0:smuggle&at=5"]),
];

/// The words of a handout that are not those of the lessons.
struct Words {
    language: &'static str,
    texts: &'static str,
    file: &'static str,
    title: &'static str,
    about: &'static str,
    kernel: &'static str,
    ready: &'static str,
    tasks: &'static str,
    timers: &'static str,
    nothing: &'static str,
    more: &'static str,
    moment: &'static str,
    last: &'static str,
    answer: &'static str,
}

const HANDOUTS: [Words; 2] = [
    Words {
        language: "en",
        texts: include_str!("../../src/lab/page/texts/en.json"),
        file: "docs/handout.html",
        title: "The loop, in fifteen lessons",
        about: "To print, and to write on. Each figure is a moment of a simulated world; the link below it, appended to \
                the address of the playground, leads there. What the loop itself says is set in small type.",
        kernel: "Sockets: ready for",
        ready: "Ready queue",
        tasks: "Tasks (state): wait for",
        timers: "Timers",
        nothing: "none",
        more: "and {} more",
        moment: "turn {turn}, at {at} ms",
        last: "Last: ",
        answer: "My answer is the moment",
    },
    Words {
        language: "de",
        texts: include_str!("../../src/lab/page/texts/de.json"),
        file: "docs/handout.de.html",
        title: "Die Schleife, in fünfzehn Lektionen",
        about: "Zum Ausdrucken und Hineinschreiben. Jedes Bild ist ein Moment einer simulierten Welt; der Link darunter, \
                an die Adresse des Playgrounds gehängt, führt dorthin. Was die Schleife selbst sagt, ist klein gesetzt.",
        kernel: "Sockets: bereit für",
        ready: "Warteschlange",
        tasks: "Tasks (Zustand): warten auf",
        timers: "Timer",
        nothing: "keine",
        more: "und {} weitere",
        moment: "Runde {turn}, bei {at} ms",
        last: "Zuletzt: ",
        answer: "Meine Antwort ist der Moment",
    },
];

const STYLE: &str = "
  body { font: 11pt/1.4 system-ui, sans-serif; color: #111; background: #fff; max-width: 48rem; margin: 2rem auto; padding: 0 1rem; }
  h2 { margin: 2rem 0 0; }
  h2 small { font-weight: normal; }
  figure { margin: 0.6rem 0; }
  figcaption { font-size: 9pt; }
  code, figcaption, svg { font-family: ui-monospace, monospace; }
  svg { width: 100%; height: auto; border: 1px solid #888; border-radius: 4px; }
  .exercise { border: 1px solid #888; border-left-width: 6px; padding: 0.3rem 0.8rem; }
  .answer { border-bottom: 1px solid #111; display: inline-block; width: 18rem; }
  section { break-inside: avoid; }
  @media print { body { margin: 0; max-width: none; } a { color: inherit; } }
";

/// Rows of a list in a figure; what is more is counted.
const ROWS_MAX: usize = 6;

/// Sentences of the loop below a figure.
const SENTENCES_MAX: usize = 4;

/// Of a figure, in its own units.
const WIDTH: usize = 840;
const ROW: usize = 17;

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A text of the lessons: what stands between backticks is code.
fn paragraph(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let part = |(at, part): (usize, &str)| match at % 2 {
        0 => escaped(part),
        _ => format!("<code>{}</code>", escaped(part)),
    };
    parts.map(part).collect()
}

/// A moment, as a page is told of it: the snapshot, and the sentences of the last events.
fn moment(recipe: &str) -> (Value, String) {
    let history = History::new(&recipe.parse().unwrap(), || Greeting).unwrap();
    assert_eq!(history.recipe().to_string(), recipe, "there is no such moment");
    let told = history.text();
    let messages: Vec<(&str, Value)> = told
        .split_terminator("\n\n")
        .map(|block| {
            let (name, data) =
                block.strip_prefix("event: ").unwrap().split_once("\ndata: ").unwrap();
            (name, serde_json::from_str(data).unwrap())
        })
        .collect();
    let last = |wanted: &str| messages.iter().rfind(|(name, _)| *name == wanted).unwrap().1.clone();
    let batch = last("batch");
    let events = batch["events"].as_array().unwrap();
    let latest = &events[events.len().saturating_sub(SENTENCES_MAX)..];
    let sentences: Vec<String> = latest.iter().map(|event| text(&event["text"])).collect();
    (last("snapshot"), sentences.join("; "))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Nanoseconds in milliseconds.
fn millis(value: &Value) -> String {
    let nanos = value.as_u64().unwrap();
    format!("{}.{:03}", nanos / 1_000_000, nanos / 1_000 % 1_000)
}

/// What a figure lists: a title, and its rows.
fn lists(words: &Words, snapshot: &Value) -> [(&'static str, Vec<String>); 4] {
    let items = |name: &str| snapshot[name].as_array().unwrap().clone();
    let list = |value: &Value| {
        let names: Vec<&str> = value.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        if names.is_empty() { "–".into() } else { names.join(", ") }
    };
    let sources = items("sources").into_iter().map(|source| {
        format!(
            "{} → task {}: {}",
            text(&source["id"]),
            text(&source["task"]),
            list(&source["readiness"])
        )
    });
    let ready = items("ready").into_iter().map(|task| format!("task {}", text(&task)));
    let tasks = items("tasks").into_iter().map(|task| {
        let state = task["state"].as_str().map(|state| format!(" ({state})")).unwrap_or_default();
        format!(
            "{} {}{state}: {}",
            text(&task["id"]),
            text(&task["kind"]),
            text(&task["waits_for"])
        )
    });
    let timers = items("timers").into_iter();
    let timers = timers
        .map(|timer| format!("{} ms: task {}", millis(&timer["deadline"]), text(&timer["task"])));
    [
        (words.kernel, sources.collect()),
        (words.ready, ready.collect()),
        (words.tasks, tasks.collect()),
        (words.timers, timers.collect()),
    ]
}

/// A list as a column of a figure; what stands in a queue is boxed, `wide` units. Returns its lowest line.
fn column(
    svg: &mut String,
    words: &Words,
    x: usize,
    y: usize,
    wide: usize,
    (title, rows): &(&str, Vec<String>),
) -> usize {
    let _ =
        writeln!(svg, "<text x=\"{x}\" y=\"{y}\" font-weight=\"bold\">{}</text>", escaped(title));
    let shown = if rows.len() > ROWS_MAX { ROWS_MAX - 1 } else { rows.len() };
    let mut lines: Vec<String> = rows[..shown].to_vec();
    if rows.is_empty() {
        lines.push(words.nothing.into());
    }
    if shown < rows.len() {
        lines.push(words.more.replace("{}", &(rows.len() - shown).to_string()));
    }
    let mut at = y;
    for (row, line) in lines.iter().enumerate() {
        at += ROW;
        if wide > 0 && row < shown {
            let (x, y) = (x - 6, at - 12);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"16\" rx=\"3\" fill=\"#eef3fa\" \
                 stroke=\"#567\"/>"
            );
        }
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{at}\">{}</text>", escaped(line));
    }
    at
}

fn figure(words: &Words, recipe: &str) -> String {
    let recipe = format!("seed=1&{recipe}");
    let (snapshot, last) = moment(&recipe);
    let [kernel, ready, tasks, timers] = lists(words, &snapshot);
    let mut columns = String::new();
    let top = 2 * ROW + 10;
    let low = column(&mut columns, words, 20, top, 100, &ready)
        .max(column(&mut columns, words, 140, top, 0, &tasks))
        .max(column(&mut columns, words, 510, top, 0, &kernel));
    let low = column(&mut columns, words, 20, low + ROW + 8, 220, &timers);
    let moment = words.moment.replace("{turn}", &snapshot["turn"].to_string());
    let moment = moment.replace("{at}", &millis(&snapshot["now"]));
    let height = low + 12;
    format!(
        "<figure>\n<svg viewBox=\"0 0 {WIDTH} {height}\" font-size=\"12\" role=\"img\" aria-label=\"{label}\">\n\
         <text x=\"20\" y=\"20\">{label}</text>\n<path d=\"M0 28H{WIDTH}\" stroke=\"#888\"/>\n{columns}</svg>\n\
         <figcaption>{last}{sentence}<br>#{recipe}</figcaption>\n</figure>\n",
        label = escaped(&moment),
        last = words.last,
        sentence = escaped(&last),
        recipe = escaped(&recipe),
    )
}

fn handout(words: &Words) -> String {
    let texts: Value = serde_json::from_str(words.texts).unwrap();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<p>{}</p>\n",
        words.language,
        words.about,
        title = words.title,
    );
    for (number, (id, steps, moments)) in LESSONS.iter().enumerate() {
        let lesson = &texts["lessons"][id];
        let _ = writeln!(
            page,
            "<section>\n<h2>{}. {} <small>{}</small></h2>",
            number + 1,
            paragraph(&text(&lesson["name"])),
            paragraph(&text(&lesson["about"])),
        );
        for step in *steps {
            for say in lesson["steps"][step]["say"].as_array().unwrap() {
                let _ = writeln!(page, "<p>{}</p>", paragraph(&text(say)));
            }
        }
        for recipe in moments {
            page += &figure(words, recipe);
        }
        let exercise = texts["tour"]["exercise"].as_str().unwrap();
        let exercise = exercise.replace("{task}", lesson["exercise"]["task"].as_str().unwrap());
        let _ = writeln!(
            page,
            "<p class=\"exercise\">{}<br>{} <span class=\"answer\">#</span></p>\n</section>",
            paragraph(&exercise),
            words.answer,
        );
    }
    page + "</body>\n</html>\n"
}

#[test]
fn the_handout_shows_what_the_lessons_say_and_the_loop_does() {
    let is_blessed = env::var_os("BLESS").is_some_and(|value| value == "1");
    for words in &HANDOUTS {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(words.file);
        let drawn = handout(words);
        if is_blessed {
            fs::write(&file, &drawn).unwrap();
        }
        let kept = fs::read_to_string(&file).unwrap_or_default();
        let differs = kept.lines().zip(drawn.lines()).find(|(kept, drawn)| kept != drawn);
        assert!(
            kept == drawn,
            "{} is stale: a lesson or the loop has changed. It is written anew by\n\
             BLESS=1 cargo test --test programs lab::handout\nThe first line that differs: {differs:?}",
            words.file,
        );
        // Every lesson of the page is in it.
        let texts: Value = serde_json::from_str(words.texts).unwrap();
        assert_eq!(texts["lessons"].as_object().unwrap().len(), LESSONS.len());
        assert_eq!(drawn.matches("<svg").count(), 2 * LESSONS.len());
    }
}
