//! What the guard journals, what the lanes keep in checkpoints, and what hooks answer.

use std::sync::Arc;

use bellwether_collector::pure::guard::lane::Lanes;
use bellwether_collector::pure::guard::lane::effect::Effect;
use bellwether_collector::pure::guard::lane::state::LanesState;
use bellwether_collector::pure::guard::plan::{HookPlan, HooksPlan};
use bellwether_collector::pure::guard::record::{
    Announced, Clause, Close, Count, End, Intent, Measured, MeasuredSli, Record, Second, Sight,
    Sighting, Word,
};
use bellwether_collector::pure::notify::plan::Endpoint;
use bellwether_collector::pure::notify::record::Outcome;
use bellwether_model::config::Secret;
use bellwether_model::label::LabelSet;
use bellwether_model::matcher::MatchOp;
use bellwether_model::signal::{Answer, Kind, Status};
use bellwether_model::time::{Mono, Now, Timestamp};
use bellwether_model::wire::bytes::Reader;
use bellwether_platform::tls::ClientFiles;
use bellwether_rules::record::Hash;
use bellwether_rules::service::{Mode, Risk, Strategy};
use bellwether_rules::verdict::{self, Arm, Missing, Verdict};

use super::codec::Codec;

const KEY: &str = "9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f9f";

const RECORDS: Codec<Record> = Codec { read: Record::read, put: Record::put };
const STATE: Codec<LanesState> = Codec { read: LanesState::take, put: LanesState::put };

/// Reads records and folds them into a state.
pub(super) fn read_records(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut state = LanesState::default();
    while let Some(record) = RECORDS.read(&mut reader) {
        state.apply(&record);
    }
    STATE.comes_back(&state);
}

/// Reads a state, which the machine takes up.
pub(super) fn read_state(bytes: &[u8]) {
    STATE.read(&mut Reader::new(bytes)).into_iter().for_each(take_up);
}

/// Whatever a hook answers is taken.
pub(super) fn read_answer(bytes: &[u8]) {
    let mut state = LanesState::default();
    records().iter().take(1).for_each(|record| state.apply(record));
    let mut lanes = Lanes::new(state, hooks());
    let mut out = Vec::new();
    let outcome = Outcome::answered(200, None, "");
    lanes.delivered(now(6), (1, 1), &outcome, bytes, &mut out);
    if let Ok(answer) = serde_json::from_slice::<Answer>(bytes) {
        // An answer of another key is none.
        lanes.answered(now(7), "web", answer, &mut out).ok();
    }
    let written = out.iter().filter_map(|effect| match effect {
        Effect::Record(record) => Some(record),
        _ => None,
    });
    for record in written {
        let mut out = Vec::new();
        record.put(&mut out);
        assert_eq!(Record::read(&mut Reader::new(&out)).as_ref(), Ok(record));
    }
}

fn take_up(state: LanesState) {
    let mut lanes = Lanes::new(state, hooks());
    let mut out = Vec::new();
    for millis in [5, 5000, i64::MAX] {
        lanes.tick(now(millis), &mut out);
    }
    assert_eq!(lanes.state().open().count(), 0, "everything is over at the end of time");
}

fn now(millis: i64) -> Now {
    Now { wall: Timestamp(millis), mono: Mono::default() }
}

fn hooks() -> HooksPlan {
    let web = HookPlan::Webhook {
        endpoint: Box::new(Endpoint {
            url: Secret::text("http://hook.invalid/"),
            authorization: None,
            tls: ClientFiles { ca: None, identity: None },
            way: None,
            timeout: std::time::Duration::from_secs(3),
        }),
        secrets: Vec::new(),
    };
    let runner = HookPlan::Runner { secrets: Vec::new() };
    HooksPlan([("web".into(), Arc::new(web)), ("run".into(), Arc::new(runner))].into())
}

/// Those of signals; the first is one of the number 1.
fn records() -> Vec<Record> {
    let intent = |number, hook: &str| {
        Record::Intended(Arc::new(Intent {
            number,
            rollout: "r".into(),
            service: "s".into(),
            environment: "e".into(),
            generation: number,
            key: KEY.into(),
            kind: Kind::Rollback,
            from: "2".into(),
            to: "1".into(),
            hook: hook.into(),
            body: b"{}"[..].into(),
            at: Timestamp(5),
            deadline: Timestamp(9000),
        }))
    };
    let answer = |status, version: Option<&str>| Record::Answered {
        signal: 1,
        answer: Answer {
            key: KEY.to_owned(),
            status,
            current_version: version.map(str::to_owned),
            detail: "d".to_owned(),
            retry: status == Status::Failed,
        },
        at: Timestamp(7),
    };
    let at = Timestamp(8);
    vec![
        intent(1, "web"),
        Record::Attempt { signal: 1, attempt: 1, at },
        answer(Status::Accepted, None),
        answer(Status::Done, Some("1")),
        answer(Status::Failed, None),
        Record::Observed { signal: 1, by: Sighting::Series, at },
        Record::Closed { signal: 1, outcome: Close::Restored, detail: "w".to_owned(), at },
        intent(2, "run"),
    ]
}

/// Those that are not of signals.
fn others() -> Vec<Record> {
    let at = Timestamp(8);
    let arm = Arm { n: 3, bad: 1 };
    let count = Count { sli: 0, stratum: 1, canary: arm, baseline: arm };
    let second =
        Second { second: 5, canary: Sight::Seen, baseline: Sight::Dead, counts: vec![count] };
    let missing = Missing::Requests { canary: 5 };
    let clause = Clause { name: "a".to_owned(), op: MatchOp::Equal, value: "b".to_owned() };
    let verdict = Verdict::Inconclusive { missing };
    vec![
        Record::Announced(Arc::new(Announced {
            rollout: "r".into(),
            service: "s".into(),
            environment: "e".into(),
            from: "1".into(),
            to: "2".into(),
            strategy: Strategy::Canary,
            risk: Risk::Low,
            mode: Mode::Act,
            alpha: 0.01,
            share: Some(0.05),
            watch_ms: 60_000,
            hook: Some("switch".into()),
            measured: Measured {
                version_label: "version".to_owned(),
                stratum_label: None,
                train_requests: 20,
                environment: Vec::new(),
                slis: vec![MeasuredSli {
                    name: "errors".into(),
                    total: vec![clause.clone()],
                    part: Vec::new(),
                    is_good: true,
                }],
            },
            canary: vec![clause],
            baseline: Vec::new(),
            labels: LabelSet::default(),
            runbook: None,
            irreversible: false,
            digest: [1; 32],
            by: "ci".to_owned(),
            at,
        })),
        Record::Judged { rollout: "r".into(), strata: vec!["x".to_owned()], seconds: vec![second] },
        Record::Said {
            rollout: "r".into(),
            word: Word::Abort,
            by: "ada".to_owned(),
            reason: "w".to_owned(),
            at,
        },
        Record::Decided {
            rollout: "r".into(),
            sli: "errors".into(),
            verdict,
            grounds: Arc::new(grounds(verdict)),
            record: Hash([3; 32]),
            at,
        },
        Record::Ended { rollout: "r".into(), end: End::Failed, at },
        Record::Kept { rollout: "r".into() },
    ]
}

fn grounds(verdict: Verdict) -> verdict::Outcome {
    verdict::Outcome {
        verdict,
        decision_second: Some(5),
        first_bad_second: None,
        log_e: 1.0,
        log_e_unguarded: 2.0,
        log_e_max: 3.0,
        smallest_ratio: Some(4.0),
        ratio_at_most: None,
        canary_n: 3,
        canary_bad: 1,
        baseline_n: 3,
        baseline_bad: 1,
        reason: "w".to_owned(),
    }
}

pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    records().iter().chain(&others()).for_each(|record| record.put(&mut all));
    vec![all]
}

pub(super) fn state_seeds() -> Vec<Vec<u8>> {
    let mut state = LanesState::default();
    let states = records().into_iter().map(|record| {
        state.apply(&record);
        let mut out = Vec::new();
        state.put(&mut out);
        out
    });
    states.collect()
}

pub(super) fn answer_seeds() -> Vec<Vec<u8>> {
    let words = ["accepted", "done", "already_done", "precondition_failed", "refused", "failed"];
    let answer = |status| {
        let version = "\"current_version\":\"1\",\"detail\":\"a\\nb\",\"retry\":true";
        format!("{{\"key\":\"{KEY}\",\"status\":\"{status}\",{version}}}").into_bytes()
    };
    words.map(answer).into()
}
