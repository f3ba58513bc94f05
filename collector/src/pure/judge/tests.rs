use std::fmt::Write as _;

use bellwether_rules::record::{Context, Record};
use bellwether_rules::verdict::{Arm, Config, Tick};

use super::together::{Answer, Of, Together};
use super::*;

const HEADER: &str = "second,canary_n,canary_bad,baseline_n,baseline_bad";

fn problems(text: &[u8]) -> String {
    read("counts.csv", text).unwrap_err().to_string()
}

/// The problems in one line each.
fn listed(text: &[u8]) -> Vec<String> {
    read("counts.csv", text).unwrap_err().iter().map(ToString::to_string).collect()
}

fn tick(second: i64, stratum: u16, counts: [u64; 4]) -> Tick {
    let [canary_n, canary_bad, baseline_n, baseline_bad] = counts;
    let canary = Arm { n: canary_n, bad: canary_bad };
    Tick { second, stratum, canary, baseline: Arm { n: baseline_n, bad: baseline_bad } }
}

#[test]
fn columns_stand_in_any_order_and_strata_have_numbers() {
    let text = "\u{feff}stratum,baseline_bad,baseline_n, second ,canary_bad,canary_n\r\n\
                \"GET /a,b\",1,190,-5,0,10\r\n\r\n\
                \"say \"\"hi\"\"\",2,9,-5,3,4\n\
                \"GET /a,b\",0,0,1700000000,0,0";
    let counts = read("t.csv", text.as_bytes()).unwrap();
    assert_eq!(counts.strata, ["GET /a,b", "say \"hi\""]);
    let expected = [
        tick(-5, 0, [10, 0, 190, 1]),
        tick(-5, 1, [4, 3, 9, 2]),
        tick(1_700_000_000, 0, [0, 0, 0, 0]),
    ];
    assert_eq!(counts.ticks, expected);
    // A header alone is a rollout without requests.
    let empty = read("t.csv", HEADER.as_bytes()).unwrap();
    assert_eq!(empty, Counts { ticks: Vec::new(), strata: Vec::new() });
}

/// Ten seconds of health, then five in which so many of the canary's ten requests are bad.
fn course(bad: u64) -> (String, Record) {
    let ticks =
        (0..15).map(|at| tick(at, 0, [10, if at < 10 { 0 } else { bad }, 190, at as u64 % 2]));
    let config = Config { alpha: 0.01, ..Config::default() };
    let record = Record::judge(config, ticks.collect(), Context::default()).unwrap();
    (format!("{bad}.csv"), record)
}

#[test]
fn measures_fail_by_their_mean_and_rollouts_by_their_number() {
    let screen = Screen { columns: 60 };
    let said = |of, bad: &[u64]| {
        let tables: Vec<_> = bad.iter().map(|bad| course(*bad)).collect();
        let together = Together::new(of, 0.01, &tables);
        let answer = together.answer();
        assert_eq!(together.json()["verdict"], answer.name());
        (answer, together.text(screen), together.json())
    };
    let (answer, text, json) = said(Of::Measures, &[9, 0]);
    assert_eq!(answer, Answer::Fail);
    insta::assert_snapshot!(text);
    // The mean of two has reached it when one of them has twice as much.
    let alone = course(9).1.outcome.decision_second.unwrap();
    let second = json["decision_second"].as_i64().unwrap();
    assert!((alone..alone + 2).contains(&second), "{alone} {second}");
    let last = |bad: u64| libm::exp(course(bad).1.outcome.log_e);
    let mean = libm::exp(json["log_e"].as_f64().unwrap());
    assert!((mean / ((last(9) + last(0)) / 2.0) - 1.0).abs() < 1e-9, "{mean}");
    assert_eq!(said(Of::Measures, &[0, 0]).0, Answer::Inconclusive);
    // So much that it fails alone, and too little among a hundred.
    let weakest = (1..=10).find(|bad| course(*bad).1.outcome.decision_second.is_some()).unwrap();
    let mut many = vec![0; 99];
    many.push(weakest);
    assert_eq!(said(Of::Rollouts, &[weakest]).0, Answer::Fail);
    let (answer, text, _) = said(Of::Rollouts, &many);
    assert_eq!(answer, Answer::Inconclusive, "{text}");
    let (answer, text, json) = said(Of::Rollouts, &[10, 0, 10]);
    assert_eq!(answer, Answer::Fail);
    assert!(text.starts_with("fail: 2 of 3 rollouts fail; "), "{text}");
    let verdicts: Vec<_> =
        json["tables"].as_array().unwrap().iter().map(|t| &t["verdict"]).collect();
    assert_eq!(verdicts, ["fail", "inconclusive", "fail"]);
}

#[test]
fn every_fault_of_a_table_is_shown_with_its_place() {
    let long = "x".repeat(300);
    let rows = [
        "1,10,0,190,1,a",
        "2,10,0,190",
        "3,10,0,190,1,a,b",
        "4,ten,0,190,1,a",
        "5,-1,0,190,1,a",
        "6,10,0.5,190,1,a",
        "7,10,0,1e3,1,a",
        "8,10,,190,1,a",
        "9,10,11,190,191,a",
        "10,99999999999,0,190,1,a",
        "10,10,0,190,1,b",
        "10,10,0,190,1,b",
        "9,10,0,190,1,a",
        "2026-11-25T18:00:00Z,10,0,190,1,a",
        "99999999999999999999,10,0,190,1,a",
        "11,10,0,190,1,",
        "12,10,0,190,1,\"a",
        "13,10,0,190,1,\"a\"b",
        "14,10,0,190,1,a \"quoted\" word",
        "15,10,0,190,1,a\tb",
        &format!("16,10,0,190,1,{long}"),
        "17,+1,0,1 000,٣,a",
        "18,10,0,190,1,a",
    ];
    let text = format!("{HEADER},stratum\n{}\n", rows.join("\n"));
    insta::assert_snapshot!(problems(text.as_bytes()).replace(&long, "(300 times x)"));
}

#[test]
fn faults_of_a_header_are_shown_once() {
    let mut shown = String::new();
    for text in [
        "",
        "\n\n",
        "0,10,0,190,1\n1,10,0,190,1\n",
        "second;canary_n;canary_bad;baseline_n;baseline_bad\n0;10;0;190;1\n",
        "second,canary_n,canary_errors,baseline_n,baseline_bad\n0,10,0,190,1\n",
        "Second,canary_n,canary_bad,baseline-n,baseline_bad\n0,10,0,190,1\n",
        "second,canary_n,canary_bad,baseline_n,baseline_bad,second,route\n",
        "second,\"canary_n,canary_bad\n0,1,2\n",
    ] {
        writeln!(shown, "==== {text:?}\n{}", problems(text.as_bytes())).unwrap();
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn tables_are_bounded() {
    let found = listed(&vec![b'x'; TABLE_BYTES_MAX + 1]);
    assert_eq!(found, ["error[csv001]: counts.csv has more than 64 MiB"]);

    let line = format!("{HEADER}\n0,1,0,1,0{}\n1,1,0,1\n", " ".repeat(5000));
    let found = listed(line.as_bytes());
    assert!(
        found[0].starts_with("counts.csv:2:1: error[csv001]: a line of 5009 bytes"),
        "{found:?}"
    );
    assert!(found.len() == 2 && found[1].contains(":3:1: error[csv007]"), "{found:?}");

    let fields = format!("{HEADER}{}\n", ",x".repeat(100));
    assert!(listed(fields.as_bytes())[0].contains("more than 64 fields"));

    let mut rows = format!("{HEADER},stratum\n");
    (0..300).for_each(|stratum| writeln!(rows, "0,1,0,1,0,s{stratum}").unwrap());
    let found = listed(rows.as_bytes());
    assert_eq!(found.len(), 44);
    assert!(found[0].starts_with("counts.csv:258:11: error[csv014]: more than 256 strata"));

    // Problems beyond a bound are counted, not kept.
    let rows = format!("{HEADER}\n{}", "x,1,0,1,0\n".repeat(5000));
    let found = read("counts.csv", rows.as_bytes()).unwrap_err();
    assert_eq!((found.len(), found.iter().count()), (5000, 200));

    let mut rows = format!("{HEADER}\n");
    (0..=400_000).for_each(|second| writeln!(rows, "{second},1,0,1,0").unwrap());
    let found = listed(rows.as_bytes());
    assert_eq!(found, ["counts.csv:400002:1: error[csv001]: more than 400000 rows"]);
}

#[test]
fn bytes_that_are_no_text_have_a_place() {
    let text = [HEADER.as_bytes(), b"\n0,10,0,190,1\n1,10,\xff,190,1\n"].concat();
    let found = listed(&text);
    assert!(
        found[0].starts_with("counts.csv:3:6: error[csv002]: not UTF-8 from here"),
        "{found:?}"
    );
    assert!(found[1].starts_with("counts.csv:3:6: error[csv009]"), "{found:?}");
}

/// Health for a minute, then a twentieth of the canary's requests fails.
fn record() -> Record {
    let healthy = (0..60).map(|at| tick(at, 0, [10, 0, 190, u64::from(at % 6 == 0)]));
    let ill = (60..90).map(|at| tick(at, 0, [10, u64::from(at % 2 == 0), 190, 0]));
    Record::judge(Config::default(), healthy.chain(ill).collect(), Context::default()).unwrap()
}

#[test]
fn a_decision_is_shown_to_people() {
    insta::assert_snapshot!(text(&record(), Screen { columns: 80 }));
}

#[test]
fn no_power_is_a_negative_zero() {
    let ticks = (0..9).map(|at| tick(10 * at, 0, [10, 5, 100, 0])).collect();
    let record = Record::judge(Config::default(), ticks, Context::default()).unwrap();
    let shown = text(&record, Screen { columns: 80 });
    assert!(shown.contains("10^0.0 ┤") && !shown.contains("^-0.0"), "{shown}");
}

#[test]
fn a_decision_is_shown_to_programs() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&json(&record())).unwrap());
}

#[test]
fn what_is_open_says_what_is_missing() {
    let nothing = Record::judge(Config::default(), Vec::new(), Context::default()).unwrap();
    let shown = text(&nothing, Screen { columns: 0 });
    assert!(shown.starts_with("inconclusive: "), "{shown}");
    assert!(shown.contains("canary    0 requests, 0 bad (0.0 %)\n"), "{shown}");
    let shown = json(&nothing);
    assert_eq!(shown["verdict"], "inconclusive");
    assert_eq!(shown["missing"]["kind"], "canary");
    assert!(shown["decision_second"].is_null() && shown["smallest_ratio"].is_null());
}
