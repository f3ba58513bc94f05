//! Dots in the characters of a terminal: Braille, two across and four down in a cell.
//!
//! What is drawn on it, and with which axes, is the caller's: `plot.rs` draws the evidence of a
//! verdict, `chart.rs` the series of a query.

/// Dots of a cell: across and down.
pub(crate) const DOTS: (usize, usize) = (2, 4);
/// The first Braille character: no dot.
const BLANK: u32 = 0x2800;
/// The bits of the dots of a cell, by column and row.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// The values that an axis spans; `high` is above `low`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Range {
    /// The least range over the finite ones of some values, `None` if there are none. A single
    /// value gets as much room above and below as `around` says for it, of which one is above 0.
    pub(crate) fn over(
        values: impl Iterator<Item = f64>,
        around: impl Fn(f64) -> (f64, f64),
    ) -> Option<Range> {
        let ends = values.filter(|value| value.is_finite()).fold(None, |ends, value| {
            let (low, high) = ends.unwrap_or((value, value));
            Some((value.min(low), value.max(high)))
        });
        let (low, high) = ends?;
        let (below, above) = if low == high { around(low) } else { (0.0, 0.0) };
        Some(Range { low: low - below, high: high + above })
    }

    /// The value a part of the way up; two products, as the difference of the ends may overflow.
    pub(crate) fn at(self, part: f64) -> f64 {
        self.low * (1.0 - part) + self.high * part
    }

    /// How far up a value is, from 0 to 1; halved first, as a difference may overflow.
    pub(crate) fn part(self, value: f64) -> f64 {
        ((value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)).clamp(0.0, 1.0)
    }
}

/// Cells with their dots, and which curve touched each last.
#[derive(Debug)]
pub(crate) struct Canvas {
    width: usize,
    rows: usize,
    cells: Vec<(u8, usize)>,
}

impl Canvas {
    /// An empty one, of at least one cell each way.
    pub(crate) fn new(width: usize, rows: usize) -> Canvas {
        let (width, rows) = (width.max(1), rows.max(1));
        Canvas { width, rows, cells: vec![(0, 0); width * rows] }
    }

    /// Cells across.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// Cells down.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The dot of a part of the way from left to right.
    pub(crate) fn across(&self, part: f64) -> usize {
        nearest(part, self.width * DOTS.0 - 1)
    }

    /// The dot of a part of the way up, counted from above.
    pub(crate) fn down(&self, part: f64) -> usize {
        nearest(1.0 - part, self.rows * DOTS.1 - 1)
    }

    /// Sets the dots on the straight way between two, of a curve.
    pub(crate) fn join(&mut self, from: (usize, usize), to: (usize, usize), curve: usize) {
        let steps = from.0.abs_diff(to.0).max(from.1.abs_diff(to.1)).max(1);
        let between = |from: usize, to: usize, step: usize| {
            let way = (2 * from.abs_diff(to) * step + steps) / (2 * steps);
            if to < from { from - way } else { from + way }
        };
        for step in 0..=steps {
            self.set(between(from.0, to.0, step), between(from.1, to.1, step), curve);
        }
    }

    /// Sets a dot.
    pub(crate) fn set(&mut self, x: usize, y: usize, curve: usize) {
        let bit = BITS.get(x % DOTS.0).and_then(|column| column.get(y % DOTS.1));
        let cell = self.cells.get_mut(y / DOTS.1 * self.width + x / DOTS.0);
        if let (Some(cell), Some(bit)) = (cell, bit) {
            *cell = (cell.0 | bit, curve);
        }
    }

    /// The cells of a row from above: a character, or `None` without a dot, and the curve that
    /// touched it last.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (Option<char>, usize)> {
        let cells = self.cells.iter().skip(row * self.width).take(self.width);
        cells.map(|(bits, curve)| {
            let dots = (*bits != 0).then(|| char::from_u32(BLANK + u32::from(*bits)));
            (dots.flatten(), *curve)
        })
    }
}

/// A part from 0 to 1 of `most`, to the nearest whole number.
#[expect(clippy::cast_possible_truncation, reason = "at most `most`, which is a usize")]
fn nearest(part: f64, most: usize) -> usize {
    ((part.clamp(0.0, 1.0) * most as f64).round() as usize).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(canvas: &Canvas) -> Vec<String> {
        let row = |row| canvas.row(row).map(|(dots, _)| dots.unwrap_or('.')).collect();
        (0..canvas.rows()).map(row).collect()
    }

    #[test]
    fn each_dot_has_its_bit_and_lines_have_no_holes() {
        let mut canvas = Canvas::new(2, 1);
        for (x, y) in [(0, 0), (1, 3)] {
            canvas.set(x, y, 7);
        }
        assert_eq!(canvas.row(0).collect::<Vec<_>>(), [(Some('⢁'), 7), (None, 0)]);
        let mut canvas = Canvas::new(4, 2);
        canvas.join((0, 7), (7, 0), 0);
        assert_eq!(text(&canvas), ["..⡠⠊", "⡠⠊.."]);
        // Backwards it is the same line, a point is a dot, and what lies outside is nowhere.
        let mut back = Canvas::new(4, 2);
        back.join((7, 0), (0, 7), 0);
        assert_eq!(text(&back), text(&canvas));
        canvas.join((3, 2), (3, 2), 0);
        canvas.set(99, 99, 0);
        assert_eq!(text(&canvas), [".⠠⡠⠊", "⡠⠊.."]);
    }

    #[test]
    fn ranges_hold_every_finite_value() {
        let room = |_| (0.0, 1.0);
        assert!(Range::over([f64::NAN, f64::INFINITY].into_iter(), room).is_none());
        let range = Range::over([f64::MIN, f64::MAX, f64::NAN].into_iter(), room).unwrap();
        assert_eq!([f64::MIN, 0.0, f64::MAX].map(|value| range.part(value)), [0.0, 0.5, 1.0]);
        assert!(range.at(0.5).abs() < 1.0 && range.at(1.0) == f64::MAX);
        let single = Range::over([4.0].into_iter(), room).unwrap();
        assert_eq!((single.low, single.high, single.part(4.0)), (4.0, 5.0, 0.0));
        let canvas = Canvas::new(10, 5);
        assert_eq!((canvas.across(1.0), canvas.down(1.0), canvas.down(0.0)), (19, 0, 19));
    }
}
