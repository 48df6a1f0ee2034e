//! Statements that go to PostgreSQL together.
//!
//! Most of what a unit of work writes nobody waits for: rows are added, and the next statement does not look
//! at them. Each would cost a round trip and its share of both processors all the same. So they are kept
//! until a statement comes that is waited for, and run as parts of one: `WITH s0 AS (INSERT …), s1 AS (…)`.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::postgres::PgArguments;

use super::engine::Result;
use super::postgres::Lent;

/// How many statements are kept at most. Each combination is a statement to prepare.
const MOST: usize = 8;

/// What a unit of work has yet to send.
#[derive(Default)]
pub struct Pending {
    /// Each with how many values are bound ahead of its own.
    statements: Vec<(&'static str, usize)>,
    pub args: PgArguments,
    /// How many values are bound.
    pub bound: usize,
    begun: usize,
}

impl Pending {
    /// The next values belong to a statement that is to come.
    pub fn begin(&mut self) {
        self.begun = self.bound;
    }

    /// Keeps the statement whose values were bound last; says whether there is room for another.
    pub fn keep(&mut self, text: &'static str) -> bool {
        self.statements.push((text, self.begun));
        self.statements.len() < MOST
    }

    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// All of it as one statement, whose rows are those of the last one if they are wanted.
    pub fn take(&mut self, texts: &Texts, wanted: bool) -> (&'static str, PgArguments) {
        let text = match &self.statements[..] {
            [(alone, 0)] => alone,
            all => texts.together(all, wanted),
        };
        let args = std::mem::take(self).args;
        (text, args)
    }

    /// Sends what is kept.
    pub async fn flush(&mut self, texts: &Texts, conn: &mut Lent) -> Result<()> {
        if !self.is_empty() {
            let (text, args) = self.take(texts, false);
            conn.run(async |conn| sqlx::query_with(text, args).execute(conn).await).await?;
        }
        Ok(())
    }
}

/// Where a combination's parts lie in the program, and how many values are bound ahead of each.
type Parts = Vec<(usize, usize, usize)>;

/// The texts of combinations, made once for each.
#[derive(Clone, Debug, Default)]
pub struct Texts(Arc<RwLock<HashMap<(Parts, bool), &'static str>>>);

impl Texts {
    fn together(&self, statements: &[(&'static str, usize)], wanted: bool) -> &'static str {
        let parts =
            statements.iter().map(|(text, ahead)| (text.as_ptr() as usize, text.len(), *ahead)).collect();
        let place = (parts, wanted);
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
            return known;
        }
        // As many as there are combinations in the program's use-cases.
        let text: &'static str = together(statements, wanted).leak();
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(place).or_insert(text)
    }
}

fn together(statements: &[(&'static str, usize)], wanted: bool) -> String {
    let mut all = String::from("WITH ");
    for (at, (text, ahead)) in statements.iter().enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        let _ = write!(all, "{comma}s{at} AS ({})", renumbered(text, *ahead));
    }
    let _ = match wanted {
        true => write!(all, " SELECT * FROM s{}", statements.len() - 1),
        false => write!(all, " SELECT 1"),
    };
    all
}

/// The statement with its parameters counted on from those ahead.
fn renumbered(text: &str, ahead: usize) -> String {
    let mut parts = text.split('$');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.len() - part.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let _ = match part[..digits].parse::<usize>() {
            Ok(number) => write!(all, "${}{}", number + ahead, &part[digits..]),
            Err(_) => write!(all, "${part}"),
        };
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_on_from_one_statement_to_the_next() {
        let statements = [
            ("INSERT INTO a VALUES ($1, $2)", 0),
            ("UPDATE b SET x = $2, y = $12 -> '$.z' WHERE id = $1", 2),
        ];
        let text = "WITH s0 AS (INSERT INTO a VALUES ($1, $2)), s1 AS (UPDATE b SET x = $4, y = $14 -> '$.z' WHERE id = $3)";
        assert_eq!(together(&statements, true), format!("{text} SELECT * FROM s1"));
        assert_eq!(together(&statements, false), format!("{text} SELECT 1"));
    }
}
