//! The page for those who run it: hosts, pools, and how each server is.

use crate::backends::Backend;
use crate::certificates::Figures;
use crate::pool::Pool;
use crate::relay::Proxy;
use alloc::rc::Rc;
use alloc::string::String;
use core::fmt::{self, Display, Write};
use fata::http::Stats;
use fata::time::Duration;

/// How often a browser looks again, seconds.
const AGAIN: u32 = 5;

/// The page, `up` after the start.
pub fn page(proxy: &Proxy, stats: &Stats, certificates: &Figures, up: Duration) -> String {
    let mut page = String::with_capacity(4096);
    // A string takes all that is written.
    let _ = write(&mut page, proxy, stats, certificates, up);
    page
}

fn write(
    page: &mut String,
    proxy: &Proxy,
    stats: &Stats,
    certificates: &Figures,
    up: Duration,
) -> fmt::Result {
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <meta http-equiv=\"refresh\" content=\"{AGAIN}\">\n<title>Proxy</title>\n<link rel=\"icon\" href=\"data:,\">\n\
         <link rel=\"stylesheet\" href=\"/status.css\">\n<main>\n<header><h1>Proxy</h1><span>up {}; {} connections open, {} requests, \
         {} tunnels open</span></header>\n",
        Time(up),
        stats.connections_open(),
        stats.requests(),
        proxy.counts.tunnels.get(),
    )?;
    for pool in &proxy.pools {
        of_pool(page, proxy, pool)?;
    }
    certificates.section(page)?;
    let counts = &proxy.counts;
    write!(
        page,
        "<footer>{} requests for hosts that are not served here, {} while no server was up, {} sent again or elsewhere, {} without memory. \
         For machines: <a href=\"/metrics\">/metrics</a>.</footer>\n</main>\n</html>\n",
        counts.misdirected.get(),
        counts.none_up.get(),
        counts.retried.get(),
        counts.no_memory.get(),
    )
}

fn of_pool(page: &mut String, proxy: &Proxy, pool: &Rc<Pool>) -> fmt::Result {
    let up = pool.servers.iter().filter(|server| server.down_since().is_none()).count();
    write!(
        page,
        "<section><h2>{} <small>{up} of {} up, {} waiting, {} turned away</small></h2>\n<small>for ",
        Escaped(&pool.config.name),
        pool.servers.len(),
        pool.waiting(),
        pool.turned_away.get(),
    )?;
    let hosts = proxy.hosts().filter(|(_, other)| Rc::ptr_eq(other, pool));
    for (n, (names, _)) in hosts.enumerate() {
        page.push_str(if n > 0 { "; " } else { "" });
        for name in names {
            write!(page, "{} ", Escaped(name))?;
        }
        page.push_str(if names.is_empty() { "all other hosts" } else { "" });
    }
    page.push_str(
        "</small>\n<table><tr><th>server<th>state<th>under way<th>tunnels<th>kept<th>requests<th>2xx<th>3xx<th>4xx<th>5xx\
         <th>failed<th>unreachable<th>bad checks<th>mean wait<th>last fault</tr>\n",
    );
    pool.servers.iter().try_for_each(|server| of_server(page, server))?;
    page.push_str("</table></section>\n");
    Ok(())
}

fn of_server(page: &mut String, server: &Backend) -> fmt::Result {
    let counts = &server.counts;
    write!(page, "<tr><td>{}<td>", Escaped(&server.name()))?;
    match server.down_since() {
        None => page.push_str("<span class=\"up\">up</span>"),
        Some(since) => write!(page, "<span class=\"down\">down</span> for {}", Time(since.elapsed()))?,
    }
    let responses: u64 = counts.responses.iter().map(|counter| counter.get()).sum();
    let mean_us = counts.waited_us.get().checked_div(responses).unwrap_or(0);
    let [_, two, three, four, five] = &counts.responses;
    write!(
        page,
        "<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}.{} ms<td>",
        server.under_way(),
        server.tunnels(),
        server.kept(),
        counts.requests.get(),
        two.get(),
        three.get(),
        four.get(),
        five.get(),
        counts.failed.get(),
        counts.unreachable.get(),
        counts.bad_checks.get(),
        mean_us / 1000,
        mean_us / 100 % 10,
    )?;
    match server.last_fault() {
        Some((fault, when)) => writeln!(page, "{}, {} ago</tr>", Escaped(fault), Time(when.elapsed())),
        None => page.write_str("-</tr>\n"),
    }
}

/// A time for people.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, minutes) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, hours, minutes) => write!(f, "{hours} h {minutes} min"),
            (days, hours, _) => write!(f, "{days} d {hours} h"),
        }
    }
}

/// Whatever it says, it says it as text.
pub(crate) struct Escaped<T>(pub(crate) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escape(f), "{}", self.0)
    }
}

struct Escape<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escape<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '&' => self.0.write_str("&amp;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_texts() {
        let text = Escaped("<a href=\"x\" id='y'>&amp;\u{e9}").to_string();
        assert_eq!(text, "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;amp;\u{e9}");
    }

    #[test]
    fn times() {
        for (seconds, text) in [(59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(Time(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
