//! What a database's refusals mean for whoever asked, by code and never by text.

use sqlx::mysql::MySqlDatabaseError;

use crate::model::connector::Fault;

/// Why a statement was not done.
#[derive(Debug)]
pub enum Refusal {
    /// A row with this key is there already.
    Duplicate,
    Fault(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Refusal::Fault(fault)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Duplicate => Fault::Invalid("the hosting database has such a row already".into()),
            Refusal::Fault(fault) => fault,
        }
    }
}

/// The engine's answer in our words.
pub fn refusal(error: sqlx::Error) -> Refusal {
    let told = format!("the hosting database: {error}");
    Refusal::Fault(match &error {
        sqlx::Error::Database(answer) if answer.is_unique_violation() => return Refusal::Duplicate,
        // A row came or went between two of our statements.
        sqlx::Error::Database(answer) if answer.is_foreign_key_violation() => Fault::unavailable(told),
        sqlx::Error::Database(answer) => match kind(answer.as_ref()) {
            Kind::Operators => Fault::Denied(told),
            Kind::Askers => Fault::Invalid(told),
            Kind::Passing => Fault::unavailable(told),
        },
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) | sqlx::Error::ColumnDecode { .. } => {
            Fault::Denied(told)
        }
        _ => Fault::unavailable(told),
    })
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// Credentials, rights or tables are wrong.
    Operators,
    /// The values are wrong.
    Askers,
    /// Busy, full, restarting.
    Passing,
}

fn kind(answer: &dyn sqlx::error::DatabaseError) -> Kind {
    if let Some(answer) = answer.try_downcast_ref::<MySqlDatabaseError>() {
        return mysql(answer.number());
    }
    let code = answer.code();
    let code = code.as_deref().unwrap_or_default();
    // SQLSTATE has five characters, SQLite's result codes at most four.
    if code.len() == 5 { postgres(code) } else { sqlite(code.parse().unwrap_or_default()) }
}

fn postgres(state: &str) -> Kind {
    match &state[..2] {
        // Authorization, no such database, rights or tables.
        "28" | "3D" | "3F" | "42" => Kind::Operators,
        // Data and constraints.
        "22" | "23" => Kind::Askers,
        _ => Kind::Passing,
    }
}

fn mysql(number: u16) -> Kind {
    match number {
        // Access denied, to the database, to a table or a column; no such database, column or table; syntax.
        1044 | 1045 | 1049 | 1054 | 1064 | 1142 | 1143 | 1146 | 1227 | 1698 | 4151 => Kind::Operators,
        // Null, out of range, too long.
        1048 | 1264 | 1406 => Kind::Askers,
        _ => Kind::Passing,
    }
}

fn sqlite(extended: i32) -> Kind {
    match extended & 0xff {
        // An error in a statement (no such table), rights, read-only, cannot open, no database.
        1 | 3 | 8 | 14 | 23 | 26 => Kind::Operators,
        // Too big, a constraint, a mismatch of types.
        18..=20 => Kind::Askers,
        _ => Kind::Passing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_passwords_are_an_operators_matter_and_a_busy_database_passes() {
        assert_eq!(
            [postgres("28P01"), mysql(1045), sqlite(14)],
            [Kind::Operators, Kind::Operators, Kind::Operators]
        );
        assert_eq!(
            [postgres("57P03"), mysql(1040), sqlite(5 | 1 << 8)],
            [Kind::Passing, Kind::Passing, Kind::Passing]
        );
        assert_eq!(
            [postgres("22001"), mysql(1406), sqlite(1299)],
            [Kind::Askers, Kind::Askers, Kind::Askers]
        );
    }
}
