//! A point in time in whole microseconds, the finest both engines keep.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, PgValueRef};
use sqlx::{Decode, Encode, Postgres, Type};

/// UTC, RFC 3339 with six digits of fraction in JSON and in SQLite, TIMESTAMPTZ in PostgreSQL. The text
/// has one length only, so that it compares as the time does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(Timestamp);

/// PostgreSQL counts from the year 2000.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

impl Time {
    /// Long ago: what is due then is due at once, whatever the clocks say.
    pub const EPOCH: Time = Time(Timestamp::UNIX_EPOCH);

    /// The first moment of the year 2200, after which nothing is meant by a time.
    pub const END: Time = Time(Timestamp::constant(7_258_118_400, 0));

    pub fn from_micros(micros: i64) -> Option<Self> {
        Timestamp::from_microsecond(micros).ok().map(Self)
    }

    pub fn from_seconds(seconds: i64) -> Option<Self> {
        Timestamp::from_second(seconds).ok().map(Self)
    }

    /// The beginning of its day (UTC).
    pub fn day(self) -> Self {
        const DAY: i64 = 24 * 60 * 60;
        Self::from_seconds(self.as_seconds().div_euclid(DAY) * DAY).unwrap_or(self)
    }

    pub fn as_micros(self) -> i64 {
        self.0.as_microsecond()
    }

    pub fn as_seconds(self) -> i64 {
        self.0.as_second()
    }

    /// The time so much later, or the end of time.
    pub fn plus(self, duration: std::time::Duration) -> Self {
        let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Self(self.0.saturating_add(duration).unwrap_or(Timestamp::MAX)).rounded()
    }

    /// The time so much earlier, or the beginning of time.
    pub fn minus(self, duration: std::time::Duration) -> Self {
        let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        Self(self.0.saturating_sub(duration).unwrap_or(Timestamp::MIN)).rounded()
    }

    /// So many days later by the calendar (UTC), or the end of time.
    pub fn plus_days(self, days: i64) -> Self {
        self.plus_span(Span::new().try_days(days))
    }

    /// So many months later by the calendar (UTC), or the end of time; on the last day of a month that does not have the
    /// day.
    pub fn plus_months(self, months: i64) -> Self {
        self.plus_span(Span::new().try_months(months))
    }

    fn plus_span(self, span: Result<Span, jiff::Error>) -> Self {
        let later = span.and_then(|span| self.0.to_zoned(TimeZone::UTC).checked_add(span));
        later.map_or(Self::END, |later| Self(later.timestamp()).min(Self::END))
    }

    /// How long after `earlier` this is; zero if it is not.
    pub fn since(self, earlier: Time) -> std::time::Duration {
        std::time::Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or_default()
    }

    fn rounded(self) -> Self {
        Self::from_micros(self.as_micros()).unwrap_or(Self::EPOCH)
    }
}

impl From<Timestamp> for Time {
    fn from(timestamp: Timestamp) -> Self {
        Self(timestamp).rounded()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Time {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        text.parse::<Timestamp>().map(Self::from)
    }
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let time: Option<Self> = text.parse().ok();
        time.filter(|time| (Self::EPOCH..Self::END).contains(time)).ok_or_else(|| {
            serde::de::Error::custom("expected a time as in RFC 3339, with its offset, from 1970 to 2199")
        })
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .format(Some(utoipa::openapi::SchemaFormat::KnownFormat(utoipa::openapi::KnownFormat::DateTime)))
            .examples(["2026-11-21T09:30:00.000000Z"])
            .into()
    }
}

impl utoipa::ToSchema for Time {}

impl ToSql for Time {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.to_string().into())
    }
}

impl FromSql for Time {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|error: jiff::Error| FromSqlError::Other(error.into()))
    }
}

impl Type<Postgres> for Time {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_name("timestamptz")
    }
}

impl Encode<'_, Postgres> for Time {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode(self.as_micros() - POSTGRES_EPOCH_MICROS, buf)
    }
}

impl<'r> Decode<'r, Postgres> for Time {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let micros = i64::from_be_bytes(value.as_bytes()?.try_into()?);
        Self::from_micros(micros + POSTGRES_EPOCH_MICROS).ok_or_else(|| "a time out of range".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_have_one_length_and_compare_as_the_times_do() {
        let whole: Time = "2026-11-21T10:00:00+01:00".parse().unwrap();
        let later = whole.plus(std::time::Duration::from_nanos(1_500));
        assert_eq!(whole.to_string(), "2026-11-21T09:00:00.000000Z");
        assert_eq!(later.to_string(), "2026-11-21T09:00:00.000001Z");
        assert!(whole < later && whole.to_string() < later.to_string());
    }
}
