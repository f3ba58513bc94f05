//! Which devices an input takes. Asked once per device: the answer is kept with the device.

use regex_automata::meta::Regex;

/// Patterns over device names, unanchored as node_exporter's flags are.
#[derive(Clone, Debug, Default)]
pub struct DeviceFilter {
    /// A device that matches is left out.
    pub exclude: Option<Regex>,
    /// A device that does not match is left out.
    pub include: Option<Regex>,
}

impl DeviceFilter {
    /// Whether a device is taken.
    #[must_use]
    pub fn takes(&self, device: &[u8]) -> bool {
        !self.exclude.as_ref().is_some_and(|pattern| pattern.is_match(device))
            && self.include.as_ref().is_none_or(|pattern| pattern.is_match(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusion_wins_and_patterns_are_unanchored() {
        let filter = DeviceFilter {
            exclude: Some(Regex::new("^lo$").unwrap()),
            include: Some(Regex::new("eth|lo").unwrap()),
        };
        assert!(filter.takes(b"veth1"));
        assert!(!filter.takes(b"lo"));
        assert!(!filter.takes(b"wlan0"));
        assert!(DeviceFilter::default().takes(b"\xff"));
    }
}
