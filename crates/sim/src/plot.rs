//! The picture: for each trace and size, the hit ratio of each policy relative to LRU's, as SVG.
//! All panels have the same scale.

use std::fmt::Write as _;

use crate::policy::Named;
use crate::simulate::Point;
use crate::svg;
use crate::svg::{BLUE as BETTER, GREEN as OURS, RUST as WORSE, TEXT, escape, line};

/// The panels are this wide (there are two in a row), and so far apart.
const PANEL: f64 = 430.0;
const BETWEEN: f64 = 30.0;
/// Above the first panel: title and legend.
const HEAD: f64 = 92.0;
/// Of a panel: its title, a bar with its space, and the space below.
const TITLE: f64 = 34.0;
const ROW: f64 = 21.0;
const BELOW: f64 = 26.0;
const BAR: f64 = 13.0;
/// The places in a panel for the names of policies and for the figures at the ends of bars.
const NAMES: f64 = 104.0;
const FIGURES: f64 = 46.0;

/// Draws all policies but LRU (the zero) and Belady (named in the titles).
///
/// `None` without LRU, other policies and points.
#[must_use]
pub fn svg(points: &[Point], policies: &[Named], credits: &[&str]) -> Option<String> {
    let at = |name: &str| policies.iter().position(|policy| policy.name == name);
    let lru = at("lru")?;
    let belady = at("belady");
    let shown: Vec<usize> =
        (0..policies.len()).filter(|&policy| policy != lru && Some(policy) != belady).collect();
    let gains = points.iter().flat_map(|point| shown.iter().map(|&at| gain(point, at, lru)));
    let (low, high) =
        gains.fold((0.0_f64, 0.0_f64), |(low, high), gain| (low.min(gain), high.max(gain)));
    if points.is_empty() || shown.is_empty() {
        return None;
    }
    let scale = Scale { low, high: high.max(low + 0.1) };
    let panel = TITLE + ROW * shown.len() as f64 + BELOW;
    let rows = points.len().div_ceil(2) as f64;
    let width = 2.0 * PANEL + BETWEEN;
    let height = HEAD + rows * panel + 16.0 * credits.len() as f64 + 6.0;
    let mut svg = svg::open(width, height);
    head(&mut svg);
    for (number, point) in points.iter().enumerate() {
        let x = (PANEL + BETWEEN) * (number % 2) as f64;
        let y = HEAD + panel * (number / 2) as f64;
        title(&mut svg, (x, y), point, lru, belady);
        for (row, &policy) in shown.iter().enumerate() {
            let y = y + TITLE + ROW * row as f64;
            bar(&mut svg, (x, y), &policies[policy], gain(point, policy, lru), &scale);
        }
        let zero = x + scale.place(0.0);
        let (top, end) = (y + TITLE - 3.0, y + TITLE + ROW * shown.len() as f64 - 3.0);
        line(&mut svg, &format!("<path d=\"M{zero:.1} {top:.1}V{end:.1}\" stroke=\"{TEXT}\"/>"));
    }
    for (number, credit) in credits.iter().enumerate() {
        let y = HEAD + rows * panel + 16.0 * number as f64;
        line(&mut svg, &format!("<text y=\"{y:.1}\" font-size=\"11\">{}</text>", escape(credit)));
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// Points of percentage above LRU.
fn gain(point: &Point, policy: usize, lru: usize) -> f64 {
    (point.ratios[policy] - point.ratios[lru]) * 100.0
}

/// From points of percentage to places in a panel.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn place(&self, gain: f64) -> f64 {
        // Bars to the left have their figures to the left.
        let left = NAMES + if self.low < 0.0 { FIGURES } else { 0.0 };
        left + (PANEL - FIGURES - left) * (gain - self.low) / (self.high - self.low)
    }
}

fn head(svg: &mut String) {
    svg::title(svg, "Hit ratio against LRU, in percentage points");
    let what = "Simulated, all items of one size, with room for a share of a trace's items. \
                Best possible: Belady's MIN, which knows the future.";
    svg::subtitle(svg, what);
    let legend = [(OURS, "Larder's engine"), (BETTER, "above LRU"), (WORSE, "below LRU")];
    let mut x = 0.0;
    for (colour, text) in legend {
        let start = x + 17.0;
        line(
            svg,
            &format!(
                "<rect x=\"{x:.0}\" y=\"56\" width=\"11\" height=\"11\" rx=\"2\" fill=\"{colour}\"/>"
            ),
        );
        line(svg, &format!("<text x=\"{start:.0}\" y=\"66\">{text}</text>"));
        x = start + 7.0 * text.len() as f64 + 16.0;
    }
}

fn title(svg: &mut String, (x, y): (f64, f64), point: &Point, lru: usize, belady: Option<usize>) {
    let Point { trace, asked, capacity, ratios } = point;
    let size = if asked.ends_with('%') { asked.replace('%', " %") } else { "size".to_owned() };
    let mut side = format!("LRU {:.3}", ratios[lru]);
    if let Some(belady) = belady {
        let _ = write!(side, " · best possible {:+.1}", gain(point, belady, lru));
    }
    let (y, end) = (y + 14.0, x + PANEL);
    let name = escape(trace);
    line(
        svg,
        &format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\"><tspan font-weight=\"600\">{name}</tspan> · {size} ({capacity})</text>"
        ),
    );
    line(
        svg,
        &format!(
            "<text x=\"{end:.1}\" y=\"{y:.1}\" text-anchor=\"end\" font-size=\"12\">{side}</text>"
        ),
    );
}

fn bar(svg: &mut String, (x, y): (f64, f64), policy: &Named, gain: f64, scale: &Scale) {
    let (zero, end) = (x + scale.place(0.0), x + scale.place(gain));
    let colour = match policy.is_ours() {
        true => OURS,
        false if gain < 0.0 => WORSE,
        false => BETTER,
    };
    let (left, width) = (zero.min(end), (end - zero).abs().max(0.5));
    let weight = if policy.is_ours() { " font-weight=\"600\"" } else { "" };
    let (name, base) = (escape(&policy.title()), y + 11.0);
    line(svg, &format!("<text x=\"{x:.1}\" y=\"{base:.1}\"{weight}>{name}</text>"));
    line(
        svg,
        &format!(
            "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\" fill=\"{colour}\"/>"
        ),
    );
    let (label, anchor) = if gain < 0.0 { (end - 5.0, "end") } else { (end + 5.0, "start") };
    let figure = format!("{gain:+.1}").replace('-', "\u{2212}");
    line(
        svg,
        &format!(
            "<text x=\"{label:.1}\" y=\"{base:.1}\" text-anchor=\"{anchor}\" font-size=\"12\"{weight}>{figure}</text>"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_but_lru_and_belady_has_a_bar() {
        let policies = ["lru", "engine", "fifo", "belady"].map(|name| Named::parse(name).unwrap());
        let point = Point {
            trace: "a<b".into(),
            asked: "1%".into(),
            capacity: 7,
            ratios: vec![0.5, 0.55, 0.4, 0.7],
        };
        let svg = svg(&[point.clone(), point], &policies, &["by A & B"]).unwrap();
        assert_eq!(svg.matches("height=\"13\"").count(), 4);
        for part in
            ["a&lt;b", "1 % (7)", "LRU 0.500", "+20.0", ">Larder<", "+5.0", "−10.0", "A &amp; B"]
        {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn nothing_to_compare_is_no_picture() {
        let policies = ["fifo", "belady"].map(|name| Named::parse(name).unwrap());
        assert!(svg(&[], &policies, &[]).is_none());
        assert!(svg(&[], &[Named::parse("lru").unwrap()], &[]).is_none());
    }
}
