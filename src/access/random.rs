//! The one place where randomness comes from.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};

/// Digits in order of their value, as base62 is commonly written.
pub const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `N` bytes that nobody can foresee.
#[expect(clippy::disallowed_methods, reason = "the one place where randomness is drawn")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut drawn = [0; N];
    SystemRandom::new().fill(&mut drawn).expect("the system's generator, once seeded, does not fail");
    drawn
}

/// `length` base62 digits, each of the 62 as likely as any other.
pub fn base62(length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut drawn = bytes::<64>();
        // 248 is four times 62; bytes above would favour the first digits.
        let digits =
            drawn.iter().filter(|&&byte| byte < 248).map(|&byte| char::from(BASE62[byte as usize % 62]));
        text.extend(digits.take(length - text.len()));
        zeroize::Zeroize::zeroize(&mut drawn);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_are_equal() {
        assert_ne!(bytes::<32>(), bytes::<32>());
        assert_ne!(base62(43), base62(43));
        assert_eq!(base62(200).len(), 200);
    }

    #[test]
    fn every_base62_digit_is_as_likely_as_any_other() {
        let drawn = 62 * 4_000;
        let mut counts = [0_f64; 62];
        for digit in base62(drawn).bytes() {
            counts[BASE62.iter().position(|&known| known == digit).unwrap()] += 1.0;
        }
        let expected = 4_000.0;
        let chi_squared: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
        // 61 degrees of freedom: a fair draw passes 160 once in 10^10 runs, `byte % 62` over all bytes gives thousands.
        assert!(chi_squared < 160.0, "{chi_squared}");
    }
}
