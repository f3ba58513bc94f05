//! Curves in the characters of a terminal, with a marked line: the evidence of a verdict.
//!
//! Pure: it returns lines of text and knows no terminal; colour and the width of the window are the
//! caller's. Everything is drawn within its bounds, whatever the numbers are: what is not finite
//! leaves a gap.

#[cfg(test)]
mod tests;

use super::canvas::{Canvas, DOTS, Range};

/// Cells across, at most.
const WIDTH_MAX: usize = 400;
/// Cells down, at most.
const HEIGHT_MAX: usize = 100;

/// A drawing: what, how large, and how its axes are lettered.
#[derive(Clone, Copy)]
pub struct Plot<'a> {
    /// Points (x, y) of each curve, in rising x; neighbours are joined by a line.
    pub series: &'a [&'a [(f64, f64)]],
    /// Cells across without the labels of the y axis, 1 to 400; others are moved to the nearer end.
    pub width: usize,
    /// Cells down without the x axis, 2 to 100; others are moved to the nearer end.
    pub height: usize,
    /// A value of y that a horizontal line marks, with its name at the right.
    pub line: Option<(f64, &'a str)>,
    /// Words for a value of x, at both ends of the axis.
    pub x_label: &'a dyn Fn(f64) -> String,
    /// Words for a value of y, beside the first, the middle and the last row.
    pub y_label: &'a dyn Fn(f64) -> String,
}

impl Plot<'_> {
    /// The drawing from top to bottom: `height` rows, the axis and its labels. Empty if no point is
    /// finite.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let (width, height) = (self.width.clamp(1, WIDTH_MAX), self.height.clamp(2, HEIGHT_MAX));
        let points = || self.series.iter().flat_map(|curve| curve.iter()).filter(is_finite);
        let marked = self.line.map(|(y, _)| y).filter(|y| y.is_finite());
        let room = |value: f64| (0.0, value.abs().max(1.0));
        let Some(x) = Range::over(points().map(|(x, _)| *x), room) else { return Vec::new() };
        let Some(y) = Range::over(points().map(|(_, y)| *y).chain(marked), room) else {
            return Vec::new();
        };
        let mut canvas = Canvas::new(width, height);
        for curve in self.series {
            draw(&mut canvas, curve, x, y);
        }
        let line = marked.map(|value| canvas.down(y.part(value)) / DOTS.1);
        self.lettered(&canvas, x, y, line)
    }

    fn lettered(&self, canvas: &Canvas, x: Range, y: Range, line: Option<usize>) -> Vec<String> {
        let last = canvas.rows() - 1;
        let labelled = [0, last / 2, last];
        let text = |row: usize| {
            let at = labelled.contains(&row).then(|| y.at(1.0 - share(row, last)));
            at.map(self.y_label).unwrap_or_default()
        };
        let texts: Vec<String> = (0..=last).map(text).collect();
        let margin = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        let mut lines: Vec<String> = Vec::with_capacity(canvas.rows() + 2);
        for (row, label) in texts.iter().enumerate() {
            let tick = if label.is_empty() { '│' } else { '┤' };
            let is_line = line == Some(row);
            let blank = if is_line { '┈' } else { ' ' };
            let cells: String = canvas.row(row).map(|(dots, _)| dots.unwrap_or(blank)).collect();
            let name = self.line.filter(|_| is_line).map_or("", |(_, name)| name);
            let shown = format!("{label:>margin$} {tick}{cells} {name}");
            lines.push(shown.trim_end().to_owned());
        }
        lines.push(format!("{:margin$} └{}", "", "─".repeat(canvas.width())));
        let (first, end) = ((self.x_label)(x.low), (self.x_label)(x.high));
        let room = canvas.width().saturating_sub(first.chars().count());
        lines.push(format!("{:margin$}  {first}{end:>room$}", "").trim_end().to_owned());
        lines
    }
}

fn is_finite(point: &&(f64, f64)) -> bool {
    point.0.is_finite() && point.1.is_finite()
}

/// The part that `index` is of `last`, which is not zero.
fn share(index: usize, last: usize) -> f64 {
    index as f64 / last as f64
}

/// Joins the neighbours among the points of a curve that are finite.
fn draw(canvas: &mut Canvas, curve: &[(f64, f64)], x: Range, y: Range) {
    let mut before = None;
    for point in curve {
        if !is_finite(&point) {
            before = None;
            continue;
        }
        let dot = (canvas.across(x.part(point.0)), canvas.down(y.part(point.1)));
        canvas.join(before.unwrap_or(dot), dot, 0);
        before = Some(dot);
    }
}
