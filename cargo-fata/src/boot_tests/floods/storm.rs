//! A storm beside a load: what sends it, what became of the load meanwhile, and what the guest has counted of the storm.

use std::time::Duration;

use anyhow::{Context, Error, Result, ensure};
use fata_dom0::agent::ask::Tally;

use super::super::figures::Figures;
use super::SLOW;
use crate::bench::wrk;
use crate::ui;
use crate::xen_host::Host;

/// How long each storm lasts, seconds.
const SECONDS: u32 = 30;
/// Connections of wrk's.
const WRK: u32 = 16;
/// Connections that ask again as soon as they are answered, beside wrk's.
const KEPT: u32 = 16;
/// Clients that make a new connection for each request, beside wrk.
const NEW: u32 = 4;
/// The most connections of the load at once, with that of who looks at the figures.
pub const LOAD: u64 = (WRK + KEPT + NEW + 1) as u64;
/// How long an answer on an open connection may take. Two processors are emulated, and the storm takes all it can get of them: what
/// is lost on the way to the guest is sent again after 0.2, 0.4, 0.8, 1.6 and 3.2 s. On a busy machine 3.4 s have been seen.
const KEPT_LONGEST: Duration = Duration::from_secs(10);
/// How long an answer on a new connection may take: Linux sends a SYN again after 1, 2, 4 and 8 s, and the storm may drown four of
/// them. The answer on the connection has the time of the others.
const NEW_LONGEST: Duration = Duration::from_secs(15 + KEPT_LONGEST.as_secs());
/// How often the figures are looked at during a storm, and after how many seconds each.
const LOOKS: u32 = 4;
const BETWEEN_LOOKS: u32 = 5;
/// The end of one look.
const MARK: &str = "== looked";
/// What `timeout` says of a command that went on until it was stopped.
const WENT_ON: &str = "124";

/// One kind of storm, and what tells that it blew.
pub struct Storm {
    /// Its name in reports.
    pub name: &'static str,
    /// What sends in dom0, and does not end by itself.
    pub script: String,
    /// What it sends at least, in its own words: see [`sent`].
    pub sends: u64,
    /// Figures of the guest that rise by so much at least: each by this storm, not by the load beside it.
    pub rises: &'static [(&'static str, u64)],
    /// Figures that stand at so much at least at some moment of it.
    pub reaches: &'static [(&'static str, u64)],
}

impl Storm {
    /// Blows beside a load, demands that each request is answered, in time, and that the guest has felt the storm. Gives the
    /// guest's figures during it and after it.
    pub fn blow(&self, host: &Host) -> Result<Vec<Figures>> {
        let before = Figures::now(host)?;
        host.put("/tmp/storm.sh", self.script.as_bytes())?;
        let said = host.sh(&load(), SLOW)?.ok()?.stdout;
        // The brackets are for pkill not to find the shell that it is run by.
        let stop = "pkill -9 hping3; pkill -9 socat; pkill -9 -f '/tmp/[s]torm.sh'; cd /tmp; cat storm.status storm.said";
        let storm = host.sh(stop, SLOW)?.stdout;
        // How many it is, is what the storm leaves of two processors.
        wrk::requests(&said).context(said)?;
        for (kind, longest) in [("keep", KEPT_LONGEST), ("new", NEW_LONGEST)] {
            let said = host.sh(&format!("cat /tmp/asked.{kind}"), SLOW)?.ok()?.stdout;
            let tally: Tally = said.lines().next().unwrap_or_default().parse().map_err(Error::msg)?;
            let answered = tally.sent == tally.answered && tally.least > 0 && tally.longest <= longest;
            ensure!(answered, "{kind}: not each request was answered within {longest:?}: {said}");
        }
        let (status, storm) = storm.split_once('\n').context("the storm has no end")?;
        ensure!(status == WENT_ON, "the storm ended by itself, with {status}: {storm}");
        ensure!(sent(storm) >= self.sends, "{} sent, not {}: {storm}", sent(storm), self.sends);
        let mut figures = looks(&host.sh("cat /tmp/looks", SLOW)?.stdout)?;
        figures.push(Figures::now(host)?);
        self.was_felt(&before, &figures)?;
        Ok(figures)
    }

    fn was_felt(&self, before: &Figures, figures: &[Figures]) -> Result<()> {
        let after = figures.last().context("no figures")?;
        let mut felt = String::new();
        for &(name, least) in self.rises {
            let (from, to) = (before.of(name)?, after.of(name)?);
            ensure!(to >= from + least, "{name} rose from {from} to {to}, not by {least}");
            felt += &format!(" {name} +{}", to - from);
        }
        for &(name, least) in self.reaches {
            let each: Vec<u64> = figures.iter().map(|figures| figures.of(name)).collect::<Result<_>>()?;
            ensure!(each.iter().any(|value| *value >= least), "{name} was {each:?}, never {least}");
            felt += &format!(" {name} {each:?}");
        }
        ui::say(format!("{}:{felt}", self.name));
        Ok(())
    }
}

/// The script that has `/tmp/storm.sh` blow beside the load, and before it: dom0 has one processor for both, and the load some
/// forty threads.
///
/// wrk is the load, and tells answers that are wrong, late or cut off; of a connection that hangs it says nothing. So others
/// ask beside it from before the storm to its end, and count what they ask. As each asks again as soon as it is
/// answered, the longest wait says too that none was without an answer for longer.
fn load() -> String {
    let asked_s = SECONDS + 3;
    let storm_s = SECONDS + 2;
    let (kept_s, new_s) = (KEPT_LONGEST.as_secs(), NEW_LONGEST.as_secs());
    format!(
        "ask() {{ /fata/fata-agent ask 10.0.2.15:80 /4k.html {asked_s} $1 $2 >/tmp/asked.$2 2>&1; }}
        look() {{ curl -sf --max-time {new_s} http://10.0.2.15/metrics; echo '{MARK}' $?; }}
        looks() {{ for n in $(seq {LOOKS}); do sleep {BETWEEN_LOOKS}; look; done >/tmp/looks; }}
        storm() {{ nice -n -10 timeout -k 1 {storm_s} bash /tmp/storm.sh >/tmp/storm.said 2>&1; echo $? >/tmp/storm.status; }}
        rm -f /tmp/storm.s[at]*
        ask {KEPT} keep & ask {NEW} new & sleep 1
        storm & sleep 1
        looks &
        wrk -t 1 -c {WRK} -d {SECONDS} --timeout {kept_s} http://10.0.2.15:80/4k.html; status=$?; wait; sleep 1; exit $status",
    )
}

/// The figures that were looked at, each of which came in time.
fn looks(said: &str) -> Result<Vec<Figures>> {
    let mut all = vec![];
    let mut rest = said;
    while let Some((figures, after)) = rest.split_once(MARK) {
        let (status, after) = after.split_once('\n').context("half a look")?;
        ensure!(
            status.trim() == "0",
            "the guest did not say in time how it stands: curl's status is{status}"
        );
        all.push(Figures::read(figures));
        rest = after;
    }
    ensure!(all.len() == LOOKS as usize, "{} looks, not {LOOKS}", all.len());
    Ok(all)
}

/// How much was sent, as what sends says: lines such as `150000 packets transmitted, 0 packets received` of hping3, and `sent
/// 6000` of scripts.
fn sent(said: &str) -> u64 {
    let of = |line: &str| -> Option<u64> {
        let count = match line.split_once(" packets tra") {
            Some((count, _)) => count,
            None => line.strip_prefix("sent ")?,
        };
        count.trim().parse().ok()
    };
    said.lines().filter_map(of).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HPING: &str = "HPING 10.0.2.15 (xenbr0 10.0.2.15): S set, 40 headers + 0 data bytes\n\
        hping in flood mode, no replies will be shown\n\n--- 10.0.2.15 hping statistic ---\n\
        11 packets transmitted, 7 packets received, 100% packet loss\n";

    #[test]
    fn what_was_sent_is_counted() {
        assert_eq!(sent(HPING), 11);
        assert_eq!(sent(&format!("{HPING}sent 6000\nsent 6000\nsocat: sent nothing\n{HPING}")), 12_022);
        assert_eq!(sent(&HPING.replace("transmitted", "tramitted")), 11);
        assert_eq!(sent("bash: line 1: hping3: command not found"), 0);
    }

    #[test]
    fn each_look_counts() {
        let look = |status| format!("a 1\n{MARK} {status}\n");
        let all = looks(&look(0).repeat(LOOKS as usize)).unwrap();
        assert!(all.iter().all(|figures| figures.of("a").unwrap() == 1));
        assert!(looks(&look(0).repeat(LOOKS as usize - 1)).is_err());
        assert!(looks(&(look(28) + &look(0).repeat(LOOKS as usize - 1))).is_err(), "too late");
    }

    #[test]
    fn a_storm_that_nobody_felt_is_none() {
        let storm = Storm {
            name: "x",
            script: String::new(),
            sends: 1,
            rises: &[("risen", 10)],
            reaches: &[("gauge{of=\"x\"}", 5)],
        };
        let figures = |risen: u64, gauge: u64| {
            Figures::read(&format!("# HELP risen x\nrisen {risen}\ngauge{{of=\"x\"}} {gauge}\n"))
        };
        let felt = |risen, during, after| {
            storm.was_felt(&figures(7, 9), &[figures(8, during), figures(risen, after)]).is_ok()
        };
        assert!(felt(17, 5, 0) && felt(17, 0, 5));
        assert!(!felt(16, 5, 0), "it has risen too little");
        assert!(!felt(17, 4, 4), "it was never so high during it");
        let misnamed = Storm { rises: &[("raised", 0)], ..storm };
        assert!(misnamed.was_felt(&figures(7, 9), &[figures(99, 9)]).is_err());
    }
}
