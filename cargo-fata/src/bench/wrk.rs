//! Reads what `wrk` prints.

use anyhow::{Context, Result, bail};

/// Counts the requests of a run, and its seconds; an error if any request, or a connection, failed.
pub fn requests(output: &str) -> Result<(u64, f64)> {
    for complaint in ["Socket errors:", "Non-2xx or 3xx responses:"] {
        if let Some(line) = output.lines().find(|line| line.trim_start().starts_with(complaint)) {
            bail!("wrk reports errors, so there is no figure: {}", line.trim());
        }
    }
    let line =
        output.lines().find(|line| line.contains(" requests in ")).context("wrk counted no requests")?;
    let mut words = line.split_whitespace();
    let count = words.next().and_then(|number| number.parse().ok());
    let time = words.nth(2).and_then(|time| seconds(time.trim_end_matches(',')));
    let (count, seconds) = count.zip(time).with_context(|| format!("wrk said {line:?}"))?;
    if count == 0 {
        bail!("wrk got no answer");
    }
    Ok((count, seconds))
}

/// `10.05s`, or `1.00m`.
fn seconds(text: &str) -> Option<f64> {
    let factor = match text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    Some(digits.parse::<f64>().ok().filter(|number| *number > 0.0)? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "Running 10s test @ http://10.0.2.15/\n  1 threads and 16 connections\n  6100 requests in 10.05s, 25.1MB read\n";

    #[test]
    fn requests_are_counted() {
        assert_eq!(requests(GOOD).unwrap(), (6100, 10.05));
        let (count, seconds) = requests("  77 requests in 1.50m, 25.1MB read").unwrap();
        assert_eq!((count, seconds), (77, 90.0));
    }

    #[test]
    fn a_run_with_errors_has_no_figure() {
        let bad = format!("{GOOD}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(requests(&bad).unwrap_err().to_string().contains("read 3"));
        assert!(requests("unable to connect").is_err());
        assert!(requests("  0 requests in 10.05s, 0B read").is_err());
    }
}
