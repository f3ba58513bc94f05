//! What leaves for collectors when the spool or the identity changes between requests.

use std::sync::Arc;

use bellwether_model::id::{BootId, GroupId, Nonce, StoreId};
use bellwether_model::label::LabelSet;
use bellwether_model::time::{Nanos, Timestamp};
use bellwether_model::wire::answer::Case;
use bellwether_model::wire::encode::Encoder;
use bellwether_model::wire::table::Table;
use bellwether_platform::clock::{ManualTime, Reading};
use bellwether_platform::disk::sim::SimDisk;

use super::*;
use crate::pure::config::SpoolSync;
use crate::pure::ship::backlog::Bounds;
use crate::shell::spool::Setup;

struct Bench {
    drive: Drive,
    time: ManualTime,
    encoder: Encoder,
    second: i64,
}

fn random(number: u8) -> Random {
    Random { agent: AgentId([number; 16]), nonce: Nonce(u64::from(number)) }
}

impl Bench {
    fn new(bytes_max: u64, collectors: usize) -> Bench {
        let bounds = Bounds { bytes_max, age_max: Duration::from_secs(3600) };
        let setup = Setup {
            dir: "/state".into(),
            bounds,
            sync: SpoolSync::Auto,
            machine: String::new(),
            boot: BootId::default(),
        };
        let spool = Spool::open(Arc::new(SimDisk::new(1)), setup, random(1)).unwrap();
        let reading = Reading { mono: Mono::default(), system: Nanos(0) };
        let (clock, time) = Clock::manual_agent(reading);
        let encoder = Encoder::new(spool.origin());
        let names = (0..collectors).map(|number| number.to_string()).collect();
        let drive = Drive::new(spool, clock, names, Box::new(|| random(2)));
        Bench { drive, time, encoder, second: 0 }
    }

    /// Spools a frame; gives what leaves.
    fn frame(&mut self, cut: bool) -> Vec<(usize, Envelope)> {
        self.time.advance(Duration::from_secs(1));
        self.second += 1;
        if cut {
            self.encoder.cut();
        }
        let time = Timestamp(self.second * 1000);
        self.encoder.begin(time);
        let mut table = Table::new(LabelSet::default(), Duration::from_secs(1));
        self.encoder.row(GroupId(0), &mut table, time);
        let mut frame = Vec::new();
        self.encoder.finish(&mut frame).unwrap();
        let mut actions = Vec::new();
        assert!(self.drive.frame(&frame.into(), 0, &mut actions).unwrap());
        posts(&actions)
    }

    fn answered(&mut self, collector: usize, case: Case, acked: Seq) -> Vec<Action> {
        let mut answer = Answer::new(case, StoreId::default());
        answer.acked = acked;
        let mut actions = Vec::new();
        self.drive.answered(collector, &answer, None, &mut actions).unwrap();
        actions
    }
}

fn posts(actions: &[Action]) -> Vec<(usize, Envelope)> {
    let posts = actions.iter().filter_map(|action| match action {
        Action::Post { collector, body } => Some((*collector, Envelope::read(body).unwrap().0)),
        _ => None,
    });
    posts.collect()
}

#[test]
fn a_request_names_all_that_it_passes_over() {
    let mut bench = Bench::new(300, 1);
    assert_eq!(bench.frame(false).len(), 1);
    let mut actions = Vec::new();
    bench.drive.failed(0, &mut actions).unwrap();
    assert_eq!(posts(&actions), [], "put off");
    // Each segment but the newest goes as the next one comes; the collector hears of all at once.
    for _ in 0..4 {
        for (_, envelope) in bench.frame(true) {
            let mut next = envelope.skips.first().map(|skip| skip.first);
            for skip in &envelope.skips {
                assert_eq!(Some(skip.first), next);
                next = Some(Seq(skip.last.0 + 1));
            }
            let held = bench.drive.spool().backlog().first();
            assert!(next.is_none() || next == held, "{next:?} {held:?}");
            bench.drive.failed(0, &mut actions).unwrap();
        }
        (0..3).for_each(|_| drop(bench.frame(false)));
    }
    assert!(!bench.drive.spool().cursor("0").1.is_empty());
}

#[test]
fn an_answer_to_the_old_identity_moves_nothing() {
    let mut bench = Bench::new(1 << 20, 2);
    assert_eq!(bench.frame(false).len(), 2);
    let old = bench.drive.spool().origin().incarnation;
    let actions = bench.answered(0, Case::Clone, Seq(0));
    let identity = |action: &Action| matches!(action, Action::Identity { .. });
    assert!(actions.iter().any(identity), "{actions:?}");
    bench.encoder = Encoder::new(bench.drive.spool().origin());
    let sent = bench.frame(false);
    assert_eq!(sent.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [0], "the other one is away");
    assert_eq!(sent.first().unwrap().1.agent, AgentId([2; 16]));
    bench.answered(1, Case::Applied, Seq::new(old, 1));
    assert_eq!(bench.drive.cursor(1), Some(Seq(0)));
    let sent = bench.frame(false);
    let (_, envelope) = sent.iter().find(|(to, _)| *to == 1).unwrap();
    assert_eq!(envelope.skips.first().map(|skip| skip.reason), Some(SkipReason::Clone));
}
