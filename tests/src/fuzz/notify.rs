//! What the notifier journals and keeps in checkpoints, and the texts that it takes from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use bellwether_collector::pure::notify::address::Address;
use bellwether_collector::pure::notify::record::{
    Detail, Failure, GiveUp, Intent, Outcome, Record, RetryAfter, ToldAlert, Verdict, Why,
};
use bellwether_collector::pure::notify::select::{AlertSelector, read_matcher};
use bellwether_collector::pure::notify::state::NotifyState;
use bellwether_model::label::LabelSet;
use bellwether_model::time::Timestamp;
use bellwether_model::wire::bytes::Reader;
use bellwether_platform::sign::SigningKey;

use super::codec::Codec;

const RECORDS: Codec<Record> = Codec { read: Record::read, put: Record::put };
const STATE: Codec<NotifyState> = Codec { read: NotifyState::take, put: NotifyState::put };

/// Reads records and folds them into a state.
pub(super) fn read_records(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let mut state = NotifyState::default();
    while let Some(record) = RECORDS.read(&mut reader) {
        state.apply(&record);
    }
    STATE.comes_back(&state);
}

/// Reads a state.
pub(super) fn read_state(bytes: &[u8]) {
    drop(STATE.read(&mut Reader::new(bytes)));
}

/// Reads texts of the configuration, of command lines and of answers.
pub(super) fn read_texts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    drop(AlertSelector::parse(&text));
    drop(read_matcher(&text));
    drop(Address::parse(&text).map(|address| address.below("/x")));
    drop(SigningKey::parse(&text));
    if let Some(RetryAfter::At(at)) = RetryAfter::parse(&text) {
        assert_eq!(at.0 % 1000, 0, "dates of HTTP have whole seconds");
    }
}

fn records() -> Vec<Record> {
    let group = LabelSet::new([("alertname", "Down")]).expect("labels");
    let detail = Arc::new(Detail {
        labels: group.clone(),
        annotations: BTreeMap::from([("summary".to_owned(), "text".to_owned())]),
        generator_url: "http://c/graph".to_owned(),
    });
    let told = |ends_at, detail| ToldAlert { starts_at: Timestamp(1), ends_at, detail };
    let intent = |number, ends_at| {
        Record::Intent(Arc::new(Intent {
            number,
            id: format!("msg_{number}"),
            receiver: "ops".into(),
            group: group.clone(),
            at: Timestamp(5),
            deadline: Timestamp(9),
            reason: Why::Firing,
            body: b"{}"[..].into(),
            truncated: 1,
            alerts: BTreeMap::from([
                (7, told(None, None)),
                (8, told(ends_at, Some(Arc::clone(&detail)))),
            ]),
        }))
    };
    let result = |number, outcome, verdict| Record::Result {
        number,
        attempt: 1,
        at: Timestamp(6),
        outcome,
        verdict,
    };
    let attempt = |number| Record::Attempt { number, attempt: 1, at: Timestamp(5) };
    let asked = Some(RetryAfter::Seconds(3));
    let later = Verdict::Retry { at: Timestamp(8) };
    vec![
        intent(1, None),
        attempt(1),
        result(1, Outcome::answered(429, asked, "slowly"), later),
        intent(2, Some(Timestamp(4))),
        attempt(2),
        result(2, Outcome::failed(Failure::TimedOut, "late"), later),
        Record::GaveUp { number: 2, at: Timestamp(9), reason: GiveUp::Deadline },
        intent(3, None),
        attempt(3),
        result(3, Outcome::answered(410, None, ""), Verdict::Gone { until: Timestamp(20) }),
        Record::ReceiverBack { receiver: "ops".into() },
        Record::ClockBack { at: Timestamp(3) },
        Record::Settled { receiver: "ops".into(), group, at: Timestamp(4), untold: 1 },
        Record::ReceiverGone { receiver: "ops".into(), at: Timestamp(4) },
    ]
}

pub(super) fn record_seeds() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    records().iter().for_each(|record| record.put(&mut all));
    vec![all]
}

pub(super) fn state_seeds() -> Vec<Vec<u8>> {
    let mut state = NotifyState::default();
    let states = records().into_iter().map(|record| {
        state.apply(&record);
        let mut out = Vec::new();
        state.put(&mut out);
        out
    });
    states.collect()
}

pub(super) fn text_seeds() -> Vec<Vec<u8>> {
    [
        "Down{instance=~\"a|b\", x!=\"y\\\"\"}",
        "https://h:1/a?b=c",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "Sun, 06 Nov 1994 08:49:37 GMT",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
