use serde_json::json;

use super::*;
use crate::shell::cli::Target;

const SCREEN: Screen = Screen { columns: 60, colours: false };

fn query(expression: &str) -> Query {
    Query {
        expression: expression.to_owned(),
        range: None,
        step: None,
        time: None,
        target: Target { url: "http://127.0.0.1:9797".to_owned(), token_file: None, ca_file: None },
        output: Output::Table,
    }
}

#[test]
fn labels_stand_in_columns() {
    let data = json!({"resultType": "vector", "result": [
        {"metric": {"__name__": "up", "instance": "web1", "job": "node"}, "value": [1, "1"]},
        {"metric": {"__name__": "up", "job": "a\u{1b}[2J", "zone": "x"}, "value": [1, "0.25"]},
    ]});
    insta::assert_snapshot!(table(&data), @r"
    NAME  instance  job    zone  VALUE
    up    web1      node         1
    up              a�[2J  x     0.25
    ");
    let unnamed = json!({"resultType": "vector", "result": [{"metric": {}, "value": [1, "3"]}]});
    assert_eq!(table(&unnamed), "VALUE\n3\n");
}

#[test]
fn every_kind_of_answer_is_shown() {
    let matrix = json!({"resultType": "matrix", "result": [
        {"metric": {"__name__": "up", "job": "node"}, "values": [[1.5, "1"], [3, "2"]]},
    ]});
    insta::assert_snapshot!(table(&matrix), @r#"
    SERIES          TIME  VALUE
    up{job="node"}  1.5   1
    up{job="node"}  3     2
    "#);
    assert_eq!(table(&json!({"resultType": "scalar", "result": [4, "2"]})), "2\n");
    assert_eq!(table(&json!({"resultType": "string", "result": [4, "a"]})), "a\n");
    for kind in ["vector", "matrix"] {
        assert_eq!(table(&json!({"resultType": kind, "result": []})), "no samples\n");
    }
}

#[test]
fn ranges_are_drawn() {
    let span = Span { start: Timestamp(0), end: Timestamp(60_000), step: Duration::from_secs(30) };
    let data = json!({"resultType": "matrix", "result": [
        {"metric": {"job": "a"}, "values": [[0, "1"], [30, "NaN"], [60, "+Inf"]]},
    ]});
    let drawn = plot(&data, &span, SCREEN);
    assert!(drawn.contains("a  {job=\"a\"}  min 1  max inf  last inf"), "{drawn}");
    assert!(drawn.contains("00:00:00") && drawn.contains("00:01:00 UTC"), "{drawn}");
    assert_eq!(plot(&json!({"result": []}), &span, SCREEN), NOTHING);
}

#[test]
fn parameters_are_those_of_the_interface() {
    let mut asked = query("a{b=\"c d\"}");
    assert_eq!(parameters(&asked, None), (INSTANT, "query=a%7Bb%3D%22c+d%22%7D".to_owned()));
    asked.time = Some("1700000000".to_owned());
    assert!(parameters(&asked, None).1.ends_with("&time=1700000000"));
    let of = span(&asked, Duration::from_secs(3600), 80).unwrap();
    assert_eq!((of.start.0, of.end.0), (1_699_996_400_000, 1_700_000_000_000));
    assert_eq!(of.step, Duration::from_secs(3600 / 160 + 1));
    asked.step = Some(Duration::from_millis(500));
    let of = span(&asked, Duration::from_secs(60), 80).unwrap();
    let (path, form) = parameters(&asked, Some(&of));
    assert_eq!(path, RANGE);
    assert!(form.ends_with("&start=1699999940&end=1700000000&step=0.5"), "{form}");
    asked.time = Some("noon".to_owned());
    assert!(span(&asked, Duration::from_secs(60), 80).is_err());
}

#[test]
fn refusals_are_told_in_the_words_of_the_collector() {
    let body = br#"{"status":"error","errorType":"bad_data","error":"1:1: parse error"}"#;
    let error = failed(&query("("), StatusCode::BAD_REQUEST, body).to_string();
    let expected = "http://127.0.0.1:9797 answered 400 Bad Request: bad_data: 1:1: parse error";
    assert_eq!(error, expected);
    let error = failed(&query("("), StatusCode::UNAUTHORIZED, b"no token\n").to_string();
    assert!(error.ends_with("401 Unauthorized: no token"), "{error}");
}
