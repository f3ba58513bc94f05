use super::*;

fn plain(value: f64) -> String {
    format!("{value:.1}")
}

fn plot<'a>(series: &'a [&'a [(f64, f64)]], line: Option<(f64, &'a str)>) -> Plot<'a> {
    Plot { series, width: 12, height: 4, line, x_label: &plain, y_label: &plain }
}

#[test]
fn a_curve_that_rises_to_its_line() {
    let curve: Vec<(f64, f64)> = (0..=20).map(f64::from).map(|x| (x, x * x / 40.0)).collect();
    let drawn = plot(&[&curve], Some((8.0, "1/α"))).lines();
    let expected = [
        "10.0 ┤┈┈┈┈┈┈┈┈┈┈⢀⠎ 1/α",
        " 6.7 ┤        ⢀⠎⠁",
        "     │     ⢀⡠⠔⠁",
        " 0.0 ┤⣀⣀⠤⠤⠒⠁",
        "     └────────────",
        "      0.0     20.0",
    ];
    assert_eq!(drawn, expected);
}

#[test]
fn what_is_not_finite_leaves_a_gap() {
    let curve = [(0.0, 1.0), (1.0, f64::NAN), (2.0, 1.0), (f64::INFINITY, 0.0)];
    let drawn = plot(&[&curve], None).lines();
    let dotted = drawn.iter().flat_map(|line| line.chars()).filter(|c| *c > '⠀' && *c <= '⣿');
    assert_eq!(dotted.count(), 2, "{drawn:#?}");
    assert!(plot(&[&[(f64::NAN, 0.0)], &[]], Some((1.0, ""))).lines().is_empty());
}

#[test]
fn no_numbers_and_no_size_break_it() {
    let curve = [(f64::MIN, f64::MIN), (0.0, f64::MAX), (f64::MAX, f64::MIN_POSITIVE), (0.0, 0.0)];
    let curves: [&[(f64, f64)]; 1] = [&curve];
    for (width, height) in [(0, 0), (1, 1), (80, 24), (usize::MAX, usize::MAX)] {
        let plot = Plot { width, height, ..plot(&curves, Some((f64::MAX, "line"))) };
        let lines = plot.lines();
        assert_eq!(lines.len(), height.clamp(2, HEIGHT_MAX) + 2);
    }
}

#[test]
fn a_single_value_is_a_level_line() {
    let drawn = plot(&[&[(5.0, 2.0), (6.0, 2.0)]], None).lines();
    assert!(drawn[3].starts_with("2.0 ┤⣀⣀⣀⣀"), "{drawn:#?}");
    assert!(drawn[0].starts_with("4.0 ┤"), "{drawn:#?}");
}
