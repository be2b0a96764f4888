//! The report as one HTML page that needs nothing else.

use std::fmt::Write;

use anyhow::Result;

use crate::case::{Case, Kind, Shape, Traffic};
use crate::figures::Metric;
use crate::gate::{Level, Violation};
use crate::plot::{Bar, Line, Point, bars, escape, lines, scatter};
use crate::record::{AGAIN, Record};
use crate::table::{Places, absent_line};

const STYLE: &str = include_str!("page.css");
/// The server that stands out in the plots.
const OURS: &str = "helloop";

/// Appends to a `String`, which takes everything.
macro_rules! put {
    ($to:expr, $($text:tt)*) => { write!($to, $($text)*).expect("a String takes everything") };
}

/// The page.
///
/// # Errors
/// When the raw data cannot be written as JSON.
pub(crate) fn page(record: &Record) -> Result<String> {
    let mut html = head(record);
    let shown: Vec<&Case> = record
        .cases
        .iter()
        .filter(|case| record.runs.iter().any(|r| r.case == case.name))
        .collect();
    put!(html, "<nav>");
    for case in &shown {
        put!(html, "<a href='#{}'>{}</a> ", case.name, escape(case.title));
    }
    put!(html, "<a href='#who'>Who took part</a> <a href='#raw'>Raw data</a></nav>");
    let mut open_is_drawn = false;
    for case in shown {
        if share(case).is_some() && !open_is_drawn {
            open_is_drawn = true;
            open_loop(&mut html, record);
        }
        section(&mut html, record, case);
    }
    who(&mut html, record);
    raw(&mut html, record)?;
    Ok(html + "</html>\n")
}

fn head(record: &Record) -> String {
    let machine = &record.machine;
    let mut html = format!(
        "<!doctype html>\n<html lang='en'><meta charset='utf-8'>\
         <meta name='viewport' content='width=device-width'><title>helloop versus others</title>\
         <style>{STYLE}</style>\n<h1>helloop versus others</h1>"
    );
    let virtual_machine = if machine.hypervisor { ", a virtual machine" } else { "" };
    put!(
        html,
        "<p>Every server gives the same greeting with one thread or one worker. What leads is the \
         server's CPU time for each request: medians of interleaved rounds. The stronger colour is \
         user space, the other the kernel; the thin line goes from the least to the most. Bars \
         that would dwarf the others are cut. Faded are servers that break a MUST: they have a place \
         among all (raw), but not among those that serve. Places with = are shared: what lies \
         between is noise.</p>"
    );
    put!(
        html,
        "<p class='dim'>{}, {} cores{virtual_machine}, {:.0} GB, Linux {}; {}; load before: {:.1}; {}. \
         Measured {}, {} s warm-up and {} s for each run. Again: <code>{}</code></p>",
        escape(&machine.processor),
        machine.cores,
        machine.memory_bytes as f64 / 1e9,
        escape(&machine.kernel),
        escape(&machine.rustc),
        machine.load_before,
        escape(&machine.condition()),
        escape(&record.began),
        record.warm_up_seconds,
        record.window_seconds,
        escape(&record.command),
    );
    html
}

/// The load of an open-loop case, per cent.
fn share(case: &Case) -> Option<f64> {
    match case.kind {
        Kind::Traffic(Traffic { shape: Shape::Open { share }, .. }) => Some(share * 100.0),
        _ => None,
    }
}

fn section(html: &mut String, record: &Record, case: &Case) {
    let (title, what) = (escape(case.title), escape(&record.what(case)));
    put!(html, "\n<h2 id='{}'>{title}</h2><p>{what}</p>", case.name);
    let leading = case.metrics[0];
    let part = (leading == Metric::Cpu).then_some(Metric::CpuUser);
    let of_server = |(server, total): (&crate::record::ServerInfo, _)| Bar {
        name: server.name.clone(),
        total,
        part: part.and_then(|part| Some(record.summary(case, &server.name, part)?.median)),
        is_ours: server.name.starts_with(OURS),
        is_apart: is_apart(record, &server.name),
    };
    html.push_str(&bars(
        leading,
        &record.ranking(case).into_iter().map(of_server).collect::<Vec<_>>(),
    ));
    if case.kind == Kind::Correctness {
        cost_against_violations(html, record);
        violations(html, record);
    }
    remarks(html, record, case);
    put!(html, "<details><summary>{}: the table</summary>", escape(case.title));
    table(html, record, case);
    put!(html, "</details>");
}

/// Whether it was held against the cases, and broke a MUST.
fn is_apart(record: &Record, server: &str) -> bool {
    record.broken(server, Level::Must).is_some_and(|broken| broken > 0)
}

/// The case whose CPU time stands for what a server costs.
const COST: &str = "keep-alive";

/// What a server costs, and what it leaves out.
fn cost_against_violations(html: &mut String, record: &Record) {
    let Some(cost) = record.cases.iter().find(|case| case.name == COST) else { return };
    let point = |server: &crate::record::ServerInfo| {
        let [must, should] = [Level::Must, Level::Should].map(|l| record.broken(&server.name, l));
        Some(Point {
            name: server.name.clone(),
            x: record.summary(cost, &server.name, Metric::Cpu)?.median,
            y: (must? + should?) as f64,
            is_ours: server.name.starts_with(OURS),
            is_apart: must? > 0,
        })
    };
    let all = record.servers.iter().filter(|server| !server.name.ends_with(AGAIN));
    let points: Vec<Point> = all.filter_map(point).collect();
    if points.is_empty() {
        return;
    }
    put!(
        html,
        "<h3>Cost against violations</h3><p>To the right: server CPU for each keep-alive request, \
         µs, logarithmic. Upwards: clauses that are not kept, MUST and SHOULD. Full points keep \
         every MUST, hollow ones do not. Better is left and down.</p>{}",
        scatter(Metric::Cpu, "clauses not kept", &points)
    );
}

/// Which clauses each server does not keep, with the line that shows it.
fn violations(html: &mut String, record: &Record) {
    for run in record.runs.iter().filter(|run| !run.violations.is_empty()) {
        let [must, should] = [Level::Must, Level::Should].map(|l| record.broken(&run.server, l));
        put!(
            html,
            "<details><summary>{}: {} MUST, {} SHOULD</summary><ul>",
            escape(&run.server),
            must.unwrap_or(0),
            should.unwrap_or(0)
        );
        for violation in &run.violations {
            let Violation { case, level, clause, asks, seen, line } = violation;
            let [case, clause, asks, seen, line] =
                [case, clause, asks, seen, line].map(|text| escape(text));
            put!(html, "<li><b>{level}</b>, {clause}: {asks}. <i>{case}</i>: {seen}");
            put!(html, "<pre>{line}</pre>");
        }
        put!(html, "</ul></details>");
    }
}

fn table(html: &mut String, record: &Record, case: &Case) {
    // What is done once has no extremes.
    let is_repeated = record.ranking(case).iter().any(|(_, leading)| leading.count > 1);
    put!(html, "<div class='scroll'><table><tr><th>server");
    for (index, metric) in case.metrics.iter().enumerate() {
        let extremes = if index == 0 && is_repeated { "<th>least<th>most<th>runs" } else { "" };
        put!(html, "<th>{}{extremes}", escape(metric.label()));
    }
    let places = Places::of(record, case);
    for head in places.heads() {
        put!(html, "<th>{head}");
    }
    for (server, leading) in record.ranking(case) {
        let class = if server.name.starts_with(OURS) { " class='ours'" } else { "" };
        put!(html, "<tr{class}><td>{}", escape(&server.name));
        for (index, metric) in case.metrics.iter().enumerate() {
            let summary = record.summary(case, &server.name, *metric);
            put!(
                html,
                "<td>{}",
                summary.map_or_else(|| "–".to_owned(), |s| metric.format(s.median))
            );
            if index == 0 && is_repeated {
                let (min, max) = (metric.format(leading.min), metric.format(leading.max));
                put!(html, "<td>{min}<td>{max}<td>{}", leading.count);
            }
        }
        for cell in places.cells(&server.name) {
            put!(html, "<td>{cell}");
        }
    }
    put!(html, "</table></div>");
}

/// Noise floor, warnings, refusals.
fn remarks(html: &mut String, record: &Record, case: &Case) {
    put!(html, "<ul>");
    if let Some(floor) = record.noise_floor(case) {
        let metric = case.metrics[0];
        put!(
            html,
            "<li>A/A: the same server twice: {} and {}, {:.1} % apart. What differs by less says \
             nothing.",
            metric.format(floor.a),
            metric.format(floor.b),
            floor.distance * 100.0
        );
    }
    let warnings: Vec<String> =
        record.servers.iter().filter_map(|server| record.warnings(case, &server.name)).collect();
    if !warnings.is_empty() {
        put!(html, "<li><details><summary>{} servers with remarks</summary><ul>", warnings.len());
        for warning in warnings {
            put!(html, "<li>{}", escape(&warning));
        }
        put!(html, "</ul></details>");
    }
    for run in record.refused(case) {
        let reasons = escape(&run.refused.join("; "));
        put!(
            html,
            "<li class='bad'>Refused: {}, round {}: {reasons}",
            escape(&run.server),
            run.round + 1
        );
    }
    put!(html, "</ul>");
}

/// All open-loop cases in one plot.
fn open_loop(html: &mut String, record: &Record) {
    let metric = Metric::LatencyP99;
    let of_server = |server: &crate::record::ServerInfo| {
        let point =
            |case: &Case| Some((share(case)?, record.summary(case, &server.name, metric)?.median));
        let points: Vec<(f64, f64)> = record.cases.iter().filter_map(point).collect();
        let is_ours = server.name.starts_with(OURS);
        (!points.is_empty()).then(|| Line { name: server.name.clone(), points, is_ours })
    };
    let all: Vec<Line> = record.servers.iter().filter_map(of_server).collect();
    put!(
        html,
        "\n<h2 id='open'>Open loop: 99th percentile over load</h2><p>Microseconds, over the \
         share of what each server reached with two cores. Requests begin at random moments; \
         latency counts from the intended one.</p>{}",
        lines(metric, &all)
    );
}

fn who(html: &mut String, record: &Record) {
    put!(html, "\n<h2 id='who'>Who took part</h2><div class='scroll'><table class='text'>");
    put!(html, "<tr><th>server<th>what<th>version");
    for server in record.servers.iter().filter(|server| !server.name.ends_with(AGAIN)) {
        let (name, what) = (escape(&server.name), escape(&server.what));
        let (notes, version) = (escape(&server.notes), escape(&server.version));
        put!(html, "<tr><td>{name}<td>{what}<br><span class='dim'>{notes}</span><td>{version}");
    }
    put!(html, "</table></div><ul>");
    for absent in &record.absent {
        put!(html, "<li class='dim'>absent: {}", escape(&absent_line(absent)));
    }
    put!(html, "</ul>");
}

fn raw(html: &mut String, record: &Record) -> Result<()> {
    let json = escape(&serde_json::to_string_pretty(record)?);
    put!(html, "\n<h2 id='raw'>Raw data</h2><details><summary>JSON, {} runs", record.runs.len());
    put!(html, "</summary><pre>{json}</pre></details>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::{gated, record};

    #[test]
    fn the_page_shows_everything_and_needs_no_network() {
        let record = record(&[("helloop", 2.0, false), ("b", 3.0, false), ("b", 1.0, true)]);
        let html = page(&record).unwrap();
        for wanted in
            ["<svg", "class='ours'", "Refused: b, round 1: because", "&lt;what&gt;", "2.00"]
        {
            assert!(html.contains(wanted), "{wanted} is missing");
        }
        assert!(!html.contains(" apart'"), "nobody was held against the cases");
        assert!(html.contains("&quot;case&quot;") || html.contains("\"case\": \"keep-alive\""));
        let gated = page(&gated()).unwrap();
        for wanted in [
            "class='other apart'",
            "Cost against violations",
            "b: 1 MUST, 1 SHOULD",
            "&amp;amp; done",
        ] {
            assert!(gated.contains(wanted), "{wanted} is missing");
        }
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!html.contains(outside), "{outside} leads out of the page");
        }
    }
}
