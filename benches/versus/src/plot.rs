//! Plots as inline SVG. Colours come from the page's style sheet.

use std::fmt::Write;

use crate::figures::Metric;
use crate::statistics::{Summary, summarise};

/// Appends to a `String`, which takes everything.
macro_rules! put {
    ($to:expr, $($text:tt)*) => { write!($to, $($text)*).expect("a String takes everything") };
}

/// Units of the view box; the page scales it.
const WIDTH: f64 = 860.0;
const NAMES_WIDTH: f64 = 180.0;
const VALUES_WIDTH: f64 = 130.0;
const ROW: f64 = 24.0;
const BAR: f64 = 14.0;
const AXIS: f64 = 26.0;
/// A bar that is longer than so many times the median bar is cut, so that the others can be seen.
const LONGEST: f64 = 3.0;

/// One bar.
#[derive(Clone, Debug)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) total: Summary,
    /// A part of the total that is shown in a darker colour.
    pub(crate) part: Option<f64>,
    /// Stands out.
    pub(crate) is_ours: bool,
    /// Breaks a MUST: ranked apart.
    pub(crate) is_apart: bool,
}

/// Horizontal bars with their extremes, in the given order.
pub(crate) fn bars(metric: Metric, bars: &[Bar]) -> String {
    let medians = bars.iter().map(|bar| bar.total.median);
    let Some(all) = summarise(medians) else { return String::new() };
    let end = nice_end(all.max.min(all.median * LONGEST));
    let room = WIDTH - NAMES_WIDTH - VALUES_WIDTH;
    let x = |value: f64| NAMES_WIDTH + room * (value / end).clamp(0.0, 1.0);
    let height = ROW * bars.len() as f64 + AXIS;
    let mut svg = open(height, &format!("{}, one bar for each server", metric.label()));
    for value in ticks(end) {
        let (at, bottom) = (x(value), height - AXIS);
        put!(svg, "<line class='grid' x1='{at:.1}' y1='0' x2='{at:.1}' y2='{bottom:.1}'/>");
        let (y, text) = (height - 8.0, metric.format(value));
        put!(svg, "<text class='tick' x='{at:.1}' y='{y:.1}' text-anchor='middle'>{text}</text>");
    }
    for (index, bar) in bars.iter().enumerate() {
        one_bar(&mut svg, metric, bar, ROW * index as f64, &x, end);
    }
    svg + END
}

fn one_bar(
    svg: &mut String,
    metric: Metric,
    bar: &Bar,
    top: f64,
    x: &dyn Fn(f64) -> f64,
    end: f64,
) {
    let Summary { median, min, max, .. } = bar.total;
    let (middle, y) = (top + ROW / 2.0, top + (ROW - BAR) / 2.0);
    let class = class(bar.is_ours, bar.is_apart);
    let (zero, to) = (x(0.0), x(median));
    let (name, names_end, text_y) = (escape(&bar.name), NAMES_WIDTH - 8.0, middle + 4.0);
    put!(svg, "<g class='{class}'><title>{name}: {} ", metric.format(median));
    put!(svg, "({} to {})</title>", metric.format(min), metric.format(max));
    put!(svg, "<text class='name' x='{names_end}' y='{text_y:.1}' text-anchor='end'>{name}</text>");
    put!(svg, "<rect x='{zero:.1}' y='{y:.1}' width='{:.1}' height='{BAR}'/>", to - zero);
    if let Some(part) = bar.part {
        let width = x(part.min(median)) - zero;
        put!(
            svg,
            "<rect class='part' x='{zero:.1}' y='{y:.1}' width='{width:.1}' height='{BAR}'/>"
        );
    }
    if median > end {
        let (a, b, bottom) = (to - 14.0, to - 8.0, y + BAR + 2.0);
        put!(svg, "<path class='cut' d='M{a:.1} {bottom:.1}L{b:.1} {:.1}", y - 2.0);
        put!(svg, "M{:.1} {bottom:.1}L{:.1} {:.1}'/>", a + 5.0, b + 5.0, y - 2.0);
    } else {
        let (from, until) = (x(min), x(max));
        put!(svg, "<path class='range' d='M{from:.1} {middle:.1}H{until:.1}'/>");
    }
    let label_x = x(max).max(to) + 6.0;
    let label = metric.format(median);
    put!(svg, "<text class='value' x='{label_x:.1}' y='{text_y:.1}'>{label}</text></g>");
}

fn class(is_ours: bool, is_apart: bool) -> &'static str {
    match (is_ours, is_apart) {
        (true, false) => "ours",
        (true, true) => "ours apart",
        (false, false) => "other",
        (false, true) => "other apart",
    }
}

/// One server of [`scatter`].
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) name: String,
    /// Positive.
    pub(crate) x: f64,
    /// Not negative.
    pub(crate) y: f64,
    pub(crate) is_ours: bool,
    /// Breaks a MUST.
    pub(crate) is_apart: bool,
}

/// Points over a metric, whose axis is logarithmic; upwards, counts of `what`.
pub(crate) fn scatter(metric: Metric, what: &str, points: &[Point]) -> String {
    const HEIGHT: f64 = 460.0;
    const SIZE: f64 = 6.5;
    let Some(xs) = summarise(points.iter().map(|point| point.x)) else { return String::new() };
    let most = points.iter().map(|point| point.y).fold(4.0, f64::max);
    let end = nice_end(most);
    let (left, right, top, bottom) = (60.0, WIDTH - 120.0, 24.0, HEIGHT - 44.0);
    let (low, high) = ((xs.min / 1.15).ln(), (xs.max * 1.15).ln());
    let x = |value: f64| left + (right - left) * (value.ln() - low) / (high - low);
    let y = |value: f64| bottom - (bottom - top) * value / end;
    let mut svg = open(HEIGHT, &format!("{what} over {}", metric.label()));
    for value in ticks(end) {
        let (at, text) = (y(value), format!("{value:.0}"));
        put!(svg, "<line class='grid' x1='{left}' y1='{at:.1}' x2='{right}' y2='{at:.1}'/>");
        let (text_x, text_y) = (left - 8.0, at + 4.0);
        put!(
            svg,
            "<text class='tick' x='{text_x}' y='{text_y:.1}' text-anchor='end'>{text}</text>"
        );
    }
    for value in logarithmic_ticks(low.exp(), high.exp()) {
        let (at, text, foot) = (x(value), value.to_string(), bottom + 16.0);
        put!(svg, "<line class='grid' x1='{at:.1}' y1='{top}' x2='{at:.1}' y2='{bottom}'/>");
        put!(svg, "<text class='tick' x='{at:.1}' y='{foot}' text-anchor='middle'>{text}</text>");
    }
    let (middle, foot) = (f64::midpoint(left, right), bottom + 34.0);
    let label = metric.label();
    put!(svg, "<text class='tick' x='{middle}' y='{foot}' text-anchor='middle'>{label}</text>");
    put!(svg, "<text class='tick' x='4' y='12'>{}</text>", escape(what));
    let mut taken: Vec<[f64; 4]> = points
        .iter()
        .map(|point| around(x(point.x) - SIZE, y(point.y), 2.0 * SIZE, 2.0 * SIZE))
        .collect();
    for point in points {
        let (at_x, at_y) = (x(point.x), y(point.y));
        let width = 7.2 * point.name.chars().count() as f64;
        let place = free_place(&taken, at_x + SIZE + 3.0, at_y, width, top);
        taken.push(around(at_x + SIZE + 3.0, place, width, 13.0));
        let name = escape(&point.name);
        put!(svg, "<g class='{}'>", class(point.is_ours, point.is_apart));
        put!(svg, "<title>{name}: {}, {:.0}</title>", metric.format(point.x), point.y);
        put!(svg, "<circle cx='{at_x:.1}' cy='{at_y:.1}' r='{SIZE}'/>");
        let (text_x, text_y) = (at_x + SIZE + 3.0, place + 4.0);
        if (place - at_y).abs() > 1.0 {
            put!(svg, "<path class='leader' d='M{at_x:.1} {at_y:.1}L{text_x:.1} {place:.1}'/>");
        }
        put!(svg, "<text class='name' x='{text_x:.1}' y='{text_y:.1}'>{name}</text></g>");
    }
    svg + END
}

/// A box of this width and height, from `left`, around the height `middle`.
fn around(left: f64, middle: f64, width: f64, height: f64) -> [f64; 4] {
    [left, middle - height / 2.0, left + width, middle + height / 2.0]
}

/// The height next to `middle` where a label overlaps nothing.
fn free_place(taken: &[[f64; 4]], left: f64, middle: f64, width: f64, top: f64) -> f64 {
    let is_free = |place: f64| {
        let [a, b, c, d] = around(left, place, width, 13.0);
        place >= top && taken.iter().all(|t| c <= t[0] || t[2] <= a || d <= t[1] || t[3] <= b)
    };
    let offsets = (0..80).flat_map(|step| [-3.5 * f64::from(step), 3.5 * f64::from(step)]);
    let mut places = offsets.map(|offset| middle + offset);
    places.find(|place| is_free(*place)).unwrap_or(middle)
}

/// One line.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// `(x, y)`, from left to right; `y` is positive.
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) is_ours: bool,
}

/// Lines over a share in per cent; the vertical axis is logarithmic.
pub(crate) fn lines(metric: Metric, lines: &[Line]) -> String {
    const HEIGHT: f64 = 420.0;
    let ys = lines.iter().flat_map(|line| line.points.iter().map(|point| point.1));
    let Some(all) = summarise(ys.filter(|y| *y > 0.0)) else { return String::new() };
    let (low, high) = (all.min.log10().floor(), all.max.log10().ceil().max(all.min.log10() + 1.0));
    let (left, right) = (84.0, WIDTH - 150.0);
    let x = |share: f64| left + (right - left) * (share - 20.0) / 75.0;
    let y = |value: f64| (HEIGHT - AXIS) * (1.0 - (value.log10() - low) / (high - low));
    let mut svg = open(HEIGHT, &format!("{} over load", metric.label()));
    let mut decade = low;
    while decade <= high {
        let (at, text) = (y(10f64.powf(decade)).max(1.0), metric.format(10f64.powf(decade)));
        put!(svg, "<line class='grid' x1='{left}' y1='{at:.1}' x2='{right}' y2='{at:.1}'/>");
        let (text_x, text_y) = (left - 8.0, at + 4.0_f64.max(10.0 - at));
        put!(
            svg,
            "<text class='tick' x='{text_x}' y='{text_y:.1}' text-anchor='end'>{text}</text>"
        );
        decade += 1.0;
    }
    for share in [25.0, 50.0, 75.0, 90.0] {
        let (at, bottom) = (x(share), HEIGHT - 8.0);
        put!(
            svg,
            "<text class='tick' x='{at:.1}' y='{bottom}' text-anchor='middle'>{share} %</text>"
        );
    }
    let ends = lines.iter().map(|line| line.points.last().map_or(0.0, |point| y(point.1)));
    let labels = spread(&ends.collect::<Vec<f64>>(), 13.0, HEIGHT - AXIS);
    for (line, label_y) in lines.iter().zip(labels) {
        let class = if line.is_ours { "ours" } else { "other" };
        let to = |(share, value): &(f64, f64)| format!("{:.1} {:.1}", x(*share), y(*value));
        let path: Vec<String> = line.points.iter().map(to).collect();
        let name = escape(&line.name);
        put!(svg, "<g class='{class}'><title>{name}</title>");
        put!(svg, "<path class='line' d='M{}'/>", path.join("L"));
        for (share, value) in &line.points {
            put!(svg, "<circle cx='{:.1}' cy='{:.1}' r='2.5'/>", x(*share), y(*value));
        }
        if let Some(end) = line.points.last() {
            let (from_x, from_y, label_x) = (x(end.0) + 4.0, y(end.1), right + 26.0);
            let to_x = label_x - 3.0;
            put!(svg, "<path class='leader' d='M{from_x:.1} {from_y:.1}L{to_x:.1} {label_y:.1}'/>");
            let text_y = label_y + 4.0;
            put!(svg, "<text class='value' x='{label_x}' y='{text_y:.1}'>{name}</text>");
        }
        svg.push_str("</g>");
    }
    svg + END
}

/// Moves labels at `positions` apart until they are `gap` from each other, within `0..=end` if they
/// fit. The order stays.
fn spread(positions: &[f64], gap: f64, end: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..positions.len()).collect();
    order.sort_by(|&a, &b| positions[a].total_cmp(&positions[b]));
    let mut placed = positions.to_vec();
    let mut least = gap / 2.0;
    for &index in &order {
        placed[index] = placed[index].max(least);
        least = placed[index] + gap;
    }
    let mut most = end;
    for &index in order.iter().rev() {
        placed[index] = placed[index].min(most);
        most = placed[index] - gap;
    }
    placed
}

fn open(height: f64, title: &str) -> String {
    let title = escape(title);
    format!(
        "<div class='scroll'><svg viewBox='0 0 {WIDTH} {height:.0}' role='img' aria-label='{title}'>"
    )
}

/// What closes [`open`].
const END: &str = "</svg></div>";

/// From 0 to a [`nice_end`], at round numbers.
fn ticks(end: f64) -> impl Iterator<Item = f64> {
    let mantissa = end / 10f64.powf((end * 1.001).log10().floor());
    let is_one_of = |all: [f64; 3]| all.iter().any(|one| (mantissa - one).abs() < 0.01);
    let parts = match () {
        () if is_one_of([1.5, 3.0, 6.0]) => 3,
        () if is_one_of([2.0, 4.0, 8.0]) => 4,
        () => 5,
    };
    (0..=parts).map(move |tick| end * f64::from(tick) / f64::from(parts))
}

/// More than any figure has: from a thousandth.
const DECADES: std::ops::RangeInclusive<i32> = -3..=9;

/// 1, 2, 3 or 5 times a power of ten, from `low` to `high`.
fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let all = DECADES.flat_map(|decade| {
        // A division, so that 0.3 is written as that.
        let scale = 10f64.powi(decade.abs());
        [1.0, 2.0, 3.0, 5.0].map(|step| if decade < 0 { step / scale } else { step * scale })
    });
    all.filter(|value| (low..=high).contains(value)).collect()
}

/// The next round number: 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten.
fn nice_end(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value * 0.999).unwrap_or(10.0);
    step * power
}

/// For HTML and attributes.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(name: &str, median: f64) -> Bar {
        let total = Summary { median, min: median, max: median, count: 3 };
        Bar { name: name.into(), total, part: Some(median / 2.0), is_ours: false, is_apart: false }
    }

    #[test]
    fn long_bars_are_cut_so_that_short_ones_can_be_seen() {
        let svg = bars(Metric::Cpu, &[bar("a", 1.0), bar("b", 2.0), bar("<c>", 50.0)]);
        assert_eq!(svg.matches("class='cut'").count(), 1);
        assert!(svg.contains("&lt;c&gt;") && svg.contains(">50.0<"), "{svg}");
        assert_eq!(bars(Metric::Cpu, &[]), "");
    }

    #[test]
    fn labels_of_points_do_not_overlap() {
        let point = |name: &str, x| Point {
            name: name.into(),
            x,
            y: 3.0,
            is_ours: false,
            is_apart: x > 5.0,
        };
        let svg = scatter(
            Metric::Cpu,
            "clauses",
            &[point("a", 5.0), point("<b>", 5.01), point("c", 40.0)],
        );
        assert_eq!(svg.matches("<circle").count(), 3);
        assert_eq!(svg.matches("class='other apart'").count(), 2);
        assert_eq!(svg.matches("class='leader'").count(), 1, "{svg}");
        assert!(svg.contains("&lt;b&gt;"));
        assert_eq!(scatter(Metric::Cpu, "clauses", &[]), "");
        let taken = [around(0.0, 50.0, 100.0, 13.0)];
        assert_eq!(free_place(&taken, 10.0, 20.0, 30.0, 0.0), 20.0);
        let place = free_place(&taken, 10.0, 50.0, 30.0, 0.0);
        assert!((place - 50.0).abs() >= 13.0 && (place - 50.0).abs() < 20.0, "{place}");
    }

    #[test]
    fn ends_are_round() {
        let ends = [0.3, 1.01, 7.0, 95.0, 100.0].map(nice_end);
        for (end, wanted) in ends.into_iter().zip([0.3, 1.5, 8.0, 100.0, 100.0]) {
            assert!((end - wanted).abs() < 1e-9, "{end} instead of {wanted}");
        }
    }

    #[test]
    fn ticks_stand_at_round_numbers() {
        let all = |end| ticks(end).collect::<Vec<f64>>();
        assert_eq!(all(50.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0]);
        assert_eq!(all(1.5), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(all(80.0), [0.0, 20.0, 40.0, 60.0, 80.0]);
        assert_eq!(all(1.0).len(), 6);
        assert_eq!(logarithmic_ticks(0.25, 25.0), [0.3, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0]);
    }

    #[test]
    fn labels_are_moved_apart_in_order() {
        assert_eq!(spread(&[50.0, 50.0, 10.0], 10.0, 100.0), [50.0, 60.0, 10.0]);
        assert_eq!(spread(&[99.0, 98.0], 10.0, 100.0), [100.0, 90.0]);
    }

    #[test]
    fn a_line_has_a_point_for_each_load() {
        let line =
            Line { name: "a".into(), points: vec![(25.0, 10.0), (90.0, 900.0)], is_ours: true };
        let svg = lines(Metric::LatencyP99, &[line]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.contains("class='ours'"));
    }
}
