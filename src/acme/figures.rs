//! What appliances show of a certificate of an authority.

use super::Status;
use fata_libos::time::SystemTime;

pub use crate::https::Metric;

/// All metrics but that of the last failure, which has a label.
pub fn metrics(status: &Status) -> [Metric; 5] {
    let now = SystemTime::now().since_unix();
    let left = status.until().map_or(0, |until| until.since_unix().saturating_sub(now).as_secs() / 86_400);
    let next = status.next().map_or(0, |next| next.since_unix().as_secs());
    let of = |name, kind, help, value| Metric { name, kind, help, value };
    [
        of(
            "acme_certificates_total",
            "counter",
            "Certificates that came from the authority.",
            status.certificates(),
        ),
        of("acme_failures_total", "counter", "Times that none came or was shown.", status.failures()),
        of("acme_unsaved_total", "counter", "Times that what came could not be kept.", status.unsaved()),
        of("acme_days_left", "gauge", "Whole days that the authority's certificate is valid yet.", left),
        of(
            "acme_next_seconds",
            "gauge",
            "When the authority is asked next, in seconds since 1970; 0: never.",
            next,
        ),
    ]
}

/// When none came or was shown the last time, in seconds since 1970, with the kind of error for a label `kind`.
pub fn last_failure(status: &Status) -> Option<(Metric, &'static str)> {
    let failed = status.last_failure()?;
    let metric = Metric {
        name: "acme_last_failure_seconds",
        kind: "gauge",
        help: "When none came or was shown the last time, in seconds since 1970, and why.",
        value: failed.when.since_unix().as_secs(),
    };
    Some((metric, failed.kind))
}
