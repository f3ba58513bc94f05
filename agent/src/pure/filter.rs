//! Which names (devices, mount points, fields) an input takes. Asked once per name: the answer is
//! kept with it.

use regex_automata::meta::Regex;

/// A filter as the configuration offers it.
#[derive(Clone, Copy, Debug)]
pub struct FilterSpec {
    /// The key of the pattern of what is taken.
    pub include_key: &'static str,
    /// The key of the pattern of what is left out.
    pub exclude_key: &'static str,
    /// What is taken if the configuration says nothing; empty for all.
    pub include: &'static str,
    /// What is left out if the configuration says nothing; empty for nothing.
    pub exclude: &'static str,
}

impl FilterSpec {
    /// A filter of devices that takes all.
    pub const DEVICES: FilterSpec = FilterSpec {
        include_key: "device_include",
        exclude_key: "device_exclude",
        include: "",
        exclude: "",
    };
    /// A filter of the fields of a file that takes all.
    pub const FIELDS: FilterSpec = FilterSpec {
        include_key: "field_include",
        exclude_key: "field_exclude",
        include: "",
        exclude: "",
    };

    /// The same, but for what matches by default.
    #[must_use]
    pub const fn without(self, exclude: &'static str) -> FilterSpec {
        FilterSpec { exclude, ..self }
    }

    /// The same, with only what matches by default.
    #[must_use]
    pub const fn only(self, include: &'static str) -> FilterSpec {
        FilterSpec { include, ..self }
    }

    /// The filter if the configuration says nothing.
    ///
    /// # Panics
    /// A pattern of the static list is none, which a test rules out.
    #[must_use]
    pub fn default_filter(&self) -> NameFilter {
        let pattern = |text: &str| {
            let text = Some(text).filter(|text| !text.is_empty());
            text.map(|text| Regex::new(text).expect("invariant: the list's patterns"))
        };
        NameFilter { exclude: pattern(self.exclude), include: pattern(self.include) }
    }
}

/// Patterns over names, unanchored as node_exporter's flags are.
#[derive(Clone, Debug, Default)]
pub struct NameFilter {
    /// A name that matches is left out.
    pub exclude: Option<Regex>,
    /// A name that does not match is left out.
    pub include: Option<Regex>,
}

impl NameFilter {
    /// Whether a name is taken.
    #[must_use]
    pub fn takes(&self, name: &[u8]) -> bool {
        !self.exclude.as_ref().is_some_and(|pattern| pattern.is_match(name))
            && self.include.as_ref().is_none_or(|pattern| pattern.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusion_wins_and_patterns_are_unanchored() {
        let filter = NameFilter {
            exclude: Some(Regex::new("^lo$").unwrap()),
            include: Some(Regex::new("eth|lo").unwrap()),
        };
        assert!(filter.takes(b"veth1"));
        assert!(!filter.takes(b"lo"));
        assert!(!filter.takes(b"wlan0"));
        assert!(NameFilter::default().takes(b"\xff"));
    }
}
