//! One panel: lines over time with an axis, their names at their ends.

use super::{HEIGHT, LABEL, LEFT, PANEL};
use crate::svg::{TEXT, escape, line};

/// What is in a panel.
pub(super) struct Panel {
    pub(super) title: String,
    /// Written at the right of the title.
    pub(super) side: String,
    pub(super) scale: Scale,
    /// Values with a line across, and what is written beside.
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) lines: Vec<Line>,
    /// A value that has a broken line, and its name.
    pub(super) limit: Option<(f64, String)>,
}

/// A line.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) colour: &'static str,
    /// Time and value.
    pub(super) points: Vec<(f64, f64)>,
}

/// From values to heights.
pub(super) enum Scale {
    /// From 0.
    Linear { high: f64 },
    /// From a power of ten to another.
    Logarithmic { low: i32, high: i32 },
}

impl Scale {
    pub(super) fn linear(high: f64) -> Scale {
        Scale::Linear { high }
    }

    /// With all from `low` to `high`.
    #[allow(clippy::cast_possible_truncation, reason = "logarithms are small")]
    pub(super) fn logarithmic(low: f64, high: f64) -> Scale {
        let low = low.max(0.001).log10().floor() as i32;
        Scale::Logarithmic { low, high: (high.max(0.001).log10().ceil() as i32).max(low + 1) }
    }

    /// The powers of ten.
    pub(super) fn powers(&self) -> Vec<(f64, String)> {
        let Scale::Logarithmic { low, high } = *self else { return Vec::new() };
        let powers = (low..=high).map(|power| 10_f64.powi(power));
        powers.map(|power| (power, format!("{power}"))).collect()
    }

    /// Between 0 at the bottom and 1 at the top.
    fn height(&self, value: f64) -> f64 {
        let height = match *self {
            Scale::Linear { high } => value / high,
            Scale::Logarithmic { low, high } => {
                (value.max(1e-9).log10() - f64::from(low)) / f64::from(high - low)
            }
        };
        height.clamp(0.0, 1.0)
    }
}

impl Panel {
    /// Draws it with its upper end at `top`; `place` says where a time is.
    pub(super) fn draw(&self, svg: &mut String, top: f64, place: impl Fn(f64) -> f64) {
        let y = |value: f64| top + HEIGHT * (1.0 - self.scale.height(value));
        self.titles(svg, top);
        let end = LEFT + PANEL;
        for (value, label) in &self.ticks {
            let (y, x) = (y(*value), LEFT - 8.0);
            let base = y + 4.0;
            line(
                svg,
                &format!(
                    "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"{TEXT}\" stroke-opacity=\"0.35\"/>"
                ),
            );
            line(
                svg,
                &format!(
                    "<text x=\"{x}\" y=\"{base:.1}\" text-anchor=\"end\" font-size=\"12\">{label}</text>"
                ),
            );
        }
        if let Some((value, _)) = &self.limit {
            let y = y(*value);
            line(
                svg,
                &format!(
                    "<path d=\"M{LEFT} {y:.1}H{end}\" stroke=\"{TEXT}\" stroke-width=\"1.5\" \
                     stroke-dasharray=\"5 4\"/>"
                ),
            );
        }
        for Line { colour, points, .. } in &self.lines {
            let points: Vec<String> = points
                .iter()
                .map(|(time, value)| format!("{:.1},{:.1}", place(*time), y(*value)))
                .collect();
            let points = points.join(" ");
            line(
                svg,
                &format!(
                    "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" \
                     stroke-width=\"1.6\" stroke-linejoin=\"round\"/>"
                ),
            );
        }
        self.names(svg, y);
    }

    fn titles(&self, svg: &mut String, top: f64) {
        let (y, end) = (top - 10.0, LEFT + PANEL);
        let (title, side) = (escape(&self.title), escape(&self.side));
        line(svg, &format!("<text x=\"{LEFT}\" y=\"{y:.1}\" font-weight=\"600\">{title}</text>"));
        line(
            svg,
            &format!(
                "<text x=\"{end}\" y=\"{y:.1}\" text-anchor=\"end\" font-size=\"12\">{side}</text>"
            ),
        );
    }

    /// Names at the ends of lines, not on top of each other.
    fn names(&self, svg: &mut String, y: impl Fn(f64) -> f64) {
        let lines = self.lines.iter().map(|line| {
            let end = line.points.last().map_or(0.0, |point| point.1);
            (y(end), line.name.as_str(), line.colour)
        });
        let limit = self.limit.iter().map(|(value, name)| (y(*value), name.as_str(), TEXT));
        let mut names: Vec<_> = lines.chain(limit).collect();
        names.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (x, mut above) = (LEFT + PANEL + 8.0, f64::MIN);
        for (at, name, colour) in names {
            let at = at.max(above + LABEL);
            above = at;
            let (base, name) = (at + 4.0, escape(name));
            line(svg, &format!("<text x=\"{x}\" y=\"{base:.1}\" fill=\"{colour}\">{name}</text>"));
        }
    }
}
