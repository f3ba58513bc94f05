//! Requests that no agent would send: garbage, bombs, repeats, reordered and stolen numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use bellwether_model::id::{BootId, Incarnation, Nonce, Seq};
use bellwether_model::time::Timestamp;
use bellwether_model::wire::answer::{Answer, Case};
use bellwether_model::wire::envelope::{Skip, SkipReason};
use bellwether_model::wire::frame::{self, Header, Packing};
use bellwether_platform::clock::Clock;
use bellwether_tests::harness::{Folder, LightAgent, Pushing};

use super::super::daemons::{Collector, TOKEN, figure};
use super::super::query_until;
use super::{is_undisturbed, watched};

const READER: &str = "fedcba9876543210fedcba9876543210";
/// Where things lie in a frame and an envelope (`model/WIRE.md`); a number below 128 is one byte,
/// the length of a bomb as stored two, inflated four.
const SECTIONS_AT: usize = 4;
const INFLATED_AT: usize = 7;
const FRAME_VERSION_AT: usize = 2;
const VERSION_AT: usize = 4;
const CRC_BYTES: usize = 4;
/// The watched agent and the first light one; a third is one too many.
const AGENTS_MAX: u32 = 2;

/// One light agent that misbehaves, and what it was answered so far.
struct Attack {
    address: String,
    pushing: Pushing,
    agent: LightAgent,
    counts: BTreeMap<&'static str, u64>,
    start: Timestamp,
    made: u32,
}

impl Attack {
    fn new(address: &str) -> Attack {
        Attack {
            address: address.to_owned(),
            pushing: Pushing::connect(address, Some(TOKEN)).unwrap(),
            agent: LightAgent::new(1, "light", 3),
            counts: BTreeMap::new(),
            start: Clock::collector().now().wall.saturating_sub(Duration::from_secs(60)),
            made: 0,
        }
    }

    /// The next frame, whose every value is its number.
    fn frame(&mut self) -> Vec<u8> {
        self.made += 1;
        let value = f64::from(self.made);
        self.agent.frame(self.start.saturating_add(Duration::from_secs(1) * self.made), |_| value)
    }

    /// Has these frames answered by `case`.
    fn frames(&mut self, frames: &[&[u8]], skips: &[Skip], case: Case) -> Answer {
        let body = self.agent.body(frames, skips);
        self.push(&body, case)
    }

    fn push(&mut self, body: &[u8], case: Case) -> Answer {
        let answer = expect(&mut self.pushing, body, case);
        *self.counts.entry(case.as_str()).or_default() += 1;
        answer
    }

    /// The same over a connection of its own, which the collector may close.
    fn apart(&mut self, token: Option<&str>, body: &[u8], case: Case) {
        expect(&mut Pushing::connect(&self.address, token).unwrap(), body, case);
        *self.counts.entry(case.as_str()).or_default() += 1;
    }
}

fn expect(pushing: &mut Pushing, body: &[u8], case: Case) -> Answer {
    let (status, answer) = pushing.push(body).unwrap();
    assert_eq!((answer.case, status), (case, case.status()), "{}", answer.text);
    answer
}

fn seq(n: u32) -> Seq {
    Seq::new(Incarnation(1), n)
}

/// The bytes with others at a place, under a CRC that holds.
fn forged(bytes: &[u8], at: usize, with: &[u8]) -> Vec<u8> {
    let mut forged = bytes[..bytes.len() - CRC_BYTES].to_vec();
    forged[at..at + with.len()].copy_from_slice(with);
    let crc = crc(&forged);
    forged.extend_from_slice(&crc.to_le_bytes());
    forged
}

/// CRC32C bit by bit, so that the test does not lean on the library under test.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    })
}

/// Zeros of the largest size that a frame may declare, in a few hundred bytes.
fn bomb(n: u32) -> Vec<u8> {
    let header = Header {
        seq: seq(n),
        nonce: Nonce(2),
        boot: BootId([0; 16]),
        complete_through: Timestamp(0),
        sections: 1,
        opens_segment: true,
    };
    let mut frame = Vec::new();
    frame::build(&header, &vec![0; 16 << 20], Packing::Zstd, &mut frame).unwrap();
    assert!((128..4096).contains(&frame.len()));
    frame
}

/// Bytes resident of a process.
fn resident(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// What goes wrong with numbers: again, too early, after a hole, under a stolen id.
fn numbers(attack: &mut Attack) {
    let frames: Vec<Vec<u8>> = (0..3).map(|_| attack.frame()).collect();
    let [one, two, three] = frames.as_slice() else { unreachable!("three frames") };
    attack.frames(&[one], &[], Case::Applied);
    assert_eq!(attack.frames(&[one], &[], Case::Duplicate).acked, seq(1));
    let reordered = attack.frames(&[three, two], &[], Case::Gap);
    assert_eq!((reordered.at, reordered.acked), (seq(2), seq(1)), "the next is named");
    attack.frames(&[one, two, three], &[], Case::Applied);

    let (_lost, five) = (attack.frame(), attack.frame());
    let skip = Skip { first: seq(4), last: seq(4), reason: SkipReason::Disk };
    let base = attack.frames(&[&five], &[skip], Case::Base);
    assert_eq!((base.at, base.acked), (seq(5), seq(3)), "its base row was skipped");

    let mut thief = LightAgent::cloned(1, "thief");
    let stolen = thief.frame(attack.start, |_| 1.0);
    let answer = attack.push(&thief.body(&[&stolen], &[]), Case::Clone);
    assert_eq!(answer.at, seq(1));
}

/// What goes wrong with bytes.
fn bytes(attack: &mut Attack) {
    attack.agent.cut();
    let six = attack.frame();
    let skip = Skip { first: seq(4), last: seq(5), reason: SkipReason::Disk };
    attack.push(b"GET me all you have, please", Case::BadEnvelope);
    attack.push(&[0xff; 4096], Case::BadEnvelope);
    let mut flipped = six.clone();
    flipped[40] ^= 4;
    attack.frames(&[&flipped], &[skip], Case::BadEnvelope);
    attack.frames(&[&six[..six.len() / 2]], &[skip], Case::BadEnvelope);
    let lying = forged(&six, SECTIONS_AT, &[six[SECTIONS_AT] + 1]);
    assert_eq!(attack.frames(&[&lying], &[skip], Case::BadFrame).at, seq(6));

    let declared = forged(&bomb(6), INFLATED_AT, &[0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(attack.frames(&[&declared], &[skip], Case::TooLarge).at, seq(6));
    let hidden = forged(&bomb(6), INFLATED_AT, &[0xe8, 0x87, 0x80, 0]);
    assert_eq!(attack.frames(&[&hidden], &[skip], Case::BadFrame).at, seq(6));
    assert_eq!(attack.frames(&[&bomb(6)], &[skip], Case::BadFrame).at, seq(6));
    let body = vec![0; (1 << 20) + 1];
    attack.apart(Some(TOKEN), &body, Case::TooLarge);

    attack.frames(&[&forged(&six, FRAME_VERSION_AT, &[3])], &[skip], Case::Version);
    let envelope = attack.agent.body(&[], &[]);
    attack.push(&forged(&envelope, VERSION_AT, &[2]), Case::Version);
    // After all this its session is as it was, and the skips count once.
    assert_eq!(attack.frames(&[&six], &[skip], Case::Applied).acked, seq(6));
}

/// What goes wrong with callers.
fn callers(attack: &mut Attack) {
    let seven = attack.frame();
    let body = attack.agent.body(&[&seven], &[]);
    attack.apart(None, &body, Case::Unauthorized);
    attack.apart(Some("0000000000000000"), &body, Case::Unauthorized);
    attack.apart(Some(READER), &body, Case::Forbidden);
    let mut third = LightAgent::new(3, "third", 1);
    let frame = third.frame(attack.start, |_| 1.0);
    let many = attack.push(&third.body(&[&frame], &[]), Case::Overloaded);
    assert_eq!(many.text, "too many agents");
    attack.push(&body, Case::Applied);
}

#[test]
fn what_no_agent_would_send_is_answered_by_name_and_counted() {
    let folder = Folder::new("answers");
    let reader = folder.write_secret("reader", READER);
    let more = format!(
        "  people: {{token_file: {}, scopes: [silence]}}\nlimits: {{agents: {AGENTS_MAX}}}\n",
        reader.display()
    );
    let collector = Collector::start(&folder, &more);
    let watched = watched(&folder, &collector);
    watched.goes_on();
    let before = resident(collector.process.id());

    let mut attack = Attack::new(&collector.address);
    numbers(&mut attack);
    bytes(&mut attack);
    callers(&mut attack);

    for case in Case::ALL.iter().map(|case| case.as_str()).filter(|case| *case != "applied") {
        let count = attack.counts.get(case).copied().unwrap_or_default();
        assert_eq!(collector.answers(case), count, "{case}");
    }
    watched.goes_on(); // and the keeper has told its counts at a tick
    let counter = |name: &str| figure(&collector.address, &format!("bellwether_collector_{name}"));
    assert_eq!(counter("frames_duplicate_total"), 2, "one alone, one before others");
    assert_eq!(collector.skipped("disk"), 2);
    assert_eq!(counter("sessions"), 2);
    let grown = resident(collector.process.id()).saturating_sub(before);
    assert!(grown < 96 << 20, "bombs have cost {grown} bytes");

    let kept = query_until(&collector.address, "light_total{place=\"0\"}[1h]");
    let values: Vec<String> =
        kept[0].samples.iter().map(|(_, value)| format!("{value:.0}")).collect();
    assert_eq!((kept.len(), values), (1, ["1", "2", "3", "6", "7"].map(str::to_owned).to_vec()));
    is_undisturbed(&watched, &collector);
}
