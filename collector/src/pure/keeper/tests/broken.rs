//! Frames that are broken on the way, and such as no agent makes.

use std::ops::Range;

use bellwether_model::wire::bytes::put_varint;
use bellwether_model::wire::frame::{Frame, FrameError};

use super::super::Commanded;
use super::super::checkpoint::KeeperRestoring;
use super::*;

/// The numbers of a frame's header that may be of several bytes, in their order.
#[derive(Clone, Copy)]
enum Number {
    Sections,
    StoredLength,
}

/// Where a number lies, by the table of `model/WIRE.md`: behind magic, version and flags.
fn place(frame: &[u8], number: Number) -> Range<usize> {
    let mut at = 4;
    for _ in 0..number as usize {
        at += varint(&frame[at..]);
    }
    at..at + varint(&frame[at..])
}

fn varint(bytes: &[u8]) -> usize {
    1 + bytes.iter().take_while(|byte| **byte >= 0x80).count()
}

/// The frame with another number in its header, its CRC unchanged.
fn with(frame: &[u8], number: Number, value: usize) -> Vec<u8> {
    let place = place(frame, number);
    let mut other = frame[..place.start].to_vec();
    put_varint(&mut other, value as u64);
    other.extend_from_slice(&frame[place.end..]);
    other
}

/// A frame whose CRC holds and whose sections do not: it says that there is one more.
fn lying(frame: &[u8]) -> Vec<u8> {
    let (read, _) = Frame::read(frame).unwrap();
    let sections = read.header().sections as usize;
    let mut lying = with(frame, Number::Sections, sections + 1);
    let end = lying.len() - 4;
    let crc = crc(&lying[..end]);
    lying[end..].copy_from_slice(&crc.to_le_bytes());
    let (read, _) = Frame::read(&lying).unwrap();
    assert_eq!(read.header().sections as usize, sections + 1);
    lying
}

/// CRC32C bit by bit, so that the test does not lean on the library under test.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 }
        })
    })
}

#[test]
fn what_is_broken_leaves_no_trace() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let one = bench.frame(1.0);
    let mut broken = one.clone();
    let last = broken.len() - 1;
    broken[last] ^= 1;
    assert_eq!(bench.push(&[&broken], false).case, Case::BadEnvelope);
    assert_eq!(bench.push(&[&one[..9]], false).case, Case::BadEnvelope);
    let lying = lying(&one);
    let answer = bench.push(&[&lying], false);
    assert_eq!((answer.case, answer.at, answer.acked), (Case::BadFrame, seq(1), Seq(0)));
    let submit = Submit { body: b"BWP1\x02\x00", received: Nanos(0) };
    let reply = bench.keeper.admit(now(1), submit, &mut bench.journal).unwrap();
    assert_eq!(reply.answer.case, Case::Version);
    assert!(bench.journal.entries.is_empty() && bench.values("m").is_empty());
    assert_eq!(bench.push(&[&one], false).case, Case::Applied, "the session is as it was");
}

#[test]
fn what_does_not_decode_makes_nobody_known() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let one = bench.frame(1.0);
    let lying = lying(&one);
    for agent in 2..5 {
        bench.key = (AgentId([agent; 16]), Stream::Metrics);
        let answer = bench.push(&[&lying], false);
        assert_eq!((answer.case, answer.at), (Case::BadFrame, seq(1)));
        assert_eq!((bench.keeper.sessions(), bench.keeper.sources.len()), (0, 0));
        let (at, agent, journal) = (now(1), bench.key.0, &mut bench.journal);
        assert_eq!(bench.keeper.drain(at, agent, true, journal), Ok(Commanded::Unknown));
        assert_eq!(bench.keeper.forget(at, agent, journal), Ok(Commanded::Unknown));
    }
    assert_eq!(bench.keeper.next_source, 0, "their numbers are given again");
    assert!(bench.journal.entries.is_empty());
    // The other stream of an agent that is known.
    bench.key = (AGENT, Stream::Metrics);
    assert_eq!(bench.push(&[&one], false).case, Case::Applied);
    bench.key = (AGENT, Stream::Logs);
    assert_eq!(bench.push(&[&lying], false).case, Case::BadFrame);
    assert_eq!((bench.keeper.sessions(), bench.keeper.sources.len()), (1, 1));
    bench.key = (AGENT, Stream::Metrics);
    let two = bench.frame(2.0);
    assert_eq!(bench.push(&[&two], false).case, Case::Applied);
    assert_eq!((bench.keeper.next_source, bench.values("m").len()), (1, 3));
}

#[test]
fn a_source_without_a_session_goes_with_the_next_start() {
    let mut bench = Bench::pushed(KeeperLimits::default());
    let stray = bench.keeper.new_source();
    bench.keeper.sources.insert(AgentId([7; 16]), stray);
    let mut restoring = KeeperRestoring::new(KeeperLimits::default());
    let capture = bench.keeper.capture(now(1).wall);
    capture.put(&mut |kind, bytes| restoring.record(kind, bytes).unwrap());
    let (_, writer) = Store::new(Limits::default());
    let keeper = restoring.finish(now(1), capture.position(), StoreId([1; 16]), writer);
    assert_eq!(keeper.sources.keys().collect::<Vec<_>>(), [&AGENT]);
    assert_eq!(keeper.next_source, bench.keeper.next_source);
}

#[test]
fn what_does_not_decode_opens_no_session_again() {
    let limits = KeeperLimits { retention: Duration::from_secs(60), ..KeeperLimits::default() };
    let mut bench = Bench::new(limits);
    bench.table.add(column("m", &[]));
    let one = bench.frame(1.0);
    bench.push(&[&one], false);
    bench.push(&[], true);
    for second in [2, 70] {
        bench.keeper.tick(now(second), &mut bench.journal).unwrap();
    }
    assert_eq!(bench.keeper.sessions(), 0);
    let entries = bench.journal.entries.len();
    let answer = bench.push(&[&lying(&one)], false);
    assert_eq!((answer.case, answer.at, answer.acked), (Case::BadFrame, seq(1), Seq(0)));
    assert_eq!((bench.keeper.sessions(), bench.journal.entries.len()), (0, entries));
}

#[test]
fn a_length_broken_on_the_way_blames_no_frame() {
    let mut bench = Bench::new(KeeperLimits::default());
    bench.table.add(column("m", &[]));
    let one = bench.frame(1.0);
    let broken = with(&one, Number::StoredLength, limit::FRAME_BYTES);
    let error = Frame::read(&broken).unwrap_err();
    let is_bound = matches!(error, FrameError::TooLarge { bound: limit::FRAME_BYTES, .. });
    assert!(is_bound, "{error}");
    let answer = bench.push(&[&broken], false);
    assert_eq!((answer.case, answer.at), (Case::BadEnvelope, Seq(0)));
    assert_eq!(answer.text, error.to_string());
    // Nor does any other bit.
    for bit in 0..one.len() * 8 {
        let mut broken = one.clone();
        broken[bit / 8] ^= 1 << (bit % 8);
        let answer = bench.push(&[&broken], false);
        let is_version = bit / 8 == 2;
        let case = if is_version { Case::Version } else { Case::BadEnvelope };
        assert_eq!((answer.case, answer.at), (case, Seq(0)), "bit {bit}");
    }
    assert!(bench.keeper.sources.is_empty());
    assert_eq!(bench.push(&[&one], false).case, Case::Applied);
}
