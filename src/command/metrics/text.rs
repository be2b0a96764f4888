//! Figures as text for Prometheus: the text-based format, version 0.0.4, as
//! <https://prometheus.io/docs/instrumenting/exposition_formats/> describes it. It is lines of a name, labels and a
//! number; a client library would bring a registry with locks, which a fold over events does not need.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Counter, Figures, TURN_BOUNDS};

/// The type of what a [`Page`] holds.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The name of a metric, its help, and the figure that it shows.
type Row = (&'static str, &'static str, fn(&Figures) -> &Counter);

/// All that is known about a process.
pub(crate) struct Page {
    /// One for each loop.
    pub(crate) loops: Vec<Arc<Figures>>,
    pub(crate) is_ending: Arc<AtomicBool>,
    /// When the process began: seconds since 1970.
    pub(crate) started: f64,
}

impl Page {
    /// The page as it is now.
    pub(crate) fn render(&self) -> String {
        let mut out = Text(String::with_capacity(8 * 1024));
        self.render_server(&mut out);
        self.render_loops(&mut out);
        out.family("helloop_draining", "gauge", "1 once the server is not ready any more.");
        out.line("helloop_draining", &[], u8::from(self.is_ending.load(Ordering::Relaxed)));
        out.family("helloop_build_info", "gauge", "1; which helloop this is.");
        out.line("helloop_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        let started = "process_start_time_seconds";
        out.family(started, "gauge", "When the process began, in seconds since 1970.");
        out.line(started, &[], self.started);
        out.0
    }

    /// What the connections of all loops did together.
    fn render_server(&self, out: &mut Text) {
        let name = "helloop_requests_total";
        out.family(name, "counter", "Requests answered, refused ones included.");
        for (class, label) in [(2, "2xx"), (3, "3xx"), (4, "4xx"), (5, "5xx")] {
            out.line(name, &[("status", label)], self.sum(|f| &f.responses[class]));
        }
        let counters: [Row; 6] = [
            ("helloop_response_body_bytes_total", "Bytes of the bodies of answers.", |f| {
                &f.body_bytes
            }),
            ("helloop_received_bytes_total", "Bytes read from connections.", |f| &f.received_bytes),
            ("helloop_sent_bytes_total", "Bytes written to connections.", |f| &f.sent_bytes),
            ("helloop_connections_accepted_total", "Connections accepted.", |f| &f.accepted),
            (
                "helloop_accept_backoffs_total",
                "Pauses of a listener for want of descriptors or memory.",
                |f| &f.backoffs,
            ),
            (
                "helloop_accept_full_total",
                "Newcomers that had to wait, because there were as many connections as allowed.",
                |f| &f.full,
            ),
        ];
        for (name, help, figure) in counters {
            out.family(name, "counter", help);
            out.line(name, &[], self.sum(figure));
        }
        let open = self.sum(|f| &f.accepted).saturating_sub(self.sum(|f| &f.ended));
        out.family("helloop_connections_open", "gauge", "Connections that are open.");
        out.line("helloop_connections_open", &[], open);
        out.family("helloop_connections_idle", "gauge", "Of those, that wait for a request.");
        out.line("helloop_connections_idle", &[], self.sum(|f| &f.idle));
        let name = "helloop_connections_ended_total";
        out.family(name, "counter", "Connections that ended, by the reason; refusals have theirs.");
        let mut reasons = BTreeMap::new();
        for figures in &self.loops {
            for (reason, count) in &*figures.reasons() {
                *reasons.entry(*reason).or_insert(0) += count;
            }
        }
        for (reason, count) in reasons {
            out.line(name, &[("reason", reason)], count);
        }
    }

    fn render_loops(&self, out: &mut Text) {
        let counters: [Row; 4] = [
            ("helloop_loop_turns_total", "Turns of the loop.", |f| &f.turns),
            ("helloop_loop_resumes_total", "Tasks resumed.", |f| &f.resumes),
            ("helloop_loop_stalls_total", "Resumes and turns that took too long.", |f| &f.stalls),
            ("helloop_loop_panics_total", "Tasks that panicked, and were removed.", |f| &f.panics),
        ];
        for (name, help, figure) in counters {
            out.family(name, "counter", help);
            self.each(|number, f| out.line(name, &[("loop", number)], figure(f).get()));
        }
        let seconds: [Row; 2] = [
            ("helloop_loop_busy_seconds_total", "Time in which tasks ran.", |f| &f.busy_nanos),
            ("helloop_loop_waiting_seconds_total", "Time in which the loop waited.", |f| {
                &f.waiting_nanos
            }),
        ];
        for (name, help, figure) in seconds {
            out.family(name, "counter", help);
            self.each(|number, f| out.line(name, &[("loop", number)], in_seconds(figure(f))));
        }
        let name = "helloop_loop_utilisation";
        out.family(name, "gauge", "The part of the last seconds in which tasks ran, 0 to 1.");
        self.each(|number, f| out.line(name, &[("loop", number)], f.utilisation()));
        let name = "helloop_loop_lag_seconds";
        out.family(name, "gauge", "How long what became ready had to wait, in the last seconds.");
        self.each(|number, f| out.line(name, &[("loop", number)], f.lag().as_secs_f64()));
        let name = "helloop_loop_turn_seconds";
        out.family(name, "histogram", "How long the turns of the loop were busy.");
        self.each(|number, f| {
            let mut so_far = 0;
            for (bound, count) in TURN_BOUNDS.iter().zip(&f.turns_within) {
                so_far += count.get();
                let bound = bound.as_secs_f64().to_string();
                let labels = [("loop", number), ("le", &bound)];
                out.line("helloop_loop_turn_seconds_bucket", &labels, so_far);
            }
            so_far += f.turns_within[TURN_BOUNDS.len()].get();
            let labels = [("loop", number), ("le", "+Inf")];
            out.line("helloop_loop_turn_seconds_bucket", &labels, so_far);
            let labels = [("loop", number)];
            out.line("helloop_loop_turn_seconds_sum", &labels, in_seconds(&f.busy_nanos));
            out.line("helloop_loop_turn_seconds_count", &labels, so_far);
        });
    }

    fn sum(&self, figure: impl Fn(&Figures) -> &Counter) -> u64 {
        self.loops.iter().map(|figures| figure(figures).get()).sum()
    }

    fn each(&self, mut show: impl FnMut(&str, &Figures)) {
        for (number, figures) in (1..).zip(&self.loops) {
            show(&i32::to_string(&number), figures);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a day has 2^47 ns, an f64 53 bits")]
fn in_seconds(nanos: &Counter) -> f64 {
    nanos.get() as f64 / 1e9
}

/// Lines of the format.
struct Text(String);

impl Text {
    /// What follows belongs to the metric `name`. Neither text has a backslash or a line feed.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (number, (label, text)) in labels.iter().enumerate() {
            let opening = if number == 0 { '{' } else { ',' };
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.push(format_args!("{opening}{label}=\"{text}\""));
        }
        self.push(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut out = Text(String::new());
        out.family("a", "gauge", "What a is.");
        out.line("a", &[("b", "\"c\\\n"), ("d", "e")], 1.5);
        out.line("a", &[], 2);
        let expected =
            "# HELP a What a is.\n# TYPE a gauge\na{b=\"\\\"c\\\\\\n\",d=\"e\"} 1.5\na 2\n";
        assert_eq!(out.0, expected);
    }

    #[test]
    fn figures_of_several_loops_are_added_up_or_shown_each() {
        let loops = vec![Arc::<Figures>::default(), Arc::default()];
        loops[0].responses[2].add(3);
        loops[1].responses[2].add(4);
        loops[1].turns.add(9);
        loops[1].reasons().insert("why", 2);
        loops[0].reasons().insert("why", 1);
        let text = Page { loops, is_ending: Arc::default(), started: 1.5 }.render();
        for line in [
            "helloop_requests_total{status=\"2xx\"} 7",
            "helloop_connections_ended_total{reason=\"why\"} 3",
            "helloop_loop_turns_total{loop=\"1\"} 0",
            "helloop_loop_turns_total{loop=\"2\"} 9",
            "helloop_loop_turn_seconds_bucket{loop=\"2\",le=\"+Inf\"} 0",
            "process_start_time_seconds 1.5",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in:\n{text}");
        }
    }
}
