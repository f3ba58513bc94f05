//! Readers of the hook runner: bodies that were signed, names of ledger files.

use bellwether_agent::pure::hook::config::{self, Plan};
use bellwether_agent::pure::hook::ledger::Name;
use bellwether_agent::pure::hook::verify::{allowed, believe, in_time};
use bellwether_agent::shell::hook::program::variables;
use bellwether_model::config::Environment;
use bellwether_model::signal::{Signed, id_of};
use bellwether_model::time::Timestamp;
use bellwether_platform::sign::SigningKey;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const FILE: &str = "collector: {url: 'http://127.0.0.1:9797'}
name: web-1
secret: whsec_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=
allow:
  - {service: a, environment: b, rollback: {run: [/x]}, hold: {run: [/x]}, versions: '[0-9.]+'}
";

fn digits() -> String {
    "0a".repeat(32)
}

fn plan() -> Plan {
    config::read("f", FILE, &Environment::new()).expect("a good file").0
}

/// Bodies that are signals.
pub(super) fn signal_seeds() -> Vec<Vec<u8>> {
    let body = |kind: &str| {
        format!(
            "{{\"type\":\"{kind}\",\"timestamp\":\"2026-11-18T10:00:00Z\",\"data\":{{\
             \"key\":\"{}\",\"generation\":1,\"service\":\"a\",\"environment\":\"b\",\
             \"rollout\":\"r\",\"from\":\"2\",\"to\":\"1\",\"precondition\":\
             {{\"current_version\":\"2\"}},\"deadline\":\"2026-11-18T13:46:40Z\",\
             \"reason\":\"x\",\"record\":{{\"name\":\"n\",\"sha256\":\"s\"}}}}}}",
            digits()
        )
        .into_bytes()
    };
    vec![body("rollback.requested"), body("deploy.hold")]
}

/// Whatever is signed and allowed gives programs nothing but names.
pub(super) fn read_signal(input: &[u8]) {
    let Ok(body) = String::from_utf8(input.to_vec()) else { return };
    let key = SigningKey::parse(&SigningKey::encode(&[7; 32])).expect("a key");
    let (id, timestamp) = (id_of(&digits()), NOW.0 / 1000);
    let signature = key.sign(&id, timestamp, body.as_bytes());
    let signed = Signed { id, timestamp, signature, body };
    let Ok(signal) = believe(&signed, &key, NOW) else { return };
    let plan = plan();
    let in_time = in_time(&signal, NOW);
    let Ok(at) = allowed(&plan.allow, &signal) else { return };
    let lane = &plan.allow.get(at).expect("an entry").lane;
    for (name, value) in variables(lane, Some(&signal)) {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        assert!(value.bytes().all(is_plain) && !value.starts_with('-'), "{name}={value:?}");
    }
    assert!(in_time.is_ok() || in_time.is_err_and(|words| !words.is_empty()));
}

/// Names of files.
pub(super) fn name_seeds() -> Vec<Vec<u8>> {
    let key = digits();
    let names = [format!("{key}.started"), format!("{key}.done"), "a@b.generation".to_owned()];
    names.map(String::into_bytes).to_vec()
}

/// A name that is read is the one that would be written, and none leads out of its directory.
pub(super) fn read_name(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Some(name) = Name::parse(text) else { return };
    assert_eq!(name.file(), text);
    assert!(!text.contains('/') && !text.starts_with('.'));
}
