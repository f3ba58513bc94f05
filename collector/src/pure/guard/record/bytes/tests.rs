use bellwether_model::label::LabelSet;
use bellwether_model::matcher::MatchOp;
use bellwether_rules::service::{Mode, Risk, Strategy};
use bellwether_rules::verdict::{Missing, Outcome, Verdict};

use super::super::{Announced, Clause, Measured, MeasuredSli};
use super::*;

fn name(text: &str) -> Arc<str> {
    text.into()
}

fn announced() -> Announced {
    let clause =
        Clause { name: "instance".to_owned(), op: MatchOp::Regex, value: "a|b".to_owned() };
    Announced {
        rollout: name("gh-1"),
        service: name("checkout"),
        environment: name("production"),
        from: name("1"),
        to: name("2"),
        strategy: Strategy::Staged,
        risk: Risk::Critical,
        mode: Mode::Advise,
        alpha: 1e-4,
        share: Some(0.05),
        watch_ms: 3_600_000,
        hook: Some(name("switch")),
        measured: Measured {
            train_requests: 20,
            version_label: "version".to_owned(),
            stratum_label: Some("route".to_owned()),
            environment: Vec::new(),
            slis: vec![MeasuredSli {
                name: name("errors"),
                total: vec![clause.clone()],
                part: vec![clause.clone()],
                is_good: true,
            }],
        },
        canary: vec![clause],
        baseline: Vec::new(),
        labels: LabelSet::new([("team", "ops")]).unwrap(),
        runbook: Some("https://wiki/checkout".to_owned()),
        irreversible: true,
        digest: [7; 32],
        by: "ci".to_owned(),
        at: Timestamp(-5),
    }
}

fn intent() -> Intent {
    Intent {
        number: 3,
        rollout: name("gh-1"),
        service: name("checkout"),
        environment: name("production"),
        generation: 17,
        key: "9f".repeat(32).into(),
        kind: Kind::Hold,
        from: name("2"),
        to: name("1"),
        hook: name(""),
        body: b"{}"[..].into(),
        at: Timestamp(10),
        deadline: Timestamp(20),
    }
}

fn every_record() -> Vec<Record> {
    let count = |sli| Count {
        sli,
        stratum: 2,
        canary: Arm { n: 9, bad: 1 },
        baseline: Arm { n: 300, bad: 0 },
    };
    let mut records = vec![
        Record::Announced(Arc::new(announced())),
        Record::Judged {
            rollout: name("gh-1"),
            strata: vec![String::new(), "/pay".to_owned()],
            seconds: SIGHTS
                .map(|canary| Second {
                    second: -1,
                    canary,
                    baseline: Sight::Seen,
                    counts: vec![count(0), count(u16::MAX)],
                })
                .to_vec(),
        },
        Record::Intended(Arc::new(intent())),
        Record::Attempt { signal: 3, attempt: 2, at: Timestamp(11) },
    ];
    records.extend(WORDS.map(|word| Record::Said {
        rollout: name("gh-1"),
        word,
        by: "ada".to_owned(),
        reason: "ä".to_owned(),
        at: Timestamp(12),
    }));
    let missing = [
        Missing::Canary,
        Missing::Baseline,
        Missing::WarmUp { seconds: 9 },
        Missing::Share,
        Missing::Burst,
        Missing::Requests { canary: 1 << 40 },
    ];
    let verdicts = missing.map(|missing| Verdict::Inconclusive { missing });
    records.extend(verdicts.into_iter().chain([Verdict::Fail, Verdict::Pass]).map(|verdict| {
        let (rollout, sli, record) = (name("gh-1"), name("errors"), Hash([4; 32]));
        let grounds = Arc::new(grounds(verdict));
        Record::Decided { rollout, sli, verdict, grounds, record, at: Timestamp(13) }
    }));
    records.extend(Status::ALL.map(|status| {
        let current_version = (status == Status::Done).then(|| "1".to_owned());
        let (key, detail) = ("9f".repeat(32), "x".repeat(DETAIL_BYTES_MAX));
        let retry = status == Status::Failed;
        let answer = Answer { key, status, current_version, detail, retry };
        Record::Answered { signal: 3, answer, at: Timestamp(14) }
    }));
    records.extend(SIGHTINGS.map(|by| Record::Observed { signal: 3, by, at: Timestamp(15) }));
    records.extend(CLOSES.map(|outcome| {
        let detail = outcome.as_str().to_owned();
        Record::Closed { signal: 3, outcome, detail, at: Timestamp(16) }
    }));
    let rollout = name("gh-1");
    records.extend(ENDS.map(|end| {
        let rollout = Arc::clone(&rollout);
        Record::Ended { rollout, end, at: Timestamp(17) }
    }));
    records.push(Record::Kept { rollout });
    records
}

fn grounds(verdict: Verdict) -> Outcome {
    let is_known = verdict == Verdict::Fail;
    Outcome {
        verdict,
        decision_second: is_known.then_some(-3),
        first_bad_second: Some(1_780_000_000),
        log_e: 6.9,
        log_e_unguarded: f64::INFINITY,
        log_e_max: -0.0,
        smallest_ratio: is_known.then_some(1.5),
        ratio_at_most: Some(2.4),
        canary_n: 10,
        canary_bad: 2,
        baseline_n: 1 << 40,
        baseline_bad: 0,
        reason: "worse".to_owned(),
    }
}

#[test]
fn every_record_comes_back_and_no_part_of_one_is_a_record() {
    for record in every_record() {
        let mut out = Vec::new();
        record.put(&mut out);
        let mut reader = Reader::new(&out);
        assert_eq!(Record::read(&mut reader).as_ref(), Ok(&record));
        assert_eq!(reader.finish(), Ok(()), "{record:?}");
        for cut in 0..out.len() {
            assert!(Record::read(&mut Reader::new(&out[..cut])).is_err(), "{record:?} at {cut}");
        }
    }
}

#[test]
fn numbers_and_lengths_out_of_their_bounds_are_refused() {
    let refused = |record: Record, what: &str| {
        let mut out = Vec::new();
        record.put(&mut out);
        let error = Record::read(&mut Reader::new(&out)).unwrap_err();
        assert_eq!(error.what, what, "{record:?}");
    };
    let over = name(&"a".repeat(NAME_BYTES_MAX + 1));
    let ended = Record::Ended { rollout: over, end: End::Watched, at: Timestamp(1) };
    refused(ended, "count over its bound");
    for alpha in [f64::NAN, -0.1, 1.1] {
        let announced = Announced { alpha, ..announced() };
        refused(Record::Announced(Arc::new(announced)), "not from 0 to 1");
    }
    let arm = Arm { n: 1, bad: 2 };
    let count = Count { sli: 0, stratum: 0, canary: arm, baseline: Arm::default() };
    let (canary, baseline) = (Sight::Seen, Sight::Seen);
    let second = Second { second: 1, canary, baseline, counts: vec![count] };
    let judged = Record::Judged { rollout: name("r"), strata: Vec::new(), seconds: vec![second] };
    refused(judged, "more bad requests than requests");
    let answer = Answer {
        key: "zz".repeat(32),
        status: Status::Done,
        current_version: None,
        detail: String::new(),
        retry: false,
    };
    refused(Record::Answered { signal: 1, answer, at: Timestamp(1) }, "no key of a signal");
    let grounds = Arc::new(Outcome { log_e: f64::NAN, ..grounds(Verdict::Fail) });
    let (rollout, sli, record) = (name("r"), name("errors"), Hash([4; 32]));
    let (verdict, at) = (Verdict::Fail, Timestamp(13));
    refused(Record::Decided { rollout, sli, verdict, grounds, record, at }, "no number");
    let unknown = Record::read(&mut Reader::new(&[99])).unwrap_err();
    assert_eq!(unknown.what, "no such record of the guard");
}
