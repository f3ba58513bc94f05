//! Tokens that are wrong, missing or revoked: each is answered, counted and told, nobody else is
//! disturbed, and what was kept meanwhile arrives once the token is right.

use std::time::Duration;

use bellwether_tests::harness::{Folder, until};

use super::daemons::{Agent, Collector, TOKEN as GOOD, token_file};
use super::faults::is_undisturbed;
use super::says;

const OTHER: &str = "fedcba9876543210fedcba9876543210";
const WRONG: &str = "00000000000000000000000000000000";
const SOON: Duration = Duration::from_secs(20);

#[test]
fn wrong_missing_and_revoked_tokens_are_told_and_lose_nothing() {
    let folder = Folder::new("tokens");
    for (name, token) in [
        ("revoked", OTHER),
        ("good-at-agent", GOOD),
        ("revoked-at-agent", OTHER),
        ("wrong-at-agent", WRONG),
    ] {
        folder.write_secret(name, token);
    }
    // The principal that every collector of these tests has, and one that will be revoked.
    let more = format!("  revoked:\n{}    scopes: [ingest]\n", token_file(&folder, "revoked"));
    let collector = Collector::start(&folder, &more);

    let agent = |name, token: &str| Agent::start(&folder, name, &collector.address, token, "");
    let good = agent("good-one", &token_file(&folder, "good-at-agent"));
    let revoked = agent("revoked-one", &token_file(&folder, "revoked-at-agent"));
    let wrong = agent("wrong-one", &token_file(&folder, "wrong-at-agent"));
    let missing = agent("missing-one", &token_file(&folder, "missing-at-agent"));
    let bare = agent("bare-one", "");

    says(&wrong.process, "unauthorized: the token is not known", SOON);
    says(&missing.process, "missing-at-agent\" does not exist", SOON);
    says(&bare.process, "unauthorized: this needs a token with the scope ingest", SOON);
    good.goes_on();
    revoked.goes_on();
    folder.write_secret("revoked", WRONG);
    says(&collector.process, "token read again", SOON);
    says(&revoked.process, "unauthorized: the token is not known", SOON);
    let held = revoked.acked();
    good.goes_on();
    assert_eq!((revoked.acked(), wrong.acked(), missing.acked()), (held, (0, 0), (0, 0)));
    assert!(revoked.answers("unauthorized") > 0);
    assert!(missing.answers("no_token") > 0);
    // Each that is refused has asked for the time before, which it does not count.
    let agents = [&wrong, &bare, &revoked, &missing, &good];
    until("every refusal counted on both sides", SOON, || {
        let refused: u64 = agents.iter().map(|agent| agent.answers("unauthorized")).sum();
        (collector.answers("unauthorized") == refused + 2).then_some(())
    });

    // Every token put right, on the side where it was wrong; nothing is restarted.
    folder.write_secret("revoked", OTHER);
    folder.write_secret("wrong-at-agent", GOOD);
    folder.write_secret("missing-at-agent", GOOD);
    for agent in [&revoked, &wrong, &missing, &good] {
        agent.goes_on();
    }
    assert_eq!(bare.acked(), (0, 0));
    for name in ["good-one", "revoked-one", "wrong-one", "missing-one"] {
        collector.is_whole(name);
    }
    is_undisturbed(&good, &collector);
    assert_eq!(wrong.warned("the token is not known"), 1, "a state is told once");
    assert_eq!(missing.warned("does not exist"), 1, "a state is told once");
    for process in [&good, &revoked, &wrong, &missing, &bare] {
        let log = process.process.lines().join("\n");
        assert!([GOOD, OTHER, WRONG].iter().all(|token| !log.contains(token)), "{log}");
    }
}
