//! Reads what `wrk` prints.

use anyhow::{Context, Result, bail};

/// Counts the requests of a run; an error if any of them, or a connection, failed.
pub fn requests(output: &str) -> Result<u64> {
    for complaint in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(line) = output.lines().find(|line| line.trim_start().starts_with(complaint)) {
            bail!("wrk reports errors, so there is no figure: {}", line.trim());
        }
    }
    let line =
        output.lines().find(|line| line.contains(" requests in ")).context("wrk counted no requests")?;
    let count = line.split_whitespace().next().and_then(|number| number.parse().ok());
    let count = count.with_context(|| format!("wrk said {line:?}"))?;
    if count == 0 {
        bail!("wrk got no answer");
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Running 10s test @ http://10.0.2.15/\n  1 threads and 16 connections\n  6100 requests in 10.05s, 25.1MB read\n";

    #[test]
    fn requests_are_counted() {
        assert_eq!(requests(GOOD).unwrap(), 6100);
    }

    #[test]
    fn a_run_with_errors_has_no_figure() {
        let bad = format!("{GOOD}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(requests(&bad).unwrap_err().to_string().contains("read 3"));
        assert!(requests("unable to connect").is_err());
    }
}
