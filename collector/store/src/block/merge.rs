//! Parts become a whole: rows in a row, columns by name. A series that some parts do not name is
//! absent in their rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use bellwether_model::series::{ABSENT, SeriesRef};

use super::{Block, Builder, Names, Stamps, decode};
use crate::chunk::{self, Encoder};

/// One block of the rows of all parts, which follow each other; `None` if there are none. `names`
/// is shared where the block has the same.
pub(crate) fn merge(parts: &[Arc<Block>], names: &Names, encoder: &mut Encoder) -> Option<Block> {
    let mut stamps = Stamps::default();
    for part in parts {
        let mut more = part.stamps();
        stamps.times.append(&mut more.times);
        stamps.positions.append(&mut more.positions);
    }
    let names = union(parts, names);
    let mut builder = Builder::new(encoder, &stamps, names.len())?;
    let mut values = Vec::with_capacity(stamps.times.len());
    let mut chunks: Vec<Option<&[u8]>> = Vec::with_capacity(parts.len());
    for (column, series) in names.iter().enumerate() {
        chunks.clear();
        chunks.extend(parts.iter().map(|part| chunk_of(part, &names, *series, column)));
        let first = chunks.first().copied().flatten().unwrap_or_default();
        if chunk::is_constant(first) && chunks.iter().all(|chunk| *chunk == Some(first)) {
            builder.constant(first);
            continue;
        }
        if builder.joined(parts, &chunks) {
            continue;
        }
        values.clear();
        for (part, bytes) in parts.iter().zip(&chunks) {
            match bytes {
                Some(bytes) => decode(bytes, part.rows, &mut values),
                None => values.resize(values.len() + part.rows, ABSENT),
            }
        }
        builder.column(&values);
    }
    Some(builder.finish(names))
}

/// A series' chunk in a part; `column` is its place if the part has just these names.
fn chunk_of<'a>(
    part: &'a Block,
    names: &Names,
    series: SeriesRef,
    column: usize,
) -> Option<&'a [u8]> {
    let same = Arc::ptr_eq(&part.names, names);
    let at = if same { Some(column) } else { part.names.binary_search(&series).ok() };
    at.map(|at| part.chunk(at))
}

fn union(parts: &[Arc<Block>], names: &Names) -> Names {
    let first = parts.first().map_or(names, |part| &part.names);
    if parts.iter().all(|part| part.names == *first) {
        return Arc::clone(first);
    }
    let all: BTreeSet<SeriesRef> = parts.iter().flat_map(|p| p.names.iter().copied()).collect();
    if all.iter().eq(names.iter()) { Arc::clone(names) } else { all.into_iter().collect() }
}
