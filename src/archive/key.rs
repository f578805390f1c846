//! What objects are encrypted with.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
    hkdf::{HKDF_SHA256, KeyType, Salt},
};

/// The fewest bytes of a secret.
const LEAST_BYTES: usize = 16;
/// The most bytes of a secret.
const MOST_BYTES: usize = 4096;
/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 16;
/// Bytes of a key's id.
pub(crate) const ID_BYTES: usize = 8;

/// A secret that objects are encrypted with. Each object has a key of its own, which is made of the secret and of the object's
/// salt (HKDF with SHA-256, RFC 5869), and encrypts that object alone (AES-256-GCM, NIST SP 800-38D).
#[derive(Clone)]
pub struct Key {
    secret: Vec<u8>,
    id: [u8; ID_BYTES],
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key for encryption has between 16 and 4096 bytes, and this one has {bytes}")]
pub struct KeyError {
    /// How many it has.
    bytes: usize,
}

impl Key {
    /// A key made of a secret of 16 to 4096 bytes. It should be random: who knows objects and guesses the secret reads them.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn new(secret: &[u8]) -> Result<Self, KeyError> {
        let bytes = secret.len();
        if !(LEAST_BYTES..=MOST_BYTES).contains(&bytes) {
            return Err(KeyError { bytes });
        }
        let mut id = [0; ID_BYTES];
        derive(secret, &[], b"ferrymq archive: id of a key", Length(ID_BYTES), |okm| okm.fill(&mut id))
            .map_err(|Unspecified| KeyError { bytes })?;
        Ok(Self { secret: secret.to_vec(), id })
    }

    /// Tells keys apart, and says nothing of them.
    pub(crate) fn id(&self) -> [u8; ID_BYTES] {
        self.id
    }

    /// Encrypts in place, and adds a tag; what is `beside` it must be the same when it is decrypted.
    pub(crate) fn seal(
        &self,
        salt: &[u8; SALT_BYTES],
        beside: &[u8],
        content: &mut Vec<u8>,
    ) -> Result<(), Unspecified> {
        self.for_object(salt)?.seal_in_place_append_tag(only_nonce(), Aad::from(beside), content)
    }

    /// Decrypts in place; gives what was encrypted.
    pub(crate) fn open<'a>(
        &self,
        salt: &[u8; SALT_BYTES],
        beside: &[u8],
        content: &'a mut [u8],
    ) -> Result<&'a mut [u8], Unspecified> {
        self.for_object(salt)?.open_in_place(only_nonce(), Aad::from(beside), content)
    }

    fn for_object(&self, salt: &[u8; SALT_BYTES]) -> Result<LessSafeKey, Unspecified> {
        derive(&self.secret, salt, b"ferrymq archive: key of an object", &AES_256_GCM, |okm| {
            Ok(LessSafeKey::new(UnboundKey::from(okm)))
        })
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// A key encrypts one content, and so needs no other nonce.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<L: KeyType, T>(
    secret: &[u8],
    salt: &[u8],
    purpose: &[u8],
    kind: L,
    take: impl FnOnce(aws_lc_rs::hkdf::Okm<'_, L>) -> Result<T, Unspecified>,
) -> Result<T, Unspecified> {
    take(Salt::new(HKDF_SHA256, salt).extract(secret).expand(&[purpose], kind)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_nothing_of_itself_and_is_not_short() {
        let key = Key::new(b"a secret of some length").unwrap();
        assert_eq!(format!("{key:?}"), "Key { .. }");
        assert_eq!(key.id(), Key::new(b"a secret of some length").unwrap().id());
        assert_ne!(key.id(), Key::new(b"another secret of some length").unwrap().id());
        assert_eq!(
            Key::new(b"short").unwrap_err().to_string(),
            "a key for encryption has between 16 and 4096 bytes, and this one has 5"
        );
    }
}
