//! Whether a signal is the collector's, is meant for now, and asks for what the file allows.

use bellwether_model::signal::{
    BODY_BYTES_MAX, FRESH, Kind, Signal, Signed, id_of, is_key, is_name,
};
use bellwether_model::time::{self, Timestamp};
use bellwether_platform::sign::SigningKey;

use super::Lane;
use super::config::AllowPlan;

/// A deadline that is further away is no deadline; ledger entries are kept for longer.
const DEADLINE_MAX_MS: i64 = 24 * 3600 * 1000;
/// Bytes of an id and of a header of signatures.
const HEADER_BYTES_MAX: usize = 1024;

/// Why a signal is not believed; nobody is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Distrust {
    /// Over the bound.
    #[error("it is too large")]
    TooLarge,
    /// Another's key, or changed on the way.
    #[error("its signature is not of this hook's key")]
    Signature,
    /// More than five minutes away: it may be replayed.
    #[error("it was signed more than five minutes from this host's time")]
    Stale,
    /// Signed, but no signal.
    #[error("its body is no signal")]
    Malformed,
    /// Signed, but under the id of another key.
    #[error("its id is not of its key")]
    Id,
}

impl Distrust {
    /// Every one.
    pub const ALL: [Distrust; 5] = [
        Distrust::TooLarge,
        Distrust::Signature,
        Distrust::Stale,
        Distrust::Malformed,
        Distrust::Id,
    ];

    /// The label `reason` of the counter.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Distrust::TooLarge => "too_large",
            Distrust::Signature => "signature",
            Distrust::Stale => "stale",
            Distrust::Malformed => "malformed",
            Distrust::Id => "id",
        }
    }
}

/// Reads a signal that the collector signed a moment ago. The signature is checked before anything
/// in the body is looked at.
///
/// # Errors
/// It is not believed.
pub fn believe(signed: &Signed, key: &SigningKey, now: Timestamp) -> Result<Signal, Distrust> {
    let Signed { id, timestamp, signature, body } = signed;
    let is_long = |text: &str| text.len() > HEADER_BYTES_MAX;
    if body.len() > BODY_BYTES_MAX || is_long(id) || is_long(signature) {
        return Err(Distrust::TooLarge);
    }
    if !key.verifies(signature, id, *timestamp, body.as_bytes()) {
        return Err(Distrust::Signature);
    }
    if now.0.div_euclid(1000).abs_diff(*timestamp) > FRESH.as_secs() {
        return Err(Distrust::Stale);
    }
    let signal: Signal = serde_json::from_str(body).map_err(|_| Distrust::Malformed)?;
    if !is_key(&signal.data.key) || signal.data.generation == 0 {
        return Err(Distrust::Malformed);
    }
    if *id != id_of(&signal.data.key) {
        return Err(Distrust::Id);
    }
    Ok(signal)
}

/// The place in the allow-list that a signal falls under.
///
/// # Errors
/// The file does not allow it, in words.
pub fn allowed(plans: &[AllowPlan], signal: &Signal) -> Result<usize, String> {
    let data = &signal.data;
    let names = [
        ("service", &data.service),
        ("environment", &data.environment),
        ("rollout", &data.rollout),
        ("from", &data.from),
        ("to", &data.to),
        ("precondition.current_version", &data.precondition.current_version),
    ];
    for (field, name) in names {
        if !is_name(name) {
            return Err(format!("`{field}` is no name: letters, digits, `.`, `_` and `-`"));
        }
    }
    let lane = Lane::of(signal);
    let found = plans.iter().enumerate().find(|(_, plan)| plan.lane == lane);
    let (at, plan) = found.ok_or("service and environment are not in this hook's allow-list")?;
    for (field, version) in names.into_iter().skip(3) {
        if !plan.versions.is_match(version) {
            return Err(format!("`{field}` does not match `versions` of the allow-list"));
        }
    }
    if signal.kind == Kind::Rollback && data.from == data.to {
        return Err("`from` and `to` are the same version".to_owned());
    }
    if plan.program(signal.kind).is_none() {
        return Err("the allow-list has no program for this".to_owned());
    }
    Ok(at)
}

/// Refuses what must not begin any more.
///
/// # Errors
/// The deadline has passed, is none, or is too far away to be meant.
pub fn in_time(signal: &Signal, now: Timestamp) -> Result<(), String> {
    let deadline = deadline(signal).ok_or("`deadline` is no time")?;
    match deadline.0.saturating_sub(now.0) {
        ..0 => Err("the deadline has passed".to_owned()),
        0..=DEADLINE_MAX_MS => Ok(()),
        _ => Err("`deadline` is more than a day away".to_owned()),
    }
}

/// The deadline of a signal, if it has a readable one.
#[must_use]
pub fn deadline(signal: &Signal) -> Option<Timestamp> {
    time::parse(&signal.data.deadline).ok()
}

#[cfg(test)]
mod tests {
    use super::super::config::testing::plan;
    use super::super::testing::{NOW, key, signal, signed};
    use super::*;

    #[test]
    fn only_what_was_signed_with_the_key_a_moment_ago_is_believed() {
        let good = signed(&signal(1, 1), NOW);
        assert_eq!(believe(&good, &key(), NOW), Ok(signal(1, 1)));
        let other = SigningKey::parse(&SigningKey::encode(&[8; 32])).unwrap();
        assert_eq!(believe(&good, &other, NOW), Err(Distrust::Signature));
        let changed = Signed { body: good.body.replace("2.3.9", "6.6.6"), ..good.clone() };
        assert_eq!(believe(&changed, &key(), NOW), Err(Distrust::Signature));
        let later = Signed { timestamp: good.timestamp + 1, ..good.clone() };
        assert_eq!(believe(&later, &key(), NOW), Err(Distrust::Signature), "the time is signed");
        for (away, expected) in [(300_000, None), (301_000, Some(Distrust::Stale))] {
            for at in [Timestamp(NOW.0 - away), Timestamp(NOW.0 + away)] {
                assert_eq!(believe(&good, &key(), at).err(), expected, "{away}");
            }
        }
    }

    #[test]
    fn what_is_signed_and_no_signal_is_not_read_further() {
        let body = |body: String| {
            let (id, timestamp) = (id_of(&"01".repeat(32)), NOW.0 / 1000);
            let signature = key().sign(&id, timestamp, body.as_bytes());
            believe(&Signed { id, timestamp, signature, body }, &key(), NOW)
        };
        let good = serde_json::to_string(&signal(1, 1)).unwrap();
        assert!(body(good.clone()).is_ok());
        let bad = [
            good.replace("{\"type\"", "{\"extra\":1,\"type\""),
            good.replace("\"generation\":1", "\"generation\":0"),
            good.replace("\"generation\":1", "\"generation\":-1"),
            good.replace("\"generation\":1", "\"generation\":1,\"generation\":2"),
            good.replace(&"01".repeat(32), "../../etc/passwd"),
            good.replace("rollback.requested", "rollback.forced"),
            "[".repeat(10_000),
            String::new(),
        ];
        for text in bad {
            assert_eq!(body(text.clone()), Err(Distrust::Malformed), "{text}");
        }
        assert_eq!(body(good.replace(&"01".repeat(32), &"02".repeat(32))), Err(Distrust::Id));
        let long = good.replace("4 of 83", &"4".repeat(BODY_BYTES_MAX));
        assert_eq!(body(long), Err(Distrust::TooLarge));
    }

    fn allow(change: impl FnOnce(&mut Signal)) -> Result<usize, String> {
        let mut signal = signal(1, 1);
        change(&mut signal);
        allowed(&plan().allow, &signal)
    }

    #[test]
    fn names_and_versions_are_checked_before_anything_is_done() {
        assert_eq!(allow(|_| ()), Ok(0));
        let refused = |change: fn(&mut Signal), words: &str| {
            let reason = allow(change).unwrap_err();
            assert!(reason.contains(words), "{reason}");
        };
        refused(|s| s.data.to = "$(rm)".into(), "`to` is no name");
        refused(|s| s.data.rollout = "a;b".into(), "`rollout` is no name");
        refused(|s| s.data.service = "--force".into(), "`service` is no name");
        refused(|s| s.data.service = "other".into(), "not in this hook's allow-list");
        refused(|s| s.data.environment = "staging".into(), "not in this hook's allow-list");
        refused(|s| s.data.to = "2.3.9-evil".into(), "`to` does not match");
        refused(|s| s.data.from = "latest".into(), "`from` does not match");
        refused(|s| s.data.precondition.current_version = "x".into(), "`precondition");
        refused(|s| s.data.to = s.data.from.clone(), "the same version");
        refused(|s| s.kind = Kind::Hold, "no program for this");
    }

    #[test]
    fn a_deadline_is_near_and_ahead() {
        let at = |deadline: &str, now: Timestamp| {
            let mut signal = signal(1, 1);
            signal.data.deadline = deadline.to_owned();
            in_time(&signal, now)
        };
        let text = signal(1, 1).data.deadline;
        assert_eq!(at(&text, NOW), Ok(()));
        assert!(at(&text, Timestamp(NOW.0 + 120_001)).unwrap_err().contains("has passed"));
        assert!(at(&text, Timestamp(NOW.0 - DEADLINE_MAX_MS)).unwrap_err().contains("a day"));
        assert!(at("soon", NOW).unwrap_err().contains("no time"));
    }
}
