//! What is handed out to be brought back, and says nothing meanwhile.

use aws_lc_rs::hmac;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::random;

const NONCE: usize = 24;

/// Encrypts under the key; it is opened only where the same is `bound` to it.
pub fn close(key: &[u8; 32], text: &[u8], bound: &[u8]) -> Vec<u8> {
    let nonce = random::bytes::<NONCE>();
    let payload = Payload { msg: text, aad: bound };
    let sealed = cipher(key).encrypt(XNonce::from_slice(&nonce), payload);
    [nonce.as_slice(), &sealed.expect("texts are shorter than what the cipher takes")].concat()
}

/// The text, unless it was altered or something else is bound to it.
pub fn open(key: &[u8; 32], sealed: &[u8], bound: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE)?;
    let payload = Payload { msg: sealed, aad: bound };
    cipher(key).decrypt(XNonce::from_slice(nonce), payload).ok()
}

/// Under a key of its own, whatever else the key is used for.
fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    let own = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"what is handed out");
    XChaCha20Poly1305::new_from_slice(own.as_ref()).expect("a digest has the length of a key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_closed_is_opened_only_as_it_was_and_where_it_belongs() {
        let key = [7; 32];
        let closed = close(&key, b"after", b"here");
        assert_eq!(open(&key, &closed, b"here").as_deref(), Some(b"after".as_slice()));
        assert_eq!(open(&key, &closed, b"there"), None);
        assert_eq!(open(&[8; 32], &closed, b"here"), None);
        for at in 0..closed.len() {
            let mut altered = closed.clone();
            altered[at] ^= 1;
            assert_eq!(open(&key, &altered, b"here"), None, "{at}");
        }
        assert_eq!(open(&key, &closed[..9], b"here"), None);
        assert_ne!(close(&key, b"after", b"here"), closed, "nobody sees that two are the same");
    }
}
