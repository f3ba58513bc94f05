use super::*;

const SCRIPT: &str = r#"
# a comment
load 5m
  # an empty line ends a block, a comment line is one

load 10s53ms
	up{job="node"} 1 2+3x2 _
    @st 0s
    up{job="node"}@st -1m
	temp  {{count:1}} stale

LOAD_with_nhcb 1m
  a_sum 3

eval instant at 5m sum by (job) (up)
	expect warn
	expect no_info
	expect ordered
	{job="node"} 7
	{} NaN

eval range from 0 to 3m step 1m30s up offset 1m
    expect info msg: PromQL info: x (1:5)
    expect info regex: \(1:[0-9]+\)
    {a="b"} 1 _ 3

clear
eval_fail instant at 0 up{
	expected_fail_message  no way

eval instant at 1m x[1m]
  expect range vector from 10s to 1m step 10s
  x 1+1x5

eval instant at 0 'a b'
  expect string " a\n"

eval instant at 0 12
	0x10
eval instant at 0 time()
  -Inf
"#;

fn evaluations() -> Vec<Evaluation> {
    let commands = read(SCRIPT).unwrap();
    let each = commands.into_iter().filter_map(|command| match command {
        Command::Evaluate(evaluation) => Some(*evaluation),
        _ => None,
    });
    each.collect()
}

#[test]
fn loads_are_read() {
    let commands = read(SCRIPT).unwrap();
    let Command::Load(empty) = &commands[0] else { panic!("not a load") };
    assert!(empty.series.is_empty() && empty.step == Duration::from_secs(300));
    let Command::Load(load) = &commands[1] else { panic!("not a load") };
    assert_eq!((load.series.len(), load.with_custom_buckets), (2, false));
    assert_eq!(load.step, Duration::from_millis(10_053));
    assert_eq!(load.series[0].1.len(), 5);
    let Command::Load(custom) = &commands[2] else { panic!("not a load") };
    assert!(custom.with_custom_buckets);
    assert_eq!(commands.iter().filter(|c| matches!(c, Command::Clear)).count(), 1);
}

#[test]
fn evaluations_are_read() {
    let evaluations = evaluations();
    let queries: Vec<&str> = evaluations.iter().map(|e| e.query.as_str()).collect();
    let all = ["sum by (job) (up)", "up offset 1m", "up{", "x[1m]", "'a b'", "12", "time()"];
    assert_eq!(queries, all);
    assert_eq!(evaluations[0].line, 15);
    let expect = &evaluations[0].expect;
    assert!(expect.ordered && expect.no_info && !expect.no_warn && expect.fail.is_none());
    assert!(matches!(expect.warn.as_slice(), [Text::Any]));
    let Answer::Series(rows) = &evaluations[0].answer else { panic!("not series") };
    assert_eq!(rows.len(), 2);

    let When::Over(span) = evaluations[1].when else { panic!("not a range") };
    assert_eq!((span.start, span.end), (Timestamp(0), Timestamp(180_000)));
    assert_eq!(span.step, Duration::from_secs(90));
    let info = &evaluations[1].expect.info;
    assert!(info[0].meets("PromQL info: x (1:5)") && !info[0].meets("PromQL info: x (1:5) "));
    assert!(info[1].meets("anything (1:23)\nmore") && !info[1].meets("(2:23)"));

    let fail = evaluations[2].expect.fail.as_ref().unwrap();
    assert!(fail.meets("no way") && !fail.meets("no"));
    let Answer::Matrix(span, _) = &evaluations[3].answer else { panic!("not a matrix") };
    assert_eq!(span.start, Timestamp(10_000));
    assert!(matches!(&evaluations[4].answer, Answer::Text(text) if text == " a\n"));
    assert!(matches!(evaluations[5].answer, Answer::Number(number) if number == 16.0));
    assert!(matches!(evaluations[6].answer, Answer::Number(f64::NEG_INFINITY)));
}

#[test]
fn what_is_no_script_is_told_with_its_line() {
    for (text, error) in [
        ("\nlad 5m", "line 2: unknown command \"lad\": expected load, clear or eval"),
        ("load", "line 1: the step: empty duration string"),
        ("load 0", "line 1: the step is zero"),
        ("load 5m\n up 1-1", "line 2: expected `xN` after a step at \"\""),
        ("eval at 5m up", "line 1: expected `instant` or `range`, found \"at\""),
        ("eval instant 5m up", "line 1: expected `at`, found \"5m\""),
        ("eval instant at 5m", "line 1: expected a query"),
        ("eval range from 2m to 1m step 1m up", "line 1: the end is before the start"),
        ("eval instant at 0 up\n expect x", "line 2: unknown expectation \"x\""),
        (
            "eval instant at 0 up\n expect warn some: x",
            "line 2: expected `msg: …` or `regex: …`, found \"some: x\"",
        ),
        (
            "eval instant at 0 up\n expect warn\n expect no_warn",
            "line 3: the expectations contradict each other",
        ),
        ("eval instant at 0 up\n expect fail\n expect fail", "line 3: `expect fail` is said twice"),
        ("eval instant at 0 up\n expect string x", "line 2: expected a string in quotes"),
        (
            "eval instant at 0 up\n up 1 2",
            "line 2: several values of an instant query need `expect range vector`",
        ),
    ] {
        assert_eq!(read(text).map(|c| c.len()).map_err(|e| e.to_string()), Err(error.to_owned()));
    }
    assert!(read("eval instant at 0 up\n expect fail regex: (").is_err());
    let long = "#".repeat(SCRIPT_BYTES + 1);
    assert!(read(&long).unwrap_err().message.contains("longer than"));
    let many = "load 1s\n".to_owned() + &" a 1x999998\n".repeat(11);
    assert!(read(&many).unwrap_err().message.contains("more than 10000000 points"));
}
