//! Signatures of webhooks and signals, by Standard Webhooks 1.0: HMAC-SHA256 over id, time and
//! body. The collector signs; hooks verify.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// What the text of a key begins with.
const PREFIX: &str = "whsec_";
/// Bytes of a key.
const KEY_BYTES: core::ops::RangeInclusive<usize> = 24..=64;

/// A text is no key; completes the sentence "… must be". The text is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be `whsec_` and 24 to 64 bytes in base64")]
pub struct BadKey;

/// A key that signs.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Reads a key as receivers have it.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<SigningKey, BadKey> {
        let digits = text.trim().strip_prefix(PREFIX).ok_or(BadKey)?;
        let bytes = STANDARD.decode(digits).map_err(|_| BadKey)?;
        if !KEY_BYTES.contains(&bytes.len()) {
            return Err(BadKey);
        }
        Ok(SigningKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The text of a key of these bytes: 24 to 64.
    #[must_use]
    pub fn encode(bytes: &[u8]) -> String {
        format!("{PREFIX}{}", STANDARD.encode(bytes))
    }

    /// The signature of one attempt, at a time in seconds since 1970: `v1,` and base64.
    #[must_use]
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }

    /// Whether one of a header's signatures is of this key; compared in constant time.
    #[must_use]
    pub fn verifies(&self, signatures: &str, id: &str, seconds: i64, body: &[u8]) -> bool {
        let told = [format!("{id}.{seconds}.").as_bytes(), body].concat();
        let tags = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let mut tags = tags.filter_map(|tag| STANDARD.decode(tag).ok());
        tags.any(|tag| hmac::verify(&self.0, &told, &tag).is_ok())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}

/// The header of all keys' signatures; receivers take any that they know.
#[must_use]
pub fn signatures(keys: &[SigningKey], id: &str, seconds: i64, body: &[u8]) -> String {
    let all: Vec<String> = keys.iter().map(|key| key.sign(id, seconds, body)).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification, as its libraries test themselves.
    #[test]
    fn the_specifications_example_is_signed_alike() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let both =
            signatures(&[key.clone(), key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(both, format!("{signed} {signed}"));
    }

    #[test]
    fn a_receiver_takes_one_good_signature_of_several() {
        let (key, other) = (SigningKey::parse(&SigningKey::encode(&[7; 32])).unwrap(), [8; 32]);
        let other = SigningKey::parse(&SigningKey::encode(&other)).unwrap();
        let both = signatures(&[other.clone(), key.clone()], "a", 1, b"body");
        assert!(key.verifies(&both, "a", 1, b"body") && other.verifies(&both, "a", 1, b"body"));
        assert!(!key.verifies(&both, "a", 1, b"bod") && !key.verifies(&both, "a", 2, b"body"));
        assert!(!key.verifies(&other.sign("a", 1, b"body"), "a", 1, b"body"));
        for none in ["", "v1,", "v1,!", "v2,AAAA", " "] {
            assert!(!key.verifies(none, "a", 1, b"body"));
        }
    }

    #[test]
    fn keys_have_a_prefix_and_enough_bytes() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![b'x'; bytes]));
        for good in [24, 32, 64] {
            assert!(SigningKey::parse(&of(good)).is_ok());
        }
        assert!(SigningKey::parse(&format!("{}\n", of(32))).is_ok());
        for bad in
            [of(23), of(65), of(32).replace("whsec_", ""), "whsec_!".to_owned(), String::new()]
        {
            assert_eq!(SigningKey::parse(&bad).err(), Some(BadKey));
        }
        let shown = format!("{:?}", SigningKey::parse(&of(24)).unwrap());
        assert_eq!(shown, "SigningKey(…)");
    }
}
