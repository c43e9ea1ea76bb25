//! What appliances show of their certificates.

use core::cell::Cell;

/// A metric, as Prometheus has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// `counter` or `gauge`.
    pub kind: &'static str,
    /// What it says, a sentence.
    pub help: &'static str,
    /// Now.
    pub value: u64,
}

/// How often running pairs were replaced, and were not.
#[derive(Debug, Default)]
pub struct Reloads {
    /// Times that another pair came, and is shown from then on.
    pub done: Cell<u64>,
    /// Pairs, or states of the disk, that cannot be used.
    pub refused: Cell<u64>,
    /// When the first of the certificates ends, seconds since 1970; 0 where one does not say.
    pub expires: Cell<u64>,
    /// OCSP responses that cannot be shown.
    pub ocsp_refused: Cell<u64>,
    /// When the first of the OCSP responses that are shown ends, seconds since 1970; 0 where none is.
    pub ocsp_expires: Cell<u64>,
}

impl Reloads {
    /// All of them.
    pub fn metrics(&self) -> [Metric; 5] {
        let of = |name, kind, help, value: &Cell<u64>| Metric { name, kind, help, value: value.get() };
        [
            of(
                "tls_certificate_expires_seconds",
                "gauge",
                "When the first of the certificates ends, in seconds since 1970.",
                &self.expires,
            ),
            of(
                "tls_reloads_total",
                "counter",
                "Times that other certificates, or OCSP responses, came.",
                &self.done,
            ),
            of(
                "tls_reloads_refused_total",
                "counter",
                "Pairs, or states of the disk, that could not be used.",
                &self.refused,
            ),
            of(
                "tls_ocsp_expires_seconds",
                "gauge",
                "When the first of the OCSP responses that are shown ends, in seconds since 1970; 0: none is.",
                &self.ocsp_expires,
            ),
            of(
                "tls_ocsp_refused_total",
                "counter",
                "OCSP responses that could not be shown.",
                &self.ocsp_refused,
            ),
        ]
    }
}
