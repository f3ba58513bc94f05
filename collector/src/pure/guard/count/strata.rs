//! Strata: values of a label, numbered as they come.

use bellwether_model::label::LabelSet;
use bellwether_rules::record::NAME_BYTES_MAX;
use bellwether_rules::verdict::Tick;

/// The last stratum, of all values for which there is no number left.
const OTHER: &str = "other";

/// The strata known, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Strata {
    label: Option<String>,
    names: Vec<String>,
    /// So many were told.
    told: usize,
}

impl Strata {
    pub(super) fn new(label: Option<String>, mut names: Vec<String>) -> Strata {
        names.truncate(usize::from(Tick::STRATA_MAX));
        Strata { label, told: names.len(), names }
    }

    /// The number of a series' stratum; without a label there is one, which has no name.
    pub(super) fn of(&mut self, labels: &LabelSet) -> u16 {
        let Some(label) = &self.label else { return 0 };
        let name = kept(labels.get(label).unwrap_or_default());
        let last = usize::from(Tick::STRATA_MAX) - 1;
        let at = self.names.iter().position(|known| known == name).unwrap_or_else(|| {
            if self.names.len() < last {
                self.names.push(name.to_owned());
            } else if self.names.len() == last {
                self.names.push(OTHER.to_owned());
            }
            self.names.len() - 1
        });
        u16::try_from(at).expect("invariant: there are at most 256 strata")
    }

    /// The strata that were not told yet.
    pub(super) fn take_new(&mut self) -> Vec<String> {
        let new = self.names.get(self.told..).unwrap_or_default().to_vec();
        self.told = self.names.len();
        new
    }
}

/// As much of a value as a decision record and the journal hold: what begins alike is one stratum.
fn kept(value: &str) -> &str {
    let mut ends = (0..=value.len().min(NAME_BYTES_MAX)).rev();
    let end = ends.find(|end| value.is_char_boundary(*end));
    value.get(..end.unwrap_or(0)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strata_are_numbered_as_they_come_and_the_last_holds_the_rest() {
        let series = |value: &str| LabelSet::new([("route", value)]).unwrap();
        let mut none = Strata::new(None, vec![]);
        assert_eq!((none.of(&series("/a")), none.take_new()), (0, vec![]));
        let mut strata = Strata::new(Some("route".to_owned()), vec!["/b".to_owned()]);
        assert_eq!(["/a", "/b", "", "/a"].map(|value| strata.of(&series(value))), [1, 0, 2, 1]);
        assert_eq!(strata.take_new(), ["/a", ""]);
        let numbers: Vec<u16> = (3..300).map(|at| strata.of(&series(&at.to_string()))).collect();
        let expected: Vec<u16> = (3..300).map(|at| at.min(255)).collect();
        assert_eq!(numbers, expected);
        let new = strata.take_new();
        assert_eq!((new.len(), new.last().unwrap().as_str()), (253, OTHER));
        assert_eq!(strata.of(&series("new")), 255);
        assert!(strata.take_new().is_empty());
    }

    #[test]
    fn a_name_is_no_longer_than_a_record_holds() {
        let long = format!("{}ä/a", "x".repeat(NAME_BYTES_MAX - 1));
        let other = format!("{}ä/b", "x".repeat(NAME_BYTES_MAX - 1));
        let series = |value: &str| LabelSet::new([("route", value)]).unwrap();
        let mut strata = Strata::new(Some("route".to_owned()), vec![]);
        assert_eq!([&long, &other].map(|value| strata.of(&series(value))), [0, 0]);
        assert_eq!(strata.take_new(), ["x".repeat(NAME_BYTES_MAX - 1)]);
    }
}
