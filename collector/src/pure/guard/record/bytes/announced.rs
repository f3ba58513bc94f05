//! An announce as bytes.

use bellwether_model::matcher::MatchOp;
use bellwether_model::wire::bytes::{
    Malformed, Reader, put_labels, put_text, put_varint, put_zigzag,
};
use bellwether_rules::service::{Mode, Risk, Strategy};

use super::super::{Announced, Clause, Measured, MeasuredSli};
use super::{
    TEXT_BYTES_MAX, number, put_option, take_flag, take_name, take_one, take_option, take_part,
    take_time,
};

/// Clauses of one selector.
const CLAUSES_MAX: usize = 256;
/// SLIs of a service.
const SLIS_MAX: usize = 1024;

const OPS: [MatchOp; 4] = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];

pub(super) fn put_announced(out: &mut Vec<u8>, announced: &Announced) {
    for name in [
        &announced.rollout,
        &announced.service,
        &announced.environment,
        &announced.from,
        &announced.to,
    ] {
        put_text(out, name);
    }
    out.push(number(&Strategy::ALL, announced.strategy));
    out.push(number(&Risk::ALL, announced.risk));
    out.push(number(&Mode::ALL, announced.mode));
    out.extend_from_slice(&announced.alpha.to_le_bytes());
    put_option(out, announced.share, |out, share| out.extend_from_slice(&share.to_le_bytes()));
    put_varint(out, announced.watch_ms);
    put_option(out, announced.hook.as_ref(), |out, hook| put_text(out, hook));
    put_measured(out, &announced.measured);
    put_clauses(out, &announced.canary);
    put_clauses(out, &announced.baseline);
    put_labels(out, &announced.labels);
    put_option(out, announced.runbook.as_ref(), |out, page| put_text(out, page));
    out.push(u8::from(announced.irreversible));
    out.extend_from_slice(&announced.digest);
    put_text(out, &announced.by);
    put_zigzag(out, announced.at.0);
}

pub(super) fn take_announced(reader: &mut Reader<'_>) -> Result<Announced, Malformed> {
    Ok(Announced {
        rollout: take_name(reader)?,
        service: take_name(reader)?,
        environment: take_name(reader)?,
        from: take_name(reader)?,
        to: take_name(reader)?,
        strategy: take_one(reader, &Strategy::ALL, "no such strategy")?,
        risk: take_one(reader, &Risk::ALL, "no such risk")?,
        mode: take_one(reader, &Mode::ALL, "no such mode")?,
        alpha: take_part(reader)?,
        share: take_option(reader, take_part)?,
        watch_ms: reader.varint()?,
        hook: take_option(reader, take_name)?,
        measured: take_measured(reader)?,
        canary: take_clauses(reader)?,
        baseline: take_clauses(reader)?,
        labels: reader.labels()?,
        runbook: take_option(reader, take_text)?,
        irreversible: take_flag(reader)?,
        digest: reader.array()?,
        by: reader.text(TEXT_BYTES_MAX)?.to_owned(),
        at: take_time(reader)?,
    })
}

fn put_measured(out: &mut Vec<u8>, measured: &Measured) {
    put_text(out, &measured.version_label);
    put_option(out, measured.stratum_label.as_ref(), |out, label| put_text(out, label));
    put_clauses(out, &measured.environment);
    put_varint(out, measured.slis.len() as u64);
    for sli in &measured.slis {
        put_text(out, &sli.name);
        put_clauses(out, &sli.total);
        put_clauses(out, &sli.part);
        out.push(u8::from(sli.is_good));
    }
    put_varint(out, u64::from(measured.train_requests));
}

fn take_measured(reader: &mut Reader<'_>) -> Result<Measured, Malformed> {
    Ok(Measured {
        version_label: take_text(reader)?,
        stratum_label: take_option(reader, take_text)?,
        environment: take_clauses(reader)?,
        slis: {
            let count = reader.count(SLIS_MAX)?;
            (0..count).map(|_| take_sli(reader)).collect::<Result<_, _>>()?
        },
        train_requests: reader.small()?,
    })
}

fn take_sli(reader: &mut Reader<'_>) -> Result<MeasuredSli, Malformed> {
    Ok(MeasuredSli {
        name: take_text(reader)?.into(),
        total: take_clauses(reader)?,
        part: take_clauses(reader)?,
        is_good: take_flag(reader)?,
    })
}

fn put_clauses(out: &mut Vec<u8>, clauses: &[Clause]) {
    put_varint(out, clauses.len() as u64);
    for clause in clauses {
        put_text(out, &clause.name);
        out.push(number(&OPS, clause.op));
        put_text(out, &clause.value);
    }
}

fn take_clauses(reader: &mut Reader<'_>) -> Result<Vec<Clause>, Malformed> {
    let count = reader.count(CLAUSES_MAX)?;
    let clause = |_| {
        Ok(Clause {
            name: take_text(reader)?,
            op: take_one(reader, &OPS, "no such comparison")?,
            value: take_text(reader)?,
        })
    };
    (0..count).map(clause).collect()
}

fn take_text(reader: &mut Reader<'_>) -> Result<String, Malformed> {
    Ok(reader.text(TEXT_BYTES_MAX)?.to_owned())
}
