//! Verdicts and their grounds as bytes.

use bellwether_model::wire::bytes::{Malformed, Reader, put_text, put_varint, put_zigzag};
use bellwether_rules::verdict::{Missing, Outcome, Verdict};

use super::{TEXT_BYTES_MAX, put_option, take_option};

pub(super) fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome) {
    put_verdict(out, outcome.verdict);
    for second in [outcome.decision_second, outcome.first_bad_second] {
        put_option(out, second, put_zigzag);
    }
    for number in [outcome.log_e, outcome.log_e_unguarded, outcome.log_e_max] {
        put_number(out, number);
    }
    for ratio in [outcome.smallest_ratio, outcome.ratio_at_most] {
        put_option(out, ratio, put_number);
    }
    for count in [outcome.canary_n, outcome.canary_bad, outcome.baseline_n, outcome.baseline_bad] {
        put_varint(out, count);
    }
    put_text(out, &outcome.reason);
}

pub(super) fn take_outcome(reader: &mut Reader<'_>) -> Result<Outcome, Malformed> {
    Ok(Outcome {
        verdict: take_verdict(reader)?,
        decision_second: take_option(reader, Reader::zigzag)?,
        first_bad_second: take_option(reader, Reader::zigzag)?,
        log_e: take_number(reader)?,
        log_e_unguarded: take_number(reader)?,
        log_e_max: take_number(reader)?,
        smallest_ratio: take_option(reader, take_number)?,
        ratio_at_most: take_option(reader, take_number)?,
        canary_n: reader.varint()?,
        canary_bad: reader.varint()?,
        baseline_n: reader.varint()?,
        baseline_bad: reader.varint()?,
        reason: reader.text(TEXT_BYTES_MAX)?.to_owned(),
    })
}

fn put_number(out: &mut Vec<u8>, number: f64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn take_number(reader: &mut Reader<'_>) -> Result<f64, Malformed> {
    let number = f64::from_le_bytes(reader.array()?);
    if number.is_nan() { Err(reader.malformed("no number")) } else { Ok(number) }
}

pub(super) fn put_verdict(out: &mut Vec<u8>, verdict: Verdict) {
    let (number, value) = match verdict {
        Verdict::Fail => (0, None),
        Verdict::Pass => (1, None),
        Verdict::Inconclusive { missing } => match missing {
            Missing::Canary => (2, None),
            Missing::Baseline => (3, None),
            Missing::WarmUp { seconds } => (4, Some(u64::from(seconds))),
            Missing::Share => (5, None),
            Missing::Burst => (6, None),
            Missing::Requests { canary } => (7, Some(canary)),
        },
    };
    out.push(number);
    value.into_iter().for_each(|value| put_varint(out, value));
}

pub(super) fn take_verdict(reader: &mut Reader<'_>) -> Result<Verdict, Malformed> {
    let missing = match reader.byte()? {
        0 => return Ok(Verdict::Fail),
        1 => return Ok(Verdict::Pass),
        2 => Missing::Canary,
        3 => Missing::Baseline,
        4 => Missing::WarmUp { seconds: reader.small()? },
        5 => Missing::Share,
        6 => Missing::Burst,
        7 => Missing::Requests { canary: reader.varint()? },
        _ => return Err(reader.malformed("no such verdict")),
    };
    Ok(Verdict::Inconclusive { missing })
}
