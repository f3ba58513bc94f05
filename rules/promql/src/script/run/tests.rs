use super::super::read::read;
use super::*;

fn outcomes(script: &str) -> Vec<String> {
    let outcomes = run(&read(script).unwrap()).unwrap();
    let shown = outcomes.into_iter().map(|outcome| match outcome.verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Skipped => "skipped".to_owned(),
        Verdict::Failed(difference) => format!("{}: {difference}", outcome.line),
    });
    shown.collect()
}

/// One evaluation over a few series; what became of it.
fn outcome(evaluation: &str) -> String {
    let script = format!(
        "load 1m\n up{{job=\"a\"}} 1 2 3 4\n up{{job=\"b\"}} 5 6 stale\n h {{{{count:1}}}}x3\n\
         load_with_nhcb 1m\n c_bucket{{le=\"+Inf\"}} 1\n\n{evaluation}\n"
    )
    .replace("x3\nload", "x3\n\nload");
    let mut all = outcomes(&script);
    assert_eq!(all.len(), 1, "{evaluation}");
    all.remove(0)
}

#[test]
fn what_is_expected_passes() {
    for evaluation in [
        "eval instant at 1m up\n up{job=\"a\"} 2\n up{job=\"b\"} 6",
        "eval instant at 1m up\n up{job=\"b\"} 6.000001\n up{job=\"a\"} 2",
        "eval instant at 2m up{job='b'}",
        "eval instant at 0 1 + 1\n 2",
        "eval instant at 0 'a'\n expect string \"a\"",
        "eval range from 0 to 3m step 1m up\n up{job=\"a\"} 1+1x3\n up{job=\"b\"} 5 6 _ _",
        "eval instant at 2m up{job=\"a\"}[2m]\n expect range vector from 1m to 2m step 1m\n \
         up{job=\"a\"} 2 3",
        "eval instant at 1m c_bucket\n expect no_warn\n c_bucket{le=\"+Inf\"} 1",
        "eval instant at 0 up{\n expect fail regex: parse error",
        "eval range from 0 to 1m step 1m 'a'\n expect fail regex: invalid expression type",
    ] {
        assert_eq!(outcome(evaluation), "passed", "{evaluation}");
    }
}

#[test]
fn the_first_difference_is_told() {
    for (evaluation, told) in [
        ("eval instant at 1m up\n up{job=\"a\"} 2", "did not expect up{job=\"b\"} 6"),
        ("eval instant at 0 up{job='a'}\n up{job=\"a\"} 2", "expected up{job=\"a\"} 2, got 1"),
        ("eval instant at 0 none\n none 1", "expected none [Value(1.0)], which is not there"),
        ("eval instant at 0 up\n 1", "got a vector of 2"),
        ("eval instant at 0 1\n {} 1", "got the scalar 1"),
        ("eval instant at 0 'a'\n expect string 'b'", "expected \"b\", got \"a\""),
        ("eval instant at 1m up{job='a'}\n up{job=\"a\"} {{}}", "a native histogram, got 2"),
        ("eval range from 0 to 1m step 1m up{job='a'}\n up{job=\"a\"} 1", "did not expect 2 at 60"),
        (
            "eval range from 0 to 1m step 1m up{job='a'}\n up{job=\"a\"} 1 2 3",
            "3 points are expected, the range has fewer",
        ),
        (
            "eval range from 0 to 1m step 1m up{job='a'}\n up{job=\"a\"} 1 _",
            "expected nothing at 60, got 2",
        ),
        ("eval instant at 0 up{job='a'}\n expect fail\n", "expected an error, got an answer"),
        ("eval instant at 0 up{job='a'}\n expect warn\n up{job=\"a\"} 1", "expected the warning"),
        ("eval instant at 0 up{\n", "parse error"),
        ("eval_fail instant at 0 rate(up[5m] anchored)\n", "not supported yet"),
    ] {
        let got = outcome(evaluation);
        assert!(got.starts_with("9: ") && got.contains(told), "{evaluation}: {got}");
    }
}

#[test]
fn selecting_native_histograms_is_skipped() {
    for evaluation in [
        "eval instant at 0 h",
        "eval instant at 0 up + on () group_left () sum(h)",
        "eval instant at 0 {__name__=~'h|up'}",
        "eval instant at 0 c",
        "eval instant at 0 h </ 5",
    ] {
        assert_eq!(outcome(evaluation), "skipped", "{evaluation}");
    }
}

#[test]
fn every_form_is_made() {
    // Pinned at 2m and read at 20m, or as a range, these hold only if `@` and steps are right.
    let script = "load 1m\n up 1+1x30\n\neval instant at 2m up\n up 3\n\n\
                  eval instant at 2m up @ 60\n up 2\n\nclear\n\neval instant at 2m up\n\n";
    assert_eq!(outcomes(script), ["passed"; 3]);
    let tally = Tally::of(&run(&read(script).unwrap()).unwrap());
    assert_eq!(tally.to_string(), "3 passed, 0 failed, 0 skipped");
}
