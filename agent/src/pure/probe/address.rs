//! Which address of a name is asked, and its hash.

use core::net::IpAddr;

use bellwether_model::config::Choice;

use super::AddressPlan;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Choice for Family {
    const WORDS: &'static [(&'static str, Family)] = &[("ip4", Family::V4), ("ip6", Family::V6)];
}

impl Family {
    /// That of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Family {
        if address.to_canonical().is_ipv4() { Family::V4 } else { Family::V6 }
    }
}

/// The first address of the preferred family; without one, the last of the other, if it will do.
#[must_use]
pub fn choose(plan: AddressPlan, all: &[IpAddr]) -> Option<IpAddr> {
    let preferred = all.iter().find(|address| Family::of(**address) == plan.preferred);
    let other = all.last().filter(|_| plan.fallback);
    preferred.or(other).map(IpAddr::to_canonical)
}

/// FNV-1a of 32 bits of the address' bytes: tells whether it changes.
#[must_use]
pub fn hash(address: IpAddr) -> u32 {
    let each = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let of = |bytes: &[u8]| bytes.iter().fold(0x811c_9dc5, each);
    match address.to_canonical() {
        IpAddr::V4(address) => of(&address.octets()),
        IpAddr::V6(address) => of(&address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preferred_family_comes_first_and_the_other_only_as_fallback() {
        let all: Vec<IpAddr> = ["10.0.0.1", "::2", "::3", "::ffff:10.0.0.4"]
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let chosen = |preferred, fallback, all: &[IpAddr]| {
            choose(AddressPlan { preferred, fallback }, all).map(|address| address.to_string())
        };
        assert_eq!(chosen(Family::V6, true, &all).unwrap(), "::2");
        assert_eq!(chosen(Family::V4, false, &all).unwrap(), "10.0.0.1");
        assert_eq!(chosen(Family::V4, true, &all[1..3]).unwrap(), "::3");
        assert_eq!(chosen(Family::V4, false, &all[1..3]), None);
        assert_eq!(chosen(Family::V6, false, &all[3..]), None);
        assert_eq!(chosen(Family::V6, true, &all[3..]).unwrap(), "10.0.0.4");
        assert_eq!(chosen(Family::V6, true, &[]), None);
    }

    #[test]
    fn hashes_are_those_of_fnv() {
        // Of 127.0.0.1, as blackbox_exporter shows it.
        assert_eq!(hash("127.0.0.1".parse().unwrap()), 3_668_918_509);
        assert_eq!(hash("::ffff:127.0.0.1".parse().unwrap()), 3_668_918_509);
        assert_ne!(hash("::1".parse().unwrap()), hash("::2".parse().unwrap()));
    }
}
