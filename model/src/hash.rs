//! FNV-1a: a number for a few bytes, the same on every machine and in every version. Not for keys
//! that somebody else chooses.

/// FNV-1a of 64 bits.
#[must_use]
pub fn fnv1a(bytes: impl IntoIterator<Item = u8>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.into_iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// FNV-1a over texts with a byte 255, which is in no text, after each.
#[must_use]
pub fn fnv1a_of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    fnv1a(texts.into_iter().flat_map(|text| text.bytes().chain([0xff])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_function() {
        assert_eq!(fnv1a([]), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(*b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(*b"foobar"), 0x8594_4171_f739_67e8);
        assert_ne!(fnv1a_of_texts(["ab", "c"]), fnv1a_of_texts(["a", "bc"]));
    }
}
