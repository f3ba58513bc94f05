//! Series drawn in a terminal over time, with axes and a legend.
//!
//! Each series ends in a letter at the right edge, so that a drawing without colours can be read
//! too; the legend names it and says its least, greatest and last value.

use std::fmt::Write;

use bellwether_model::time::{Timestamp, date};

use super::canvas::{Canvas, DOTS, Range};

/// Series drawn; the legend says how many more there are.
const SERIES_MAX: usize = 26;
/// Characters of the drawing itself, at least.
const WIDTH_MIN: usize = 20;
/// Colours of the letters and lines, of those that both dark and light terminals show.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 31, 34];

/// A series to be drawn.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What the legend says.
    pub(crate) name: String,
    /// Times and values, times rising.
    pub(crate) samples: Vec<(Timestamp, f64)>,
}

/// What is drawn, and where it has to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    /// The left edge.
    pub(crate) start: Timestamp,
    /// The right edge; after `start`.
    pub(crate) end: Timestamp,
    /// Samples further apart than this are not joined, in ms.
    pub(crate) gap: i64,
    /// Characters across, in all.
    pub(crate) columns: usize,
    /// Characters down, without axis and legend.
    pub(crate) rows: usize,
    /// Whether the terminal shows colours.
    pub(crate) colours: bool,
}

/// Draws series; empty if none has a finite value.
pub(crate) fn draw(lines: &[Line], frame: &Frame) -> String {
    let shown = lines.get(..lines.len().min(SERIES_MAX)).unwrap_or(lines);
    let Some(scale) = scale(shown) else { return String::new() };
    let labels = [scale.high, f64::midpoint(scale.high, scale.low), scale.low].map(number);
    let margin = labels.iter().map(String::len).max().unwrap_or(0);
    // The axis beside the labels, and at least one letter.
    let width = frame.columns.saturating_sub(margin + 4).max(WIDTH_MIN);
    let rows = frame.rows.max(3);
    let mut canvas = Canvas::new(width, rows);
    let mut letters = vec![Vec::new(); rows];
    for (which, line) in shown.iter().enumerate() {
        if let Some(row) = trace(&mut canvas, line, which, frame, scale)
            && let Some(letters) = letters.get_mut(row)
        {
            letters.push(which);
        }
    }
    let mut out = String::new();
    for (row, letters) in letters.iter().enumerate() {
        let label = match row {
            0 => &*labels[0],
            _ if row == rows / 2 => &*labels[1],
            _ if row + 1 == rows => &*labels[2],
            _ => "",
        };
        out.push_str(&format!("{label:>margin$} ┤"));
        for (dots, which) in canvas.row(row) {
            match dots {
                Some(dots) => paint(&mut out, which, frame.colours, &dots.to_string()),
                None => out.push(' '),
            }
        }
        for which in letters {
            paint(&mut out, *which, frame.colours, &letter(*which).to_string());
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
    }
    axis(&mut out, frame, margin, width);
    legend(&mut out, lines, shown.len(), frame.colours);
    out
}

/// The values that the edges stand for.
fn scale(lines: &[Line]) -> Option<Range> {
    let all = lines.iter().flat_map(|line| &line.samples).map(|(_, value)| *value);
    Range::over(all, |value| {
        let around = if value == 0.0 { 1.0 } else { value.abs() * 0.1 };
        (around, around)
    })
}

/// Draws a series; gives the row of its last finite value.
fn trace(
    canvas: &mut Canvas,
    line: &Line,
    which: usize,
    frame: &Frame,
    scale: Range,
) -> Option<usize> {
    let span = frame.end.millis_since(frame.start).max(1);
    let mut before: Option<(Timestamp, (usize, usize))> = None;
    let mut last = None;
    for (at, value) in &line.samples {
        if !value.is_finite() {
            before = None;
            continue;
        }
        #[expect(clippy::cast_precision_loss, reason = "a place on a screen")]
        let share = at.millis_since(frame.start) as f64 / span as f64;
        let dot = (canvas.across(share), canvas.down(scale.part(*value)));
        match before {
            Some((then, from)) if at.millis_since(then) <= frame.gap => {
                canvas.join(from, dot, which);
            }
            _ => canvas.set(dot.0, dot.1, which),
        }
        before = Some((*at, dot));
        last = Some(dot.1 / DOTS.1);
    }
    last
}

fn paint(out: &mut String, which: usize, colours: bool, text: &str) {
    match COLOURS.get(which % COLOURS.len()) {
        Some(colour) if colours => push(out, format_args!("\u{1b}[{colour}m{text}\u{1b}[0m")),
        _ => out.push_str(text),
    }
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("invariant: memory takes every byte");
}

fn letter(which: usize) -> char {
    char::from(b'a' + u8::try_from(which % SERIES_MAX).unwrap_or(0))
}

/// The line below, with the times of its ends and its middle.
fn axis(out: &mut String, frame: &Frame, margin: usize, width: usize) {
    push(out, format_args!("{:>margin$} └{}\n", "", "─".repeat(width)));
    let span = frame.end.millis_since(frame.start);
    let is_long = span >= 24 * 3_600_000;
    let middle = Timestamp(frame.start.0.saturating_add(span / 2));
    let [start, middle, end] = [frame.start, middle, frame.end].map(|at| clock(at, is_long));
    let end = end + " UTC";
    let room = width.saturating_sub(start.len() + middle.len() + end.len());
    let (left, right) = (room / 2, room - room / 2);
    let middle = if room < 4 { String::new() } else { middle };
    push(out, format_args!("{:>margin$}  {start}{:left$}{middle}{:right$}{end}\n", "", "", ""));
}

fn legend(out: &mut String, lines: &[Line], shown: usize, colours: bool) {
    for (which, line) in lines.iter().take(shown).enumerate() {
        let values = || line.samples.iter().map(|(_, value)| *value).filter(|v| !v.is_nan());
        let least = values().fold(f64::INFINITY, f64::min);
        let greatest = values().fold(f64::NEG_INFINITY, f64::max);
        let last = line.samples.last().map_or(f64::NAN, |(_, value)| *value);
        paint(out, which, colours, &letter(which).to_string());
        push(
            out,
            format_args!(
                "  {}  min {}  max {}  last {}\n",
                line.name,
                number(least),
                number(greatest),
                number(last)
            ),
        );
    }
    if lines.len() > shown {
        push(out, format_args!("   and {} series more, not drawn\n", lines.len() - shown));
    }
}

/// `14:05:09`, or with month and day before it.
fn clock(at: Timestamp, with_date: bool) -> String {
    let date = date(at);
    let time = date.get(11..19).unwrap_or("");
    if with_date { format!("{} {time}", date.get(5..10).unwrap_or("")) } else { time.to_owned() }
}

/// Four digits that count, with the letter of a power of a thousand.
pub(crate) fn number(value: f64) -> String {
    const POWERS: [(f64, &str); 5] = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let magnitude = value.abs();
    if !value.is_finite() || value == 0.0 {
        return if value == 0.0 { "0".to_owned() } else { value.to_string() };
    }
    if !(1e-3..1e18).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let (scaled, power) = match POWERS.iter().find(|(size, _)| magnitude >= *size) {
        Some((size, power)) if magnitude >= 1e4 => (value / size, *power),
        _ => (value, ""),
    };
    let digits = match scaled.abs() {
        at if at >= 1000.0 => 0,
        at if at >= 100.0 => 1,
        at if at >= 10.0 => 2,
        at if at >= 1.0 => 3,
        at if at >= 0.1 => 4,
        at if at >= 0.01 => 5,
        _ => 6,
    };
    let text = format!("{scaled:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text.as_str()
    };
    format!("{text}{power}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, values: &[f64]) -> Line {
        let at = |i: usize| Timestamp(1_700_000_000_000 + 15_000 * i64::try_from(i).unwrap());
        let samples = values.iter().enumerate().map(|(i, value)| (at(i), *value)).collect();
        Line { name: name.to_owned(), samples }
    }

    fn frame(columns: usize) -> Frame {
        Frame {
            start: Timestamp(1_700_000_000_000),
            end: Timestamp(1_700_000_000_000 + 300_000),
            gap: 15_000,
            columns,
            rows: 6,
            colours: false,
        }
    }

    #[test]
    fn lines_have_axes_letters_and_a_legend() {
        let rising: Vec<f64> = (0..=20).map(f64::from).collect();
        let falling: Vec<f64> = (0..=20).map(|i| f64::from(20 - i) / 2.0).collect();
        let drawn = draw(&[line("up{a=\"b\"}", &rising), line("down", &falling)], &frame(50));
        insta::assert_snapshot!(drawn);
        let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 50, "{widest}");
    }

    #[test]
    fn gaps_constants_and_nothing_are_drawn() {
        let gap = [1.0, 1.0, 1.0, f64::NAN, f64::NAN, 1.0, 1.0, f64::INFINITY];
        insta::assert_snapshot!(draw(&[line("gap", &gap)], &frame(40)));
        assert_eq!(draw(&[line("none", &[f64::NAN])], &frame(40)), "");
        assert_eq!(draw(&[], &frame(40)), "");
        let extremes = [line("x", &[f64::MAX, f64::MIN, 0.0])];
        assert!(draw(&extremes, &frame(0)).contains("min -1.80e308"));
        let many: Vec<Line> = (0..30).map(|_| line("m", &[1.0])).collect();
        assert!(draw(&many, &frame(60)).contains("and 4 series more"));
        let coloured = draw(&[line("c", &[1.0, 2.0])], &Frame { colours: true, ..frame(40) });
        assert!(coloured.contains("\u{1b}[36ma\u{1b}[0m"), "{coloured}");
    }

    #[test]
    fn numbers_have_four_digits() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (12.345_67, "12.35"),
            (9999.4, "9999"),
            (10_000.0, "10k"),
            (1_234_567.0, "1.235M"),
            (-0.0123, "-0.0123"),
            (1e-9, "1.00e-9"),
            (f64::NAN, "NaN"),
            (100.0, "100"),
            (1000.0, "1000"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!(clock(Timestamp(1_709_164_800_000 + 3_661_000), true), "02-29 01:01:01");
        assert_eq!(clock(Timestamp(-1000), true), "12-31 23:59:59");
    }
}
