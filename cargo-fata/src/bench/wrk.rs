//! Loads a server with `wrk`, and says whether it lost requests.
//!
//! wrk tells of connections that were refused or cut off, and of answers that are wrong or late, but only of answers: it says
//! nothing of a request that is never answered. So two seconds before its end `ss` is asked for how long each of its
//! connections has waited. What neither sees is a wait that began within the last [`PATIENCE_MS`] before that, and a
//! connect that took long but came about, which is TCP's own repetition and no loss.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::xen_host::Host;

/// dom0's own address, from which wrk connects.
const FROM: &str = "10.0.2.14";
/// A connection that has waited for so long, milliseconds, hangs.
const PATIENCE_MS: u64 = 2000;
/// A SYN that has been sent again so often has waited for three seconds.
const SYNS: u64 = 2;
/// A run that is shorter, seconds, only warms up or counts; nothing is demanded of what `ss` sees of it.
const SHORT: f64 = 4.0;
/// What is printed before the connections.
const MARK: &str = "== connections";

/// Runs a command of wrk's that loads `address` for so many seconds; gives requests and seconds. An error if any request was lost.
pub fn run(host: &Host, wrk: &str, address: &str, seconds: u32) -> Result<(u64, f64)> {
    let seconds = f64::from(seconds);
    let script = format!(
        "modprobe -q tcp_diag 2>/dev/null; {wrk} & wrk=$!; sleep {}; waits=$(ss -HtnoiO src {FROM} dst {address} '( dport = :80 or dport = :443 )')
        wait $wrk; status=$?; echo '{MARK}'; echo \"$waits\"; exit $status",
        (seconds - 2.0).max(0.5)
    );
    let said = host.sh(&script, Duration::from_secs_f64(seconds + 60.0))?.ok()?.stdout;
    let (said, waits) = said.split_once(MARK).context("ss was not asked")?;
    let counted = requests(said)?;
    // Where dom0 has little time, `ss` comes after the end of a short run.
    if seconds >= SHORT || !waits.trim().is_empty() {
        hanging(waits).context("a request was lost, of which wrk says nothing")?;
    }
    Ok(counted)
}

/// An error if one of the connections in `ss -toiO`'s words hangs.
fn hanging(lines: &str) -> Result<()> {
    let lines: Vec<_> = lines.lines().filter(|line| !line.trim().is_empty()).collect();
    ensure!(!lines.is_empty(), "ss shows no connection of wrk's");
    for line in lines {
        let hangs = match line.split_whitespace().next() {
            Some("ESTAB") => number_after(line, "lastrcv:").is_some_and(|waited| waited >= PATIENCE_MS),
            // Such as timer:(on,1.2sec,2).
            Some("SYN-SENT") => {
                let timer = line.split_once("timer:(").and_then(|(_, rest)| rest.split(')').next());
                let again = timer.and_then(|timer| timer.rsplit(',').next()?.parse().ok());
                again.is_some_and(|again: u64| again >= SYNS)
            }
            _ => false,
        };
        ensure!(!hangs, "a connection hangs: {}", line.trim());
    }
    Ok(())
}

fn number_after(line: &str, name: &str) -> Option<u64> {
    let (_, rest) = line.split_once(name)?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

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
    fn a_connection_that_hangs_is_told() {
        let lines = |state: &str, timer: &str, waited: &str| {
            let ends = "0 0 10.0.2.14:33000 10.0.2.15:80";
            hanging(&format!(
                "\n{state} {ends} {timer} cubic rto:204 mss:1448 lastsnd:2100 {waited} lastack:4 rcv_space:14600\n"
            ))
        };
        assert!(lines("ESTAB", "", "lastrcv:20").is_ok());
        assert!(lines("ESTAB", "", "").is_ok(), "ss leaves out what is 0");
        assert!(lines("ESTAB", "timer:(on,200ms,3)", "lastrcv:2000").is_err());
        assert!(lines("SYN-SENT", "timer:(on,980ms,0)", "").is_ok());
        assert!(lines("SYN-SENT", "timer:(on,3.1sec,2)", "lastrcv:43000").is_err());
        assert!(lines("LAST-ACK", "timer:(on,200ms,0)", "lastrcv:9000").is_ok(), "wrk has closed it");
        assert!(hanging("\n").is_err(), "wrk has connections");
    }

    #[test]
    fn a_run_with_errors_has_no_figure() {
        let bad = format!("{GOOD}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(requests(&bad).unwrap_err().to_string().contains("read 3"));
        assert!(requests("unable to connect").is_err());
        assert!(requests("  0 requests in 10.05s, 0B read").is_err());
    }
}
