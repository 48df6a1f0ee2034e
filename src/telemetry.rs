//! What the process tells about itself while it runs: logs on stderr and numbers for Prometheus.

use std::fmt;
use std::io::IsTerminal;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::clock::Clock;
use crate::config::{LogConfig, LogFormat};

/// Requests answered, by route, method and status.
pub const HTTP_REQUESTS: &str = "http_requests_total";
/// Seconds from a request's head to its answer, by route and method.
pub const HTTP_DURATION: &str = "http_request_duration_seconds";
/// Operations that came to an end, by kind and status.
pub const OPERATIONS: &str = "operations_total";
/// Attempts to deliver an event, by status.
pub const DELIVERIES: &str = "webhook_deliveries_total";
/// Refusals that the audit should have had and has not.
pub const DENIALS_DROPPED: &str = "audit_denials_dropped_total";
/// Reads from above that the audit should have had and has not.
pub const READS_DROPPED: &str = "audit_reads_dropped_total";
/// Requests that the log of requests had to leave out.
pub const REQUESTS_LOST: &str = "request_log_dropped_total";
/// Seconds that a writer waited for its turn at the database.
pub const WRITE_WAIT: &str = "db_write_wait_seconds";
/// Seconds by which this machine's clock is ahead of the database's.
pub const CLOCK_SKEW: &str = "clock_skew_seconds";
/// When the last of the audit's checkpoints in this process's file was made.
pub const CHECKPOINT_TIME: &str = "audit_checkpoint_timestamp_seconds";

/// Whether rate limits are counted in this process because Redis is away or slow: 1 or 0.
pub const LIMITS_DEGRADED: &str = "ratelimit_degraded";

const REQUEST_BUCKETS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const WAIT_BUCKETS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Sends the process's logs to stderr from now on; can be done once.
pub fn init(config: &LogConfig, clock: Clock) -> Result<(), TryInitError> {
    let terminal = std::io::stderr().is_terminal();
    let json = match config.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let lines =
        if json { json_lines(clock, std::io::stderr) } else { text_lines(clock, colours, std::io::stderr) };
    tracing_subscriber::registry().with(lines.with_filter(EnvFilter::new(&config.filter))).try_init()
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

fn text_lines<W>(clock: Clock, colours: bool, writer: W) -> Lines
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer().with_timer(Timer(clock)).with_ansi(colours).with_writer(writer).boxed()
}

fn json_lines<W>(clock: Clock, writer: W) -> Lines
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let format = tracing_subscriber::fmt::layer().event_format(FlatJson(clock)).fmt_fields(JsonFields::new());
    format.with_writer(writer).boxed()
}

struct Timer(Clock);

impl FormatTime for Timer {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        write!(writer, "{}", self.0.now())
    }
}

/// One JSON object on a line, in which the fields of all spans around an event stand beside its own; of
/// two with one name the inner is kept.
struct FlatJson(Clock);

#[derive(Serialize)]
struct Line<'a> {
    timestamp: String,
    level: &'a str,
    target: &'a str,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

impl<S, N> FormatEvent<S, N> for FlatJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Map::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(of_span) = span.extensions().get::<FormattedFields<N>>() {
                fields.extend(read_fields(of_span));
            }
        }
        let mut own = String::new();
        JsonFields::new().format_fields(Writer::new(&mut own), event)?;
        fields.extend(read_fields(&own));
        for taken in ["timestamp", "level", "target"] {
            if let Some(value) = fields.remove(taken) {
                fields.insert(format!("{taken}_"), value);
            }
        }
        let meta = event.metadata();
        let line = Line {
            timestamp: self.0.now().to_string(),
            level: meta.level().as_str(),
            target: meta.target(),
            fields,
        };
        writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
    }
}

fn read_fields(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// Makes this process count: from now on the macros of `metrics` reach the handle that is given back. Can
/// be done once; call the handle's `run_upkeep` every few seconds.
pub fn install_metrics() -> Result<PrometheusHandle, MetricsError> {
    let handle = builder()?.install_recorder()?;
    describe();
    Ok(handle)
}

/// A recorder of its own for what shall not share the process's numbers.
pub fn detached_metrics() -> Result<PrometheusRecorder, MetricsError> {
    let recorder = builder()?.build_recorder();
    metrics::with_local_recorder(&recorder, describe);
    Ok(recorder)
}

/// The numbers cannot be kept, as when they are already.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] BuildError);

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(HTTP_DURATION.to_owned()), REQUEST_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(WRITE_WAIT.to_owned()), WAIT_BUCKETS)
}

fn describe() {
    describe_counter!(HTTP_REQUESTS, "Requests answered, by route, method and status.");
    describe_histogram!(HTTP_DURATION, Unit::Seconds, "Seconds from a request's head to its answer.");
    describe_counter!(OPERATIONS, "Operations that came to an end, by kind and status.");
    describe_counter!(DELIVERIES, "Attempts to deliver an event, by status.");
    describe_counter!(DENIALS_DROPPED, "Refusals that there was no room to write into the audit.");
    describe_counter!(READS_DROPPED, "Reads from above that there was no room to write into the audit.");
    describe_counter!(REQUESTS_LOST, "Requests that the log of requests had to leave out.");
    describe_histogram!(WRITE_WAIT, Unit::Seconds, "Seconds that a writer waited for its turn.");
    describe_gauge!(
        LIMITS_DEGRADED,
        "1 while Redis is away or slow and rate limits are counted in this process."
    );
    describe_gauge!(
        CLOCK_SKEW,
        Unit::Seconds,
        "Seconds by which this machine's clock is ahead of the database's."
    );
    describe_gauge!(
        CHECKPOINT_TIME,
        Unit::Seconds,
        "When the last of the audit's checkpoints in this process's file was made, in seconds since 1970."
    );
}

/// Counts a request that was answered; `route` is the pattern, never the path.
pub fn count_request(route: &str, method: &str, status: u16, took: std::time::Duration) {
    let (route, method) = (route.to_owned(), method.to_owned());
    metrics::histogram!(HTTP_DURATION, "route" => route.clone(), "method" => method.clone()).record(took);
    metrics::counter!(HTTP_REQUESTS, "route" => route, "method" => method, "status" => status.to_string())
        .increment(1);
}

/// Counts an operation that came to an end.
pub fn count_operation(kind: &str, status: &str) {
    metrics::counter!(OPERATIONS, "kind" => kind.to_owned(), "status" => status.to_owned()).increment(1);
}

/// Counts an attempt to deliver an event.
pub fn count_delivery(status: &str) {
    metrics::counter!(DELIVERIES, "status" => status.to_owned()).increment(1);
}

/// Tells whether rate limits are counted in this process although they are to be shared.
pub fn record_limits_degraded(degraded: bool) {
    metrics::gauge!(LIMITS_DEGRADED).set(if degraded { 1.0 } else { 0.0 });
}

/// Counts a refusal that could not be written into the audit.
pub fn count_dropped_denial() {
    metrics::counter!(DENIALS_DROPPED).increment(1);
}

/// Counts a read from above that could not be written into the audit.
pub fn count_dropped_read() {
    metrics::counter!(READS_DROPPED).increment(1);
}

/// Counts requests that the log of requests had to leave out.
pub fn count_lost_requests(count: usize) {
    metrics::counter!(REQUESTS_LOST).increment(count as u64);
}

/// Records how long a writer waited for its turn at the database.
pub fn record_write_wait(waited: std::time::Duration) {
    metrics::histogram!(WRITE_WAIT).record(waited);
}

/// Records by how many seconds this machine's clock is ahead of the database's.
pub fn record_clock_skew(seconds: f64) {
    metrics::gauge!(CLOCK_SKEW).set(seconds);
}

/// Records when the last of the audit's checkpoints in this process's file was made.
pub fn record_checkpoint_time(seconds: i64) {
    metrics::gauge!(CHECKPOINT_TIME).set(seconds as f64);
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tracing::{info, info_span, warn};

    use super::*;
    use crate::model::Time;

    #[derive(Clone, Default)]
    struct Paper(Arc<Mutex<Vec<u8>>>);

    impl Write for Paper {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(lines: impl FnOnce(Clock, Paper) -> Lines, filter: &str, run: impl FnOnce()) -> String {
        let paper = Paper::default();
        let writer = paper.clone();
        let layer = lines(Clock::fixed(Time::EPOCH), writer).with_filter(EnvFilter::new(filter));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), run);
        let bytes = paper.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn json(clock: Clock, paper: Paper) -> Lines {
        json_lines(clock, move || paper.clone())
    }

    #[test]
    fn each_json_line_has_the_request_id_beside_its_own_fields() {
        let text = written(json, "info", || {
            let request = info_span!("request", request_id = "req_1", status = tracing::field::Empty);
            let _in_request = request.enter();
            let _in_step = info_span!("step", number = 3).entered();
            info!(plan = "pro\n\"x\"", "order {} placed", 7);
            request.record("status", 202);
            warn!(number = 4, level = "high", "over");
        });
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            lines,
            [
                serde_json::json!({
                    "timestamp": "1970-01-01T00:00:00.000000Z", "level": "INFO", "target": "tenantry::telemetry::tests",
                    "request_id": "req_1", "number": 3, "plan": "pro\n\"x\"", "message": "order 7 placed",
                }),
                serde_json::json!({
                    "timestamp": "1970-01-01T00:00:00.000000Z", "level": "WARN", "target": "tenantry::telemetry::tests",
                    "request_id": "req_1", "status": 202, "number": 4, "level_": "high", "message": "over",
                }),
            ]
        );
    }

    #[test]
    fn each_text_line_has_the_request_id_and_what_is_filtered_out_is_not_written() {
        let text = written(
            |clock, paper| text_lines(clock, false, move || paper.clone()),
            "warn,tenantry=info",
            || {
                let _in_request = info_span!("request", request_id = "req_1").entered();
                info!("placed");
                tracing::debug!("hidden");
                info!(target: "elsewhere", "hidden");
            },
        );
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("1970-01-01T00:00:00.000000Z"), "{text}");
        assert!(text.contains("req_1") && text.contains("placed") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn what_is_counted_is_told_to_prometheus_under_the_names_of_the_manual() {
        let recorder = detached_metrics().unwrap();
        metrics::with_local_recorder(&recorder, || {
            count_request("/v1/services/{id}", "GET", 200, Duration::from_millis(3));
            count_request("/v1/services/{id}", "GET", 200, Duration::from_millis(30));
            count_operation("service.provision", "succeeded");
            count_delivery("failed");
            record_write_wait(Duration::from_micros(300));
        });
        let told = recorder.handle().render();
        for line in [
            "# TYPE http_requests_total counter",
            r#"http_requests_total{route="/v1/services/{id}",method="GET",status="200"} 2"#,
            "# TYPE http_request_duration_seconds histogram",
            r#"http_request_duration_seconds_bucket{route="/v1/services/{id}",method="GET",le="0.005"} 1"#,
            r#"http_request_duration_seconds_count{route="/v1/services/{id}",method="GET"} 2"#,
            r#"operations_total{kind="service.provision",status="succeeded"} 1"#,
            r#"webhook_deliveries_total{status="failed"} 1"#,
            r#"db_write_wait_seconds_bucket{le="0.0005"} 1"#,
            "# HELP operations_total Operations that came to an end, by kind and status.",
        ] {
            assert!(told.lines().any(|told| told == line), "{line} in\n{told}");
        }
    }
}
