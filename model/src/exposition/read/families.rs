//! A whole page, family by family.

use std::borrow::Cow;

use super::{Bounds, FamilyHead, Format, Label, ReadError, Reader};
use crate::time::Timestamp;

/// A family with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Family<'a> {
    /// Name, type and help.
    pub head: FamilyHead<'a>,
    /// In the order of the page.
    pub samples: Vec<FamilySample<'a>>,
}

/// A sample of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct FamilySample<'a> {
    /// The metric's name.
    pub name: Cow<'a, str>,
    /// The other labels, in the order of the page.
    pub labels: Vec<Label<'a>>,
    /// The value.
    pub value: f64,
    /// The explicit stamp.
    pub time: Option<Timestamp>,
}

/// Reads a whole page of the text format into families that have samples; neighbours of one name
/// are one family.
///
/// # Errors
/// The first problem of the page.
pub fn read(page: &[u8], bounds: Bounds) -> Result<Vec<Family<'_>>, ReadError> {
    read_as(page, Format::Text, bounds)
}

/// As [`read`], in either format.
///
/// # Errors
/// The first problem of the page.
pub fn read_as(page: &[u8], format: Format, bounds: Bounds) -> Result<Vec<Family<'_>>, ReadError> {
    let mut reader = Reader::of(page, format, bounds)?;
    let mut families: Vec<Family<'_>> = Vec::new();
    while let Some(line) = reader.next_sample() {
        let line = line?;
        let sample = FamilySample {
            name: line.name.clone(),
            labels: line.labels.to_vec(),
            value: line.value,
            time: line.time,
        };
        match families.last_mut() {
            Some(family) if family.head == *line.family => family.samples.push(sample),
            _ => families.push(Family { head: line.family.clone(), samples: vec![sample] }),
        }
    }
    Ok(families)
}
