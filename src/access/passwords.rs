//! Passwords of resources: hashed at the edge, in the scheme that mail servers read, and never kept.

use secrecy::{ExposeSecret, SecretString};

use super::random;

/// bcrypt reads no more of a password.
pub const MAX_BYTES: usize = 72;
/// About 50 ms on a server of today.
const COST: u32 = 10;

/// The password as `{BLF-CRYPT}$2y$…`; none if it is longer than the scheme can take.
pub async fn hash(password: SecretString) -> Option<String> {
    let work = move || {
        let plain = password.expose_secret().as_bytes();
        if plain.len() > MAX_BYTES {
            return None;
        }
        let parts = bcrypt::hash_with_salt(plain, COST, random::bytes::<16>()).ok()?;
        Some(format!("{{BLF-CRYPT}}{}", parts.format_for_version(bcrypt::Version::TwoY)))
    };
    tokio::task::spawn_blocking(work).await.ok()?
}
