//! What came of a run, as one line of JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// How long each of many things took, and how each ended.
#[derive(Default)]
pub struct Figures {
    micros: Vec<u32>,
    /// After what time an answer helps nobody any more; none if it always does.
    patience: Option<Duration>,
    good: u64,
    statuses: BTreeMap<u16, u64>,
    /// The first answer that was a refusal.
    refusal: Option<String>,
}

#[derive(Serialize)]
struct Summary<'a> {
    requests: usize,
    seconds: f64,
    per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// How many were answered in time and not refused.
    good: u64,
    refused: u64,
    statuses: &'a BTreeMap<u16, u64>,
    refusal: &'a Option<String>,
    /// Processor time of this very process, where it is what was measured.
    cpu_us: Option<f64>,
}

impl Figures {
    pub fn within(patience: Option<Duration>) -> Self {
        Self { patience, ..Self::default() }
    }

    pub fn add(&mut self, took: Duration, status: u16, body: &[u8]) {
        self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        *self.statuses.entry(status).or_default() += 1;
        let done = (200..300).contains(&status);
        self.good += u64::from(done && self.patience.is_none_or(|patience| took <= patience));
        if !done && self.refusal.is_none() {
            self.refusal = Some(String::from_utf8_lossy(&body[..body.len().min(600)]).into_owned());
        }
    }

    pub fn join(&mut self, other: Figures) {
        self.micros.extend(other.micros);
        self.good += other.good;
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.refusal = self.refusal.take().or(other.refusal);
    }

    pub fn requests(&self) -> usize {
        self.micros.len()
    }

    /// The line that tells all of it.
    pub fn line(mut self, took: Duration, cpu_us: Option<f64>) -> serde_json::Result<String> {
        self.micros.sort_unstable();
        let refused = self.statuses.iter().filter(|(status, _)| !(200..300).contains(*status));
        serde_json::to_string(&Summary {
            requests: self.micros.len(),
            seconds: took.as_secs_f64(),
            per_second: self.micros.len() as f64 / took.as_secs_f64(),
            p50_ms: self.below(0.5),
            p99_ms: self.below(0.99),
            max_ms: self.below(1.0),
            good: self.good,
            refused: refused.map(|(_, count)| count).sum(),
            statuses: &self.statuses,
            refusal: &self.refusal,
            cpu_us,
        })
    }

    /// The milliseconds within which this part of all was done.
    fn below(&self, part: f64) -> f64 {
        let rank = (part * self.micros.len() as f64).ceil() as usize;
        self.micros.get(rank.saturating_sub(1)).map_or(0.0, |micros| f64::from(*micros) / 1000.0)
    }
}

/// The processor time that this process has used, in microseconds.
pub fn own_cpu() -> anyhow::Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    // Linux tells user programs of ticks of a hundredth of a second, whatever its own are.
    Ok(ticks * 10_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_parts_together_and_refusals_are_counted_apart() {
        let patience = Some(Duration::from_millis(90));
        let (mut one, mut other) = (Figures::within(patience), Figures::default());
        for millis in 1..=99 {
            one.add(Duration::from_millis(millis), 200, b"");
        }
        other.add(Duration::from_millis(1000), 409, b"why not");
        one.join(other);
        let told: serde_json::Value =
            serde_json::from_str(&one.line(Duration::from_secs(2), None).unwrap()).unwrap();
        assert_eq!(told["p50_ms"], 50.0);
        assert_eq!(told["p99_ms"], 99.0);
        assert_eq!(told["max_ms"], 1000.0);
        assert_eq!(told["per_second"], 50.0);
        assert_eq!(told["good"], 90);
        assert_eq!((&told["refused"], &told["refusal"]), (&1.into(), &"why not".into()));
    }
}
