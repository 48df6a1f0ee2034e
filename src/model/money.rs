//! Money: whole minor units of a currency. Nothing here is ever a float.

use std::fmt;
use std::str::FromStr;

use iso_currency::IntoEnumIterator;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// A currency of ISO 4217 that is counted in minor units. Callers may name those that are in use ([`Currency::all`]); what
/// was written when another one was in use can be read for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Those that people pay in: no metals, no funds, none of former times.
    pub fn all() -> impl Iterator<Item = Self> {
        iso_currency::Currency::iter().filter(|known| is_money(*known)).map(Self)
    }

    pub fn code(self) -> &'static str {
        self.0.code()
    }

    /// How many digits stand behind the decimal point: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn exponent(self) -> u32 {
        self.0.exponent().unwrap_or_default().into()
    }
}

fn is_money(currency: iso_currency::Currency) -> bool {
    currency.exponent().is_some()
        && !currency.is_fund()
        && !currency.is_special()
        && currency.is_superseded().is_none()
}

impl FromStr for Currency {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        iso_currency::Currency::from_code(text)
            .filter(|known| known.exponent().is_some())
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no currency of ISO 4217"))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Currency {
    fn schema() -> RefOr<Schema> {
        let codes: Vec<_> = Currency::all().map(Currency::code).collect();
        ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes)).into()
    }
}

impl ToSchema for Currency {}

crate::stored_as_str!(Currency);

/// An amount of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// In minor units: cents for EUR, whole yen for JPY.
    #[schema(example = 1999)]
    pub amount: i64,
    pub currency: Currency,
}

impl Currency {
    pub fn money(self, amount: i64) -> Money {
        Money { amount, currency: self }
    }
}

/// `amount * numerator / denominator`, rounded to the nearest whole, halves away from zero; none if it does not fit.
pub fn scaled(amount: i64, numerator: i128, denominator: i128) -> Option<i64> {
    let product = i128::from(amount).checked_mul(numerator)?;
    let half = denominator / 2;
    let rounded = match product < 0 {
        true => product.checked_sub(half)? / denominator,
        false => product.checked_add(half)? / denominator,
    };
    rounded.try_into().ok()
}

/// How many units of one currency one unit of another is worth, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate(i64);

impl Rate {
    const ONE: i64 = 1_000_000;

    pub fn of_millionths(millionths: i64) -> Self {
        Self(millionths)
    }

    pub fn millionths(self) -> i64 {
        self.0
    }
}

/// A decimal number above zero with at most six digits on each side of its point.
impl FromStr for Rate {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const SHAPE: &str =
            "is a number above zero such as 1.085, of at most six digits on each side of the point";
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let number = |digits: &str| match digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true if (1..=6).contains(&digits.len()) => digits.parse::<i64>().map_err(|_| SHAPE),
            _ => Err(SHAPE),
        };
        let scale = 10_i64.pow(6_u32.saturating_sub(part.len() as u32));
        let millionths = number(whole)? * Self::ONE + number(part)? * scale;
        if millionths == 0 { Err(SHAPE) } else { Ok(Self(millionths)) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{}.{:06}", self.0 / Self::ONE, self.0 % Self::ONE);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl utoipa::PartialSchema for Rate {
    fn schema() -> RefOr<Schema> {
        // Some digit is not 0.
        let part =
            "[1-9][0-9]{0,5}|0[1-9][0-9]{0,4}|00[1-9][0-9]{0,3}|000[1-9][0-9]{0,2}|0{4}[1-9][0-9]?|0{5}[1-9]";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(format!("^([1-9][0-9]{{0,5}}(\\.[0-9]{{1,6}})?|0\\.({part}))$")))
            .max_length(Some(13))
            .examples(["1.085"])
            .into()
    }
}

impl ToSchema for Rate {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn currencies_are_those_that_people_pay_in() {
        let exponents = ["EUR", "JPY", "KWD", "CLF"].map(|code| code.parse().map(Currency::exponent));
        assert_eq!(exponents[..3], [Ok(2), Ok(0), Ok(3)]);
        for none in ["XAU", "XTS", "XXX", "eur", "EU", ""] {
            assert!(none.parse::<Currency>().is_err(), "{none}");
        }
        assert!(Currency::all().count() > 140);
        assert!("HRK".parse::<Currency>().is_ok(), "what was written in it can be read");
        assert!(!Currency::all().any(|known| ["HRK", "DEM", "XUA"].contains(&known.code())));
        assert!(Currency::all().all(|known| currency(known.code()) == known));
    }

    #[test]
    fn rates_are_read_and_told_without_a_loss() {
        for (text, millionths) in
            [("1", 1_000_000), ("1.085", 1_085_000), ("0.000001", 1), ("999999.999999", 999_999_999_999)]
        {
            let rate: Rate = text.parse().unwrap();
            assert_eq!((rate.millionths(), rate.to_string()), (millionths, text.to_owned()));
        }
        for none in ["", "0", "0.0", ".5", "1.", "1.0000001", "1000000", "-1", "1e3", "1,5", "+1"] {
            assert!(none.parse::<Rate>().is_err(), "{none}");
        }
    }

    #[test]
    fn halves_go_away_from_zero_and_what_does_not_fit_is_none() {
        for (amount, expected) in [(1, 1), (-1, -1), (3, 2), (-3, -2), (4, 2), (0, 0)] {
            assert_eq!(scaled(amount, 1, 2), Some(expected), "{amount}");
        }
        assert_eq!(scaled(i64::MAX, 2, 1), None);
        assert_eq!(scaled(i64::MAX, i128::MAX, 1), None);
    }

    proptest! {
        #[test]
        fn what_is_scaled_is_never_off_by_more_than_a_half(amount in -1_000_000_000_000_i64..=1_000_000_000_000, numerator in 0_i128..=110_000) {
            let scaled = i128::from(scaled(amount, numerator, 10_000).unwrap());
            prop_assert!((scaled * 10_000 - i128::from(amount) * numerator).abs() <= 5_000);
        }
    }
}
