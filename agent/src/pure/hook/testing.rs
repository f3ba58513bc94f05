//! Signals for tests.

use bellwether_model::signal::{Data, Kind, Precondition, Signal, Signed, id_of};
use bellwether_model::time::{Timestamp, date_millis};
use bellwether_platform::sign::SigningKey;

/// A moment in 2026.
pub(crate) const NOW: Timestamp = Timestamp(1_795_000_000_000);

pub(crate) fn key() -> SigningKey {
    SigningKey::parse(&SigningKey::encode(&[7; 32])).unwrap()
}

/// A wish to go from 2.4.0 to 2.3.9, which `number` tells from others.
pub(crate) fn signal(number: u8, generation: u64) -> Signal {
    Signal {
        kind: Kind::Rollback,
        timestamp: date_millis(NOW),
        data: Data {
            key: format!("{number:02x}").repeat(32),
            generation,
            service: "checkout".to_owned(),
            environment: "production".to_owned(),
            rollout: format!("gh-{number}"),
            from: "2.4.0".to_owned(),
            to: "2.3.9".to_owned(),
            precondition: Precondition { current_version: "2.4.0".to_owned() },
            deadline: date_millis(Timestamp(NOW.0 + 120_000)),
            reason: "4 of 83 requests failed".to_owned(),
            record: None,
        },
    }
}

/// As a collector sends it at a time.
pub(crate) fn signed(signal: &Signal, at: Timestamp) -> Signed {
    let body = serde_json::to_string(signal).unwrap();
    let (id, timestamp) = (id_of(&signal.data.key), at.0.div_euclid(1000));
    let signature = key().sign(&id, timestamp, body.as_bytes());
    Signed { id, timestamp, signature, body }
}
