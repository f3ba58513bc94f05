use super::*;
use crate::parse::parse;

#[test]
fn long_queries_are_broken_over_lines() {
    let selector = r#"requests_total{environment="production",job="frontend",status=~"5.."}"#;
    for (text, expected) in [
        ("sum(up)".to_owned(), "sum(up)".to_owned()),
        (
            format!("sum by (instance) (rate({selector}[5m])) / sum by (instance) (rate(x[5m]))"),
            format!(
                "  sum by (instance) (rate({selector}[5m]))\n/\n  sum by (instance) (rate(x[5m]))"
            ),
        ),
        (
            format!("topk(3, sum by (instance, job, environment, region) (rate({selector}[5m])))"),
            format!(
                "topk(\n  3,\n  sum by (instance, job, environment, region) (\n    \
                 rate({selector}[5m])\n  )\n)"
            ),
        ),
        (
            format!("-(increase({selector}[1h]) + increase({selector}[1h] offset 1d))"),
            format!(
                "-(\n    increase({selector}[1h])\n  +\n    increase({selector}[1h] offset 1d)\n)"
            ),
        ),
    ] {
        let pretty = pretty(&parse(&text).unwrap());
        assert_eq!(pretty, expected);
        assert_eq!(parse(&pretty).unwrap().to_string(), parse(&text).unwrap().to_string());
    }
}

#[test]
fn numbers_are_gos() {
    for (value, expected) in [
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (-0.0, "-0"),
        (f64::INFINITY, "+Inf"),
        (f64::NAN, "NaN"),
    ] {
        assert_eq!(Number { value, is_duration: false }.to_string(), expected);
    }
}
