use std::collections::BTreeMap;

use proptest::prelude::*;

use super::hash::hex;
use super::*;
use crate::verdict::Arm;

fn key() -> SecretKey {
    SecretKey::new([7; 32])
}

fn tick(second: i64, canary: (u64, u64), baseline: (u64, u64)) -> Tick {
    let arm = |(n, bad)| Arm { n, bad };
    Tick { second, stratum: 0, canary: arm(canary), baseline: arm(baseline) }
}

/// A canary that is fine for some seconds and then is not.
fn ticks() -> Vec<Tick> {
    let mut ticks: Vec<Tick> = (0..4).map(|at| tick(at, (10, 0), (190, at as u64 % 2))).collect();
    ticks.extend((4..9).map(|at| tick(at, (11, 6), (187, 0))));
    ticks
}

fn context() -> Context {
    let subject = [("service", "checkout \"blue\"\n"), ("source", "a.csv")];
    let subject = subject.map(|(name, text)| (name.to_owned(), text.to_owned()));
    Context { subject: BTreeMap::from(subject), ..Context::default() }
}

fn record() -> Record {
    Record::judge(Config::default(), ticks(), context()).unwrap()
}

fn failures(file: &[u8], after: Option<Hash>) -> Vec<Failure> {
    verify(file, &key().public(), after).failures
}

/// Signs a body of one's own making, as somebody with the key could.
fn signed(body: &str) -> Vec<u8> {
    let value = hex(&key().sign(body.as_bytes()));
    let public = hex(&key().public().to_bytes());
    let file = format!(
        "{{\"body\":{body},\"signature\":{{\"key\":\"{public}\",\"value\":\"{value}\"}}}}\n"
    );
    file.into_bytes()
}

#[test]
fn the_bytes_of_a_record_are_these() {
    let file = record().seal(&key());
    let expected = include_str!("golden.json");
    assert_eq!(String::from_utf8(file.clone()).unwrap(), expected);
    assert_eq!(failures(&file, None), []);
    assert_eq!(record().outcome.verdict, Verdict::Fail);
    // The body is what this test would sign.
    let body = std::str::from_utf8(split(&file).unwrap().body).unwrap();
    assert_eq!(signed(body), file);
}

#[test]
fn every_flipped_bit_of_every_byte_is_found() {
    let file = record().seal(&key());
    let public = key().public();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[at] ^= 1 << bit;
            let found = verify(&changed, &public, None).failures;
            assert!(!found.is_empty(), "byte {at}, bit {bit}");
        }
    }
    // Nor may a byte be missing, or stand twice.
    for at in 0..file.len() {
        let without = [&file[..at], &file[at + 1..]].concat();
        assert!(!verify(&without, &public, None).failures.is_empty(), "byte {at} left out");
        let twice = [&file[..=at], &file[at..]].concat();
        assert!(!verify(&twice, &public, None).failures.is_empty(), "byte {at} twice");
    }
    assert!(!verify(&[], &public, None).failures.is_empty());
}

#[test]
fn other_keys_are_refused() {
    let other = SecretKey::new([8; 32]);
    let file = record().seal(&other);
    let found = failures(&file, None);
    let foreign = Failure::ForeignKey { found: Hash(other.public().to_bytes()) };
    assert_eq!(found, [foreign, Failure::Signature]);
    // The name of the right key does not make it right.
    let (own, foreign) = (hex(&key().public().to_bytes()), hex(&other.public().to_bytes()));
    let text = String::from_utf8(file).unwrap().replace(&foreign, &own);
    assert_eq!(failures(text.as_bytes(), None), [Failure::Signature]);
}

#[test]
fn chains_are_whole_and_in_order() {
    let mut files: Vec<Vec<u8>> = Vec::new();
    for _ in 0..3 {
        let previous = files.last().map(|file| Hash::of(file));
        let context = Context { previous, ..context() };
        let record = Record::judge(Config::default(), ticks(), context).unwrap();
        files.push(record.seal(&key()));
    }
    let check = |order: &[usize]| {
        let mut after = None;
        order.iter().all(|index| {
            let report = verify(&files[*index], &key().public(), after);
            after = Some(report.hash);
            report.failures.is_empty()
        })
    };
    assert!(check(&[0, 1, 2]) && check(&[0]) && check(&[0, 1]));
    for broken in [&[1][..], &[1, 2], &[0, 2], &[1, 0, 2], &[0, 2, 1], &[0, 0], &[2, 1, 0]] {
        assert!(!check(broken), "{broken:?}");
    }
    let found = failures(&files[2], Some(Hash::of(&files[0])));
    let expected = Some(Hash::of(&files[0]));
    assert_eq!(found, [Failure::Chain { expected, found: Some(Hash::of(&files[1])) }]);
    assert!(found[0].to_string().starts_with("it follows the record "), "{}", found[0]);
}

/// Whoever has the key can sign a lie; judging again finds it.
#[test]
fn what_does_not_follow_from_the_counts_is_found() {
    let lie = |change: &dyn Fn(&mut Record)| {
        let mut record = record();
        change(&mut record);
        let found = failures(&record.seal(&key()), None);
        found.iter().map(Failure::to_string).collect::<Vec<_>>()
    };
    assert!(lie(&|record| record.outcome.reason += ", so to say").is_empty());
    let found = lie(&|record| record.outcome.verdict = Verdict::Pass);
    assert_eq!(found, ["outcome: verdict is Pass, judged again Fail"]);
    let found = lie(&|record| record.outcome.log_e += 1e-12);
    assert!(found.len() == 1 && found[0].starts_with("outcome: log_e is "), "{found:?}");
    let found = lie(&|record| {
        for step in &mut record.path[2..5] {
            step.log_e = f64::from_bits(step.log_e.to_bits() ^ 1);
        }
    });
    assert!(found.len() == 1 && found[0].starts_with("path: step 2, second 2: "), "{found:?}");
    assert!(found[0].ends_with("(2 more differ)"), "{found:?}");
    let found = lie(&|record| record.path.truncate(3));
    assert_eq!(found, ["path: 3 steps are recorded, 9 are judged"]);
    let found = lie(&|record| record.ticks[7].canary.bad -= 1);
    assert!(found.len() > 2, "{found:?}");
    let found = lie(&|record| record.ticks[7].canary.bad = 1000);
    assert!(found.len() == 1 && found[0].contains("tick 7: second 7, canary"), "{found:?}");
    let found = lie(&|record| record.config.version = 999);
    assert!(found.len() == 1 && found[0].contains("version 999"), "{found:?}");
    let found = lie(&|record| record.config.alpha = f64::NAN);
    assert!(found.len() == 1 && found[0].contains("alpha"), "{found:?}");
}

/// Texts that mean the same in JSON, signed by the right key, and yet are not a record.
#[test]
fn there_is_one_way_to_write_a_record() {
    let file = record().seal(&key());
    let body = std::str::from_utf8(split(&file).unwrap().body).unwrap();
    for (from, to, expected) in [
        (",\"config\"", ", \"config\"", "expected ,\"config\":"),
        ("checkout", "\\u0063heckout", "a text in canonical form"),
        ("\\n\"", "\\u000a\"", "a text in canonical form"),
        ("[0.001,", "[1e-3,", "a decimal that is the number of the bits"),
        ("[0.001,", "[0.0010,", "a decimal that is the number of the bits"),
        ("3f50624dd2f1a9fc", "3F50624DD2F1A9FC", "16 hexadecimal digits"),
        ("\"version\":1", "\"version\":01", "a whole number"),
        ("\"version\":1", "\"version\":1.0", "expected ,\"warm_up_seconds\":"),
        ("\"version\":1", "\"version\":-0", "a whole number"),
        ("\"version\":1", "\"version\":-1", "a version"),
        ("\"version\":1", "\"version\":9007199254740993", "a whole number"),
        ("\"ticks\":[[0,", "\"ticks\":[[-0,", "a whole number"),
        ("\"ticks\":[[0,0,", "\"ticks\":[[0,65536,", "a stratum"),
        ("\"fail\"", "\"Fail\"", "\"pass\""),
        ("service", "Service", "a name of a-z"),
        ("\"source\"", "\"service\"", "in order"),
        ("{\"bellwether_record\":1", "{\"bellwether_record\":0", "a format of 1"),
    ] {
        assert!(body.contains(from), "{from}");
        let found = failures(&signed(&body.replacen(from, to, 1)), None);
        let [Failure::Format(error)] = found.as_slice() else { panic!("{to}: {found:?}") };
        assert!(error.to_string().contains(expected), "{to}: {error}");
    }
    let later = body.replacen("{\"bellwether_record\":1", "{\"bellwether_record\":2", 1);
    let error = read(&signed(&later)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a record of format 2; this program reads format 1 and none later"
    );
    assert!(read(&signed(&format!("{body} "))).is_err());
}

#[test]
fn what_is_too_much_is_refused_before_it_is_kept() {
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let text = "x".repeat(TEXT_BYTES_MAX + 1);
    let too_much = |ticks: Vec<Tick>, context: Context| {
        Record::judge(Config::default(), ticks, context).unwrap_err().to_string()
    };
    let strata = |strata| Context { strata, ..context() };
    let subject = |name: &str, text: &str| {
        let subject = BTreeMap::from([(name.to_owned(), text.to_owned())]);
        Context { subject, ..Context::default() }
    };
    let over = INTEGER_MAX + 1;
    for (ticks, context, what) in [
        (vec![tick(0, (1, 0), (1, 0)); TICKS_MAX + 1], context(), "ticks"),
        (vec![tick(over, (1, 0), (1, 0))], context(), "the seconds' numbers"),
        (Vec::new(), strata(vec![String::new(); 257]), "strata"),
        (Vec::new(), strata(vec![long.clone()]), "a stratum's name"),
        (Vec::new(), subject("Name", ""), "subject"),
        (Vec::new(), subject(&long, ""), "subject"),
        (Vec::new(), subject("name", &text), "subject"),
    ] {
        assert_eq!(too_much(ticks, context), format!("{what}: more than a record holds"));
    }
    // The reader has the same bounds, whoever signed.
    let file = record().seal(&key());
    let body = std::str::from_utf8(split(&file).unwrap().body).unwrap();
    for (from, to) in [
        ("a.csv", text.as_str()),
        ("\"service\":", &format!("\"{long}\":")),
        ("\"strata\":[]", &format!("\"strata\":[{}\"\"]", "\"\",".repeat(256))),
    ] {
        let error = read(&signed(&body.replacen(from, to, 1))).unwrap_err();
        assert!(matches!(error, ReadError::Malformed { .. }), "{error}");
    }
    let large = vec![b' '; RECORD_BYTES_MAX + 1];
    assert_eq!(read(&large), Err(ReadError::TooLarge { bytes: large.len() }));
}

#[test]
fn keys_are_not_taken_for_each_other() {
    let secret = "07".repeat(32);
    let parsed = SecretKey::parse(&format!(" {secret}\n")).unwrap();
    let public = parsed.public().to_string();
    assert_eq!(public, key().public().to_string());
    assert_eq!(public.parse::<PublicKey>().unwrap(), key().public());
    assert_eq!(SecretKey::parse(&public).unwrap_err(), KeyError::Public);
    assert_eq!(secret.parse::<PublicKey>().unwrap_err(), KeyError::Secret);
    for bad in ["", "ed25519:", "ed25519:00", &public[..71], &public.to_uppercase()] {
        assert_eq!(bad.parse::<PublicKey>().unwrap_err(), KeyError::NotPublic, "{bad}");
        assert!(SecretKey::parse(bad).is_err());
    }
    assert_eq!(format!("{parsed:?}"), "SecretKey(…)");
    // RFC 8032, test 1 of section 7.1: this very key.
    let text = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
    let public = "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(SecretKey::parse(text).unwrap().public().to_string(), public);
}

fn any_tick() -> impl Strategy<Value = (u8, u64, u64, u64, u64)> {
    (0..3_u8, 0..400_u64, 0..30_u64, 0..4000_u64, 0..30_u64)
}

proptest! {
    #[test]
    fn records_are_read_as_they_were_written(
        counts in prop::collection::vec(any_tick(), 0..60),
        start in -INTEGER_MAX..INTEGER_MAX - 1000,
        source in ".{0,40}",
        strata in prop::collection::vec("\\PC{0,20}", 0..3),
        seed in any::<[u8; 32]>(),
    ) {
        let mut ticks = Vec::new();
        let mut second = start;
        for (gap, canary_n, canary_bad, baseline_n, baseline_bad) in counts {
            second += i64::from(gap) + 1;
            let canary = (canary_n.max(canary_bad), canary_bad);
            let baseline = (baseline_n.max(baseline_bad), baseline_bad);
            ticks.push(tick(second, canary, baseline));
        }
        let subject = BTreeMap::from([("source".to_owned(), source)]);
        let context = Context { previous: Some(Hash(seed)), subject, strata };
        let record = Record::judge(Config::default(), ticks, context).unwrap();
        let key = SecretKey::new(seed);
        let file = record.seal(&key);
        prop_assert_eq!(&read(&file).unwrap().record, &record);
        prop_assert_eq!(verify(&file, &key.public(), Some(Hash(seed))).failures, []);
    }
}
