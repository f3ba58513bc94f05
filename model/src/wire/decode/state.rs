//! A decoder's rows as bytes, for a checkpoint: the next delta then builds on them after a start,
//! as if there had been none. The bytes are the collector's own; no agent sees them.
//!
//! groups: count, each number, row, time (zigzag), target, fingerprint (length, CRC (4), hash (8)),
//! any absent (1), places: count, each 0 if empty, else 1 + scale, m (zigzag), habit (2, 2, 1);
//! then the bitmap of absent values; sizes: 0 if none are known, else 1 and each chance (2).

use super::{Decoder, Fingerprint, Group};
use crate::id::GroupId;
use crate::limit;
use crate::series::{ABSENT, is_absent};
use crate::time::Timestamp;
use crate::wire::bytes::{Malformed, Reader, put_labels, put_varint, put_zigzag};
use crate::wire::decode::Change;
use crate::wire::range::Chance;
use crate::wire::row::{Habit, Sizes};
use crate::wire::scale::{Accumulator, Scale};

impl Decoder {
    /// Appends all groups, but for those whose columns have changed and were not asked for.
    pub fn put_state(&self, out: &mut Vec<u8>) {
        let settled = || self.groups.iter().filter(|(_, group)| group.change == Change::Same);
        put_varint(out, settled().count() as u64);
        for (id, group) in settled() {
            put_varint(out, u64::from(id.0));
            group.put_state(out);
        }
    }

    /// Reads what [`Decoder::put_state`] has written into an empty decoder of so many places.
    ///
    /// # Errors
    /// The bytes are no such state, or have more places.
    pub fn take_state(reader: &mut Reader<'_>, places_max: usize) -> Result<Decoder, Malformed> {
        let mut decoder = Decoder::new(places_max);
        for _ in 0..reader.count(limit::GROUPS as usize)? {
            let id = u32::try_from(reader.varint()?).ok().filter(|id| *id < limit::GROUPS);
            let id = GroupId(id.ok_or(reader.malformed("group's number"))?);
            let group = Group::take_state(reader, places_max - decoder.places)?;
            decoder.places += group.accumulators.len();
            if decoder.groups.insert(id, group).is_some() {
                return Err(reader.malformed("a group given twice"));
            }
        }
        Ok(decoder)
    }
}

impl Group {
    fn put_state(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::from(self.row));
        put_zigzag(out, self.time.0);
        put_labels(out, &self.target);
        put_varint(out, self.fingerprint.len as u64);
        out.extend_from_slice(&self.fingerprint.crc.to_le_bytes());
        out.extend_from_slice(&self.fingerprint.hash.to_le_bytes());
        out.push(u8::from(self.any_absent));
        put_varint(out, self.occupied.len() as u64);
        for (occupied, accumulator) in self.occupied.iter().zip(&self.accumulators) {
            if *occupied {
                out.push(1 + accumulator.scale as u8);
                put_zigzag(out, accumulator.m);
                let Habit { changed, fell, size } = accumulator.habit;
                put_chance(out, changed);
                put_chance(out, fell);
                out.push(size);
            } else {
                out.push(0);
            }
        }
        for values in self.values.chunks(8) {
            let bits = values.iter().rev();
            out.push(bits.fold(0, |bits, value| bits << 1 | u8::from(is_absent(*value))));
        }
        out.push(u8::from(self.sizes.is_some()));
        let chances = self.sizes.iter().flat_map(|sizes| sizes.chances());
        chances.for_each(|chance| put_chance(out, *chance));
    }

    fn take_state(reader: &mut Reader<'_>, places_max: usize) -> Result<Group, Malformed> {
        let row = u32::try_from(reader.varint()?).map_err(|_| reader.malformed("row's number"))?;
        let time = Timestamp(reader.zigzag()?);
        let target = reader.labels()?;
        let len = usize::try_from(reader.varint()?).unwrap_or(usize::MAX);
        let fingerprint = Fingerprint { len, crc: reader.u32()?, hash: reader.u64()? };
        let any_absent = reader.byte()? != 0;
        let count = reader.count(limit::COLUMNS.min(places_max))?;
        let mut group = Group { row, time, target, fingerprint, any_absent, ..Group::default() };
        for _ in 0..count {
            let (occupied, accumulator) = match reader.byte()? {
                0 => (false, Accumulator::default()),
                tag => {
                    let scale = Scale::from_wire(tag - 1).ok_or(reader.malformed("scale"))?;
                    let m = reader.zigzag()?;
                    let (changed, fell) = (chance(reader)?, chance(reader)?);
                    let habit = Habit { changed, fell, size: reader.byte()? };
                    (true, Accumulator { scale, m, habit })
                }
            };
            group.occupied.push(occupied);
            group.accumulators.push(accumulator);
        }
        let absent = reader.take(count.div_ceil(8))?;
        for (place, accumulator) in group.accumulators.iter().enumerate() {
            let is_absent = absent[place / 8] >> (place % 8) & 1 == 1 || !group.occupied[place];
            group.values.push(if is_absent { ABSENT } else { accumulator.value() });
        }
        if reader.byte()? != 0 {
            let sizes: &mut Sizes = group.sizes.get_or_insert_default();
            for held in sizes.chances_mut() {
                *held = chance(reader)?;
            }
        }
        Ok(group)
    }
}

fn put_chance(out: &mut Vec<u8>, chance: Chance) {
    out.extend_from_slice(&chance.to_bits().to_le_bytes());
}

fn chance(reader: &mut Reader<'_>) -> Result<Chance, Malformed> {
    Chance::from_bits(reader.u16()?).ok_or(reader.malformed("a certain chance"))
}
