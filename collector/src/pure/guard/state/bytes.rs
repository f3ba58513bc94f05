//! The state as bytes, for checkpoints: each rollout as records that make it again.

use std::sync::Arc;

use bellwether_model::wire::bytes::{Malformed, Reader, put_varint};
use bellwether_rules::record::Hash;

use super::super::lane::state::LanesState;
use super::super::record::Record;
use super::{GuardState, Rollout};

/// Seconds in one record.
const SECONDS: usize = 600;

impl GuardState {
    /// Gives the bytes of each rollout.
    pub fn put_rollouts(&self, put: &mut dyn FnMut(&[u8])) {
        let mut out = Vec::new();
        for rollout in self.rollouts.values() {
            out.clear();
            put_rollout(&mut out, rollout);
            put(&out);
        }
    }

    /// Takes a rollout that [`GuardState::put_rollouts`] has given.
    ///
    /// # Errors
    /// The bytes are no rollout of this version.
    pub fn take_rollout(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        let mut alone = GuardState::default();
        for _ in 0..reader.count(usize::MAX)? {
            alone.chain = take_hash(reader)?;
            alone.apply(&Record::read(reader)?);
        }
        self.rollouts.append(&mut alone.rollouts);
        Ok(())
    }

    /// Appends what is not of one rollout.
    pub fn put_rest(&self, out: &mut Vec<u8>) {
        put_hash(out, self.chain);
        self.lanes.put(out);
    }

    /// Takes what [`GuardState::put_rest`] has written.
    ///
    /// # Errors
    /// The bytes are not of this version.
    pub fn take_rest(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        self.chain = take_hash(reader)?;
        self.lanes = LanesState::take(reader)?;
        Ok(())
    }
}

fn put_rollout(out: &mut Vec<u8>, rollout: &Rollout) {
    let name = &rollout.announced.rollout;
    let mut records = vec![(None, Record::Announced(Arc::clone(&rollout.announced)))];
    let mut strata = rollout.strata.clone();
    let mut judged = |records: &mut Vec<_>, seconds: &[_]| {
        let mut chunks = seconds.chunks(SECONDS);
        while !strata.is_empty() || chunks.len() > 0 {
            let (strata, seconds) = (std::mem::take(&mut strata), chunks.next());
            let seconds = seconds.unwrap_or_default().to_vec();
            records.push((None, Record::Judged { rollout: Arc::clone(name), strata, seconds }));
        }
    };
    let mut done = 0;
    for decided in &rollout.decided {
        judged(&mut records, rollout.seconds.get(done..decided.seconds).unwrap_or_default());
        done = decided.seconds;
        let record = Record::Decided {
            rollout: Arc::clone(name),
            sli: Arc::clone(&decided.sli),
            verdict: decided.verdict,
            grounds: Arc::clone(&decided.grounds),
            record: decided.record,
            at: decided.at,
        };
        records.push((decided.previous, record));
    }
    judged(&mut records, rollout.seconds.get(done..).unwrap_or_default());
    for said in &rollout.said {
        let record = Record::Said {
            rollout: Arc::clone(name),
            word: said.word,
            by: said.by.clone(),
            reason: said.reason.clone(),
            at: said.at,
        };
        records.push((None, record));
    }
    if let Some((end, at)) = rollout.ended {
        records.push((None, Record::Ended { rollout: Arc::clone(name), end, at }));
    }
    if rollout.is_kept {
        records.push((None, Record::Kept { rollout: Arc::clone(name) }));
    }
    put_varint(out, records.len() as u64);
    for (previous, record) in records {
        put_hash(out, previous);
        record.put(out);
    }
}

fn put_hash(out: &mut Vec<u8>, hash: Option<Hash>) {
    out.push(u8::from(hash.is_some()));
    out.extend(hash.iter().flat_map(|hash| hash.0));
}

fn take_hash(reader: &mut Reader<'_>) -> Result<Option<Hash>, Malformed> {
    match reader.byte()? {
        0 => Ok(None),
        1 => Ok(Some(Hash(reader.array()?))),
        _ => Err(reader.malformed("neither a hash nor none")),
    }
}
