//! What is not the collector's, not for now or not allowed: nothing is run.

use bellwether_model::signal::{Kind, Signal, Status};
use bellwether_platform::sign::SigningKey;
use bellwether_tests::harness::until;

use super::super::says;
use super::collector::{Collector, Manner, key, now, signal, signed};
use super::commands::metric;
use super::{Host, SOON, Sight};

#[test]
fn what_is_forged_or_replayed_is_counted_and_not_answered() {
    let collector = Collector::start(Manner::Plain);
    let host = Host::new(&collector.address, Sight::Blind);
    let (_runner, page) = host.start();
    let other = SigningKey::parse(&SigningKey::encode(&[8; 32])).unwrap();
    let mut changed = signed(&signal(2), now(), &key());
    changed.body = changed.body.replace("2.3.9", "2.3.8");
    let old = now().saturating_sub(std::time::Duration::from_secs(600));
    let mut malformed = signed(&signal(4), now(), &key());
    malformed.body = malformed.body.replace("\"type\"", "\"force\":true,\"type\"");
    malformed.signature = key().sign(&malformed.id, malformed.timestamp, malformed.body.as_bytes());
    collector.open_raw(signed(&signal(1), now(), &other));
    collector.open_raw(changed);
    collector.open_raw(signed(&signal(3), old, &key()));
    collector.open_raw(malformed);
    for (reason, least) in [("signature", 2.0), ("stale", 1.0), ("malformed", 1.0)] {
        let name = format!("bellwether_hook_signals_distrusted_total{{reason=\"{reason}\"}}");
        until(&name, SOON, || (metric(&page, &name) >= least).then_some(()));
    }
    // A good one after them is done all the same, and they come with it once more.
    collector.open(signal(9));
    assert_eq!(collector.ended(9, 0).status, Status::Done);
    assert_eq!(host.ran(), [signal(9).data.key]);
    assert!(collector.answers().iter().all(|answer| answer.key == signal(9).data.key));
}

#[test]
fn what_the_file_does_not_allow_is_refused_with_the_reason() {
    let collector = Collector::start(Manner::Plain);
    let host = Host::new(&collector.address, Sight::Blind);
    let (_runner, _) = host.start();
    type Change = fn(&mut Signal);
    let changes: [(Change, &str); 7] = [
        (|s| s.data.to = "$(rm)".into(), "`to` is no name"),
        (|s| s.data.rollout = "a\nb".into(), "`rollout` is no name"),
        (|s| s.data.from = "2.4.0-rc1".into(), "`from` does not match"),
        (|s| s.data.service = "billing".into(), "not in this hook's allow-list"),
        (|s| s.data.environment = "staging".into(), "not in this hook's allow-list"),
        (|s| s.kind = Kind::Hold, "no program for this"),
        (|s| s.data.deadline = "2020-01-01T00:00:00Z".into(), "the deadline has passed"),
    ];
    for (number, (change, words)) in (1..).zip(changes) {
        let mut bad = signal(number);
        change(&mut bad);
        collector.open(bad);
        let answer = collector.ended(number, 0);
        assert_eq!(answer.status, Status::Refused, "{words}");
        assert!(answer.detail.contains(words), "{}", answer.detail);
    }
    assert!(host.ran().is_empty() && !host.has(".started") && !host.has(".generation"));
}

#[test]
fn a_generation_that_was_overtaken_is_refused() {
    let collector = Collector::start(Manner::Plain);
    let host = Host::new(&collector.address, Sight::Blind);
    let (_runner, _) = host.start();
    collector.open(signal(5));
    assert_eq!(collector.ended(5, 0).status, Status::Done);
    collector.open(signal(4));
    let answer = collector.ended(4, 0);
    assert_eq!(answer.status, Status::Refused);
    assert!(answer.detail.contains("generation 4 comes after 5"), "{}", answer.detail);
    assert_eq!(host.ran().len(), 1);
}

#[test]
fn a_hook_that_the_collector_does_not_know_says_so_and_does_nothing() {
    let collector = Collector::start(Manner::Plain);
    let host = Host::new(&collector.address, Sight::Blind);
    let text = std::fs::read_to_string(&host.config).unwrap();
    std::fs::write(&host.config, text.replace("name: web-1", "name: web-2")).unwrap();
    collector.open(signal(1));
    let (runner, _) = host.start();
    says(&runner, "status 404: no such hook", SOON);
    host.folder.write_secret("token", "another-token-another-token");
    let (second, _) = {
        drop(runner);
        host.start()
    };
    says(&second, "status 401: who are you", SOON);
    assert!(host.ran().is_empty());
}
