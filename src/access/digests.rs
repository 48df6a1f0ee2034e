//! What values are told apart by where they must not be told: digests with a key, so that nobody without it can try out
//! which value might have given one.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Makes digests.
#[derive(Clone)]
pub struct Digests(Zeroizing<[u8; 32]>);

impl Digests {
    pub fn new(key: Zeroizing<[u8; 32]>) -> Self {
        Self(key)
    }

    /// A value's digest among those of one record, 32 hexadecimal digits: the same value of another record has another.
    pub fn of(&self, record: &str, value: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes keys of any length");
        mac.update(record.as_bytes());
        mac.update(&[0]);
        mac.update(value.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..16])
    }

    /// What a secret is recognised by where it is not read back.
    pub fn fingerprint(&self, record: &str, secret: &str) -> String {
        format!("sha256:{}", &self.of(record, secret)[..8])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_tells_values_apart_within_a_record_and_nothing_beyond() {
        let digests = Digests::new(Zeroizing::new([7; 32]));
        let one = digests.of("acc_1", "value");
        assert_eq!((one.len(), one.clone()), (32, digests.of("acc_1", "value")));
        for other in [
            digests.of("acc_1", "values"),
            digests.of("acc_2", "value"),
            Digests::new(Zeroizing::new([8; 32])).of("acc_1", "value"),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(digests.fingerprint("acc_1", "value"), format!("sha256:{}", &one[..8]));
    }
}
