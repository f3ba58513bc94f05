use super::*;
use crate::shell::ship::{Declared, ShipReport};
use crate::shell::status::InputStatus;

fn count(frames: u64) -> Counted {
    Counted { frames, samples: frames * 500 }
}

#[test]
fn a_status_is_for_people() {
    let collector = CollectorReport {
        url: "http://a:9797".to_owned(),
        state: "retrying".to_owned(),
        last_error: Some("no route\u{1b}[2J".to_owned()),
        acked_seq: "3:17".to_owned(),
        owed: count(30),
        acked: count(17),
        returned: Counted::default(),
        held: count(11),
        dropped: [("spool_full".to_owned(), count(2))].into(),
        declared: vec![Declared {
            first: "3:18".to_owned(),
            last: "3:19".to_owned(),
            reason: "spool_full".to_owned(),
        }],
        columns_refused: [("series_per_agent".to_owned(), 7)].into(),
        oldest_unacked_seconds: Some(12.34),
    };
    let shipping = ShipReport {
        agent: "ab".to_owned(),
        incarnation: 3,
        collected: count(30),
        spooled: count(30),
        spool_bytes: 8192,
        spool_bytes_max: 1 << 20,
        spool_age_max_seconds: 3600,
        spool_segments: 2,
        clock_ahead_seconds: -0.25,
        collectors: vec![collector],
    };
    let input = |name: &str, state: &str, error: Option<&str>| InputStatus {
        name: name.to_owned(),
        state: state.to_owned(),
        error: error.map(str::to_owned),
        last_success_ms: Some(1_000_000).filter(|_| state == "ok"),
        duration_seconds: 0.000_12,
        series: 5,
    };
    let status = AgentStatus {
        version: "1".to_owned(),
        labels: "{job=\"node\"}".to_owned(),
        page: "http://127.0.0.1:9798".to_owned(),
        config_reload_successful: false,
        config_read_at: 1000,
        shipping,
        inputs: vec![input("cpu", "ok", None), input("arp", "failing", Some("net/arp: gone"))],
    };
    insta::assert_snapshot!(table(&status));
}

#[test]
fn nobody_there_is_said() {
    let dir = Path::new("/nowhere/agent");
    let error = ask(dir).unwrap_err();
    assert_eq!(error.to_string(), "no agent runs with the directory /nowhere/agent");
}
