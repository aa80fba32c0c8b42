//! Figures for Prometheus. No label holds a secret, a subject, or anything that a caller chose.

use std::time::Duration;

use equinix_wif::service::{Code, Credential};
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

const REQUESTS: &str = "equinix_wif_requests_total";
const EXCHANGE: &str = "equinix_wif_exchange_seconds";
const REFRESH_FAILURES: &str = "equinix_wif_refresh_failures_total";
const TOKEN_ISSUED: &str = "equinix_wif_token_issued_timestamp_seconds";
const TOKEN_EXPIRES: &str = "equinix_wif_token_expires_timestamp_seconds";
const TOKEN_AGE: &str = "equinix_wif_token_age_seconds";

/// The bounds of the histogram, in seconds.
const SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 15.0];

/// Begins to count.
pub fn start() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(EXCHANGE.to_owned()), &SECONDS)?
        .install_recorder()?;
    describe_counter!(REQUESTS, "Requests by route and status.");
    describe_histogram!(EXCHANGE, "Time for an exchange, or for a request that was passed on.");
    describe_counter!(REFRESH_FAILURES, "Failed attempts to obtain a token, by code.");
    describe_gauge!(TOKEN_ISSUED, "When the present token was issued (Unix time).");
    describe_gauge!(TOKEN_EXPIRES, "When the present token expires (Unix time).");
    describe_gauge!(TOKEN_AGE, "Age of the present token.");
    Ok(handle)
}

/// Counts a request. `route` is one of the service's own, never what a caller wrote.
pub fn request(route: &'static str, status: u16) {
    counter!(REQUESTS, "route" => route, "status" => status_text(status)).increment(1);
}

/// Counts an exchange, or a request that was passed on.
pub fn exchanged(took: Duration) {
    histogram!(EXCHANGE).record(took.as_secs_f64());
}

/// Notes a new token.
pub fn token(credential: &Credential, now: i64) {
    gauge!(TOKEN_ISSUED).set(seconds(now));
    gauge!(TOKEN_EXPIRES).set(seconds(credential.expires_at));
}

/// Notes the age of the present token.
pub fn age(age: Duration) {
    gauge!(TOKEN_AGE).set(age.as_secs_f64());
}

/// Counts a failure to obtain a token.
pub fn refresh_failed(code: Code) {
    counter!(REFRESH_FAILURES, "code" => code.name()).increment(1);
}

#[allow(clippy::cast_precision_loss, reason = "a float holds every second of the next million years")]
fn seconds(unix_time: i64) -> f64 {
    unix_time as f64
}

fn status_text(status: u16) -> &'static str {
    match status {
        200 => "200",
        202 => "202",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        406 => "406",
        408 => "408",
        413 => "413",
        415 => "415",
        421 => "421",
        429 => "429",
        500 => "500",
        502 => "502",
        503 => "503",
        504 => "504",
        _ => match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        },
    }
}
