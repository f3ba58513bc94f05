use std::time::Duration;

use bellwether_model::time::Mono;

use super::super::outbox::ENTRY_BYTES;
use super::*;
use crate::pure::entry::Entry;
use crate::pure::notify::ALERTS;
use crate::pure::notify::plan::{GroupBy, ReceiverPlan};
use crate::pure::notify::record::GiveUp;
use crate::pure::notify::tests::{plan, receiver};

fn now(second: i64) -> Now {
    let mono = Mono(Duration::from_secs(second.unsigned_abs()));
    Now { wall: Timestamp(1_700_000_000_000 + second * 1000), mono }
}

/// A machine that has begun and knows of these alerts, of one rule.
fn telling(plan: NotifyPlan, alerts: usize) -> Telling {
    let mut telling = Telling::new(StoreId([7; 16]), plan, NotifyState::default());
    telling.begin(now(0), &BTreeMap::new(), Vec::new());
    let alert = |n: usize| AlertNow {
        labels: LabelSet::new([("alertname", "A"), ("n", &*n.to_string())]).unwrap(),
        annotations: BTreeMap::new(),
        value: 1.0,
        starts_at: now(0).wall,
        ends_at: None,
        generator_url: String::new(),
    };
    let rule = RuleRef { file: "r".into(), group: "g".into(), alert: "A".into(), number: 0 };
    let (interval, slot) = (Duration::from_secs(1), now(0).wall);
    let alerts = (0..alerts).map(alert).collect();
    telling.step(now(0), event::Event::Rule { rule, interval, slot, alerts });
    telling
}

/// All entries that the machine has, each taken by the journal at once.
fn entries(telling: &mut Telling) -> Vec<Vec<u8>> {
    let (mut entries, mut effects) = (Vec::new(), Vec::new());
    while telling.flush(now(0), &mut effects) {
        let recorded = effects.drain(..).filter_map(|effect| match effect {
            Effect::Record(bytes) => Some(bytes),
            _ => None,
        });
        entries.extend(recorded);
        telling.recorded(now(0), Some(Position(1)), &mut effects);
    }
    entries
}

#[test]
fn an_entry_has_no_more_than_its_bound_and_one_record() {
    let few = |n: usize| ReceiverPlan {
        max_alerts: 1,
        group_by: GroupBy::Labels(Vec::new()),
        ..receiver(&n.to_string())
    };
    let mut telling = telling(plan((0..8).map(few)), ALERTS);
    let entries = entries(&mut telling);
    let mut records = 0;
    for entry in &entries {
        // A notification that shows one alert tells of all.
        assert!(entry.len() < ENTRY_BYTES + ALERTS * 24, "{} bytes", entry.len());
        let Ok(Entry::Notices(read)) = Entry::read(entry) else { panic!("notices") };
        records += read.len();
    }
    assert_eq!((entries.len() > 1, records), (true, 16), "eight intents, eight attempts");
}

#[test]
fn a_notification_that_is_given_up_is_told_with_its_receiver_and_id() {
    let mut telling = telling(plan([receiver("ops")]), 1);
    let mut effects = Vec::new();
    assert!(telling.flush(now(0), &mut effects));
    telling.recorded(now(0), Some(Position(1)), &mut effects);
    let Some(Effect::Send { delivery, .. }) = effects.pop() else { panic!("nothing is sent") };
    telling.delivered(now(0), delivery.ticket, Outcome::answered(400, None, "no"));
    telling.flush(now(0), &mut effects);
    let given_up = effects.iter().filter_map(|effect| match effect {
        Effect::GaveUp(one) => Some((&*one.receiver, one.reason, one.id.starts_with("msg_"))),
        _ => None,
    });
    assert_eq!(given_up.collect::<Vec<_>>(), [("ops", GiveUp::Refused, true)]);
}
