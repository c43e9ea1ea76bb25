//! What a guest's `/metrics` says at one moment.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::xen_host::Host;

const SOON: Duration = Duration::from_secs(30);

/// Values by name, labels included. What stands behind a point is left out.
pub struct Figures(HashMap<String, u64>);

impl Figures {
    /// Those of the guest at 10.0.2.15 now.
    pub fn now(host: &Host) -> Result<Self> {
        let said = host.sh("curl -s --max-time 10 http://10.0.2.15/metrics", SOON)?;
        ensure!(said.status == 0, "no metrics: curl's status is {}: {}", said.status, said.stderr);
        Ok(Self::read(&said.stdout))
    }

    /// Those of a text in Prometheus' format.
    pub fn read(text: &str) -> Self {
        let of = |line: &str| {
            let (name, value) = line.trim_end().rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
            Some((name.to_owned(), value.parse::<f64>().ok()? as u64))
        };
        Self(text.lines().filter_map(of).collect())
    }

    /// One of them.
    pub fn of(&self, name: &str) -> Result<u64> {
        self.0.get(name).copied().with_context(|| format!("no metric {name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_labels() {
        let figures = Figures::read("# TYPE a counter\na 12\na_b{c=\"d e\",f=\"g\"} 3.750\n\nbroken\n");
        assert_eq!((figures.of("a").unwrap(), figures.of("a_b{c=\"d e\",f=\"g\"}").unwrap()), (12, 3));
        assert!(figures.of("broken").is_err() && figures.of("# TYPE a").is_err());
    }
}
