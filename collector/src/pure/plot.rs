//! Curves in the characters of a terminal: braille dots, two across and four down in a cell.
//!
//! Pure: it returns lines of text and knows no terminal; colour and the width of the window are the
//! caller's. Everything is drawn within its bounds, whatever the numbers are: what is not finite
//! leaves a gap.

#[cfg(test)]
mod tests;

/// Cells across, at most.
const WIDTH_MAX: usize = 400;
/// Cells down, at most.
const HEIGHT_MAX: usize = 100;
/// The first braille character: no dot.
const BLANK: u32 = 0x2800;
/// The bits of the dots of a cell: by row from above, left and right.
const DOTS: [[u32; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

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
        let Some(x) = Range::over(points().map(|(x, _)| *x)) else { return Vec::new() };
        let Some(y) = Range::over(points().map(|(_, y)| *y).chain(marked)) else {
            return Vec::new();
        };
        let mut canvas = Canvas::new(width, height);
        for curve in self.series {
            canvas.curve(curve, x, y);
        }
        let line = marked.map(|value| canvas.row(y, value) / 4);
        self.lettered(&canvas, x, y, line)
    }

    fn lettered(&self, canvas: &Canvas, x: Range, y: Range, line: Option<usize>) -> Vec<String> {
        let last = canvas.height - 1;
        let labelled = [0, last / 2, last];
        let text = |row: usize| {
            let at = labelled.contains(&row).then(|| y.at(1.0 - share(row, last)));
            at.map(self.y_label).unwrap_or_default()
        };
        let texts: Vec<String> = (0..=last).map(text).collect();
        let margin = texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        let mut lines: Vec<String> = Vec::with_capacity(canvas.height + 2);
        for (row, label) in texts.iter().enumerate() {
            let tick = if label.is_empty() { '│' } else { '┤' };
            let is_line = line == Some(row);
            let cells = canvas.cells(row, if is_line { '┈' } else { ' ' });
            let name = self.line.filter(|_| is_line).map_or("", |(_, name)| name);
            let shown = format!("{label:>margin$} {tick}{cells} {name}");
            lines.push(shown.trim_end().to_owned());
        }
        lines.push(format!("{:margin$} └{}", "", "─".repeat(canvas.width)));
        let (first, end) = ((self.x_label)(x.low), (self.x_label)(x.high));
        let room = canvas.width.saturating_sub(first.chars().count());
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

/// The values that an axis spans; `high` is above `low`.
#[derive(Clone, Copy)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    /// The least range over finite values; a single value gets some room above it.
    fn over(values: impl Iterator<Item = f64>) -> Option<Range> {
        let ends = values.fold(None, |ends: Option<(f64, f64)>, value| {
            Some(ends.map_or((value, value), |(low, high)| (low.min(value), high.max(value))))
        });
        let (low, high) = ends?;
        let room = if low == high { low.abs().max(1.0) } else { 0.0 };
        Some(Range { low, high: high + room })
    }

    /// The value a part of the way up; halves keep the ends of the floats from overflowing.
    fn at(self, part: f64) -> f64 {
        self.low * (1.0 - part) + self.high * part
    }

    /// How far up a value is, from 0 to 1.
    fn part(self, value: f64) -> f64 {
        ((value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)).clamp(0.0, 1.0)
    }
}

/// Dots in cells.
struct Canvas {
    width: usize,
    height: usize,
    cells: Vec<u32>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Canvas {
        Canvas { width, height, cells: vec![0; width * height] }
    }

    /// The row of dots of a value, from above.
    fn row(&self, y: Range, value: f64) -> usize {
        nearest(1.0 - y.part(value), self.height * 4 - 1)
    }

    fn curve(&mut self, curve: &[(f64, f64)], x: Range, y: Range) {
        let mut before = None;
        for point in curve {
            if !is_finite(&point) {
                before = None;
                continue;
            }
            let column = nearest(x.part(point.0), self.width * 2 - 1);
            let dot = (column, self.row(y, point.1));
            self.join(before.unwrap_or(dot), dot);
            before = Some(dot);
        }
    }

    /// Sets the dots on the straight way between two.
    fn join(&mut self, from: (usize, usize), to: (usize, usize)) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1));
        for step in 0..=steps {
            let part = if steps == 0 { 0.0 } else { share(step, steps) };
            let between = |from: usize, to: usize| {
                let way = nearest(part, from.abs_diff(to));
                if to < from { from - way } else { from + way }
            };
            self.set(between(from.0, to.0), between(from.1, to.1));
        }
    }

    fn set(&mut self, column: usize, row: usize) {
        let dot = DOTS.get(row % 4).and_then(|dots| dots.get(column % 2)).copied();
        let cell = self.cells.get_mut(row / 4 * self.width + column / 2);
        if let (Some(cell), Some(dot)) = (cell, dot) {
            *cell |= dot;
        }
    }

    /// One row of cells; `blank` stands where there is no dot.
    fn cells(&self, row: usize, blank: char) -> String {
        let cells = self.cells.iter().skip(row * self.width).take(self.width);
        let shown = cells.map(|cell| match cell {
            0 => blank,
            dots => char::from_u32(BLANK + dots).unwrap_or(blank),
        });
        shown.collect()
    }
}

/// A part from 0 to 1 of `most`, to the nearest whole number.
#[expect(clippy::cast_possible_truncation, reason = "at most `most`, which is a usize")]
fn nearest(part: f64, most: usize) -> usize {
    ((part * most as f64).round() as usize).min(most)
}
