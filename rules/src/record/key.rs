//! Keys that sign records, and their texts.
//!
//! Ed25519 (RFC 8032). A secret key is 32 random bytes, which the shell draws, as 64 hexadecimal
//! digits. A public key is `ed25519:` and 64 digits, so that neither is taken for the other.
//! Records are checked with `verify_strict`, which refuses signatures that more than one key could
//! have made.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::hash::{hex, unhex};

/// What a public key's text begins with.
const PUBLIC: &str = "ed25519:";

/// A key that signs. It is shown nowhere.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// A key that checks signatures, shown as `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

/// A text that is no key. It says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a secret key.
    #[error("a signing key is 64 hexadecimal digits in lower case")]
    NotSecret,
    /// A public key in place of the secret one.
    #[error("this is a public key; signing needs the secret one")]
    Public,
    /// Not a public key.
    #[error("a public key is \"ed25519:\" and 64 hexadecimal digits in lower case")]
    NotPublic,
    /// A secret key in place of the public one.
    #[error("this looks like a secret key; checking needs the public one, \"ed25519:…\"")]
    Secret,
}

impl SecretKey {
    /// The key made of 32 random bytes.
    #[must_use]
    pub fn new(random: [u8; 32]) -> SecretKey {
        SecretKey(SigningKey::from_bytes(&random))
    }

    /// Reads 64 hexadecimal digits, with white space around them.
    ///
    /// # Errors
    /// The text is no secret key.
    pub fn parse(text: &str) -> Result<SecretKey, KeyError> {
        let text = text.trim_ascii();
        if text.starts_with(PUBLIC) {
            return Err(KeyError::Public);
        }
        unhex(text.as_bytes()).map(SecretKey::new).ok_or(KeyError::NotSecret)
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs bytes; the same bytes give the same signature.
    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.0.sign(bytes).to_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl PublicKey {
    /// The key of 32 bytes, if they are a point of the curve.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<PublicKey> {
        VerifyingKey::from_bytes(bytes).ok().map(PublicKey)
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// Whether this key's secret signed the bytes.
    pub(super) fn has_signed(&self, bytes: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(bytes, &Signature::from_bytes(signature)).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<PublicKey, KeyError> {
        let text = text.trim_ascii();
        let Some(digits) = text.strip_prefix(PUBLIC) else {
            let is_secret = unhex::<32>(text.as_bytes()).is_some();
            return Err(if is_secret { KeyError::Secret } else { KeyError::NotPublic });
        };
        let bytes = unhex(digits.as_bytes()).ok_or(KeyError::NotPublic)?;
        PublicKey::from_bytes(&bytes).ok_or(KeyError::NotPublic)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", hex(&self.to_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}
