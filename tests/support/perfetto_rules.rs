//! What ui.perfetto.dev and chrome://tracing ask of a trace, checked on the text.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

type Entry = Map<String, Value>;

/// What a good trace has, by phase: `B`, `E`, `X`, ….
pub(crate) type Found = BTreeMap<String, usize>;

/// Checks a whole trace. Entries are sorted by their moments first, as the importers do; those of the
/// same moment stay in order.
///
/// # Errors
/// The first rule that is broken, and where.
pub(crate) fn check(text: &str) -> Result<Found, String> {
    let whole: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let entries = whole["traceEvents"].as_array().ok_or("there is no list `traceEvents`")?;
    let mut found = Found::new();
    let mut timed = Vec::new();
    for entry in entries {
        let entry = entry.as_object().ok_or("an entry is no object")?;
        let phase = text_of(entry, "ph")?;
        *found.entry(phase.to_owned()).or_default() += 1;
        number_of(entry, "pid")?;
        if phase == "M" {
            let name = text_of(entry, "name")?;
            let known = ["process_name", "thread_name", "process_sort_index", "thread_sort_index"];
            demand(known.contains(&name), "metadata of this name is ignored", entry)?;
        } else {
            timed.push((nanos_of(entry, "ts")?, entry));
        }
    }
    timed.sort_by_key(|(at, _)| *at);
    slices_nest(&timed)?;
    tracks_nest(&timed)?;
    counters_are_numbers(&timed)?;
    Ok(found)
}

fn demand(holds: bool, complaint: &str, entry: &Entry) -> Result<(), String> {
    let show = || format!("{complaint}: {}", Value::Object(entry.clone()));
    if holds { Ok(()) } else { Err(show()) }
}

fn text_of<'a>(entry: &'a Entry, name: &str) -> Result<&'a str, String> {
    let text = entry.get(name).and_then(Value::as_str);
    text.ok_or_else(|| format!("no text `{name}`: {}", Value::Object(entry.clone())))
}

fn number_of(entry: &Entry, name: &str) -> Result<f64, String> {
    let number = entry.get(name).and_then(Value::as_f64);
    number.ok_or_else(|| format!("no number `{name}`: {}", Value::Object(entry.clone())))
}

/// Microseconds with at most three decimals, as nanoseconds.
fn nanos_of(entry: &Entry, name: &str) -> Result<i64, String> {
    let micros = number_of(entry, name)?;
    let nanos = micros * 1_000.0;
    demand(nanos >= 0.0 && (nanos - nanos.round()).abs() < 0.01, "a crooked moment", entry)?;
    #[allow(clippy::cast_possible_truncation, reason = "it is a whole number below 2^53")]
    Ok(nanos.round() as i64)
}

/// A slice that is open: its end is known from the beginning, or is still to come.
#[derive(Clone, Copy)]
struct Open {
    end: Option<i64>,
}

/// `B`, `E` and `X` nest, on each thread; arrows and instants have a place.
fn slices_nest(entries: &[(i64, &Entry)]) -> Result<(), String> {
    let mut threads: HashMap<(String, String), Vec<Open>> = HashMap::new();
    let mut arrows: HashMap<String, i64> = HashMap::new();
    for (at, entry) in entries {
        let phase = text_of(entry, "ph")?;
        if !["B", "E", "X", "i", "s", "f"].contains(&phase) {
            demand(["b", "n", "e", "C"].contains(&phase), "an unknown phase", entry)?;
            continue;
        }
        let key = (number_of(entry, "pid")?.to_string(), number_of(entry, "tid")?.to_string());
        let open = threads.entry(key).or_default();
        // Arrows may end where a slice ends; everything else is behind it.
        while open.last().is_some_and(|slice| slice.end.is_some_and(|end| end <= *at)) {
            open.pop();
        }
        match phase {
            "B" => {
                text_of(entry, "name")?;
                let within = open.last().is_none_or(|slice| slice.end.is_none());
                demand(within, "it begins within a slice that has an end", entry)?;
                open.push(Open { end: None });
            }
            "E" => {
                let slice = open.pop();
                let fits = slice.is_some_and(|slice| slice.end.is_none());
                demand(fits, "it ends something that has not begun, or is not innermost", entry)?;
            }
            "X" => {
                text_of(entry, "name")?;
                let end = at + nanos_of(entry, "dur")?;
                let fits = open.iter().all(|slice| slice.end.is_none_or(|outer| end <= outer));
                demand(fits, "it is longer than what it is in", entry)?;
                open.push(Open { end: Some(end) });
            }
            "i" => {
                demand(["g", "p", "t"].contains(&text_of(entry, "s")?), "no scope", entry)?;
            }
            _ => {
                demand(!open.is_empty(), "an arrow without a slice", entry)?;
                arrow(&mut arrows, phase, *at, entry)?;
            }
        }
    }
    demand(arrows.is_empty(), "arrows without an end", &Entry::new())?;
    let left = threads.values().flatten().filter(|slice| slice.end.is_none()).count();
    demand(left == 0, "slices without an end", &Entry::new())
}

fn arrow(
    arrows: &mut HashMap<String, i64>,
    phase: &str,
    at: i64,
    entry: &Entry,
) -> Result<(), String> {
    let id = format!(
        "{} {} {}",
        text_of(entry, "cat")?,
        text_of(entry, "name")?,
        number_of(entry, "id")?
    );
    if phase == "s" {
        return demand(arrows.insert(id, at).is_none(), "two arrows of one id", entry);
    }
    let from = arrows.remove(&id);
    demand(from.is_some_and(|from| from <= at), "an arrow from nowhere, or backwards", entry)?;
    demand(text_of(entry, "bp")? == "e", "it is bound to the next slice", entry)
}

/// `b`, `n` and `e` nest, on each track; a track has a name from the beginning.
fn tracks_nest(entries: &[(i64, &Entry)]) -> Result<(), String> {
    let mut tracks: HashMap<(String, String), Vec<String>> = HashMap::new();
    for (_, entry) in entries {
        let phase = text_of(entry, "ph")?;
        if !["b", "n", "e"].contains(&phase) {
            continue;
        }
        let local = entry.get("id2").and_then(|id| id.get("local")).and_then(Value::as_str);
        let id =
            local.ok_or_else(|| format!("no local id: {}", Value::Object((*entry).clone())))?;
        demand(!entry.contains_key("id"), "an id of all processes", entry)?;
        let key = (text_of(entry, "cat")?.to_owned(), id.to_owned());
        let name = text_of(entry, "name")?.to_owned();
        let open = tracks.entry(key).or_default();
        match phase {
            "b" => open.push(name),
            "n" => demand(!open.is_empty(), "a point on a track that has no name yet", entry)?,
            _ => {
                let ended = open.pop();
                demand(ended == Some(name), "it ends something that is not innermost", entry)?;
            }
        }
    }
    demand(tracks.values().all(Vec::is_empty), "tracks without an end", &Entry::new())
}

fn counters_are_numbers(entries: &[(i64, &Entry)]) -> Result<(), String> {
    for (_, entry) in entries.iter().filter(|(_, entry)| entry.get("ph") == Some(&"C".into())) {
        text_of(entry, "name")?;
        let args = entry.get("args").and_then(Value::as_object);
        let numbers = args.is_some_and(|args| args.values().all(Value::is_number));
        demand(numbers && args.is_some_and(|args| !args.is_empty()), "not a number", entry)?;
    }
    Ok(())
}
