//! Conversations packet by packet, each for a rule of an RFC: `tests/scripts/*.pkt`, whose language is in the README there.
//! `FATA_SCRIPT=NAME` runs those alone whose names contain it.

#[path = "sim/ours.rs"]
mod ours;
mod script;
mod sim;

use fata_libos::time::{Duration, Instant};
use fata_netstack::testing::tcp::State;
use ours::Ours;
use script::Subject;
use std::path::{Path, PathBuf};

impl Subject for Ours {
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || value.parse::<usize>().map_err(|_| format!("{value} is no number"));
        match (name, value) {
            ("mtu", _) => self.config.mtu = number()? as u16,
            ("receive", _) => self.config.receive = number()?,
            ("send", _) => self.config.send = number()?,
            ("large", _) => self.large = number()?,
            ("ecn", "on") => self.config.ecn = true,
            ("ecn", "off") => self.config.ecn = false,
            _ => return Err(format!("nothing to set is called {name}")),
        }
        Ok(())
    }

    fn open(&mut self, now: Instant, connects: bool) {
        if connects {
            self.begin(now);
        }
    }

    fn command(&mut self, now: Instant, words: &[&str]) -> Result<(), String> {
        if let ["abort"] = words {
            self.abort();
            return Ok(());
        }
        let machine = self.machine.as_mut().ok_or("there is no connection")?;
        match words {
            ["nodelay", switch] => machine.set_nodelay(*switch == "on"),
            ["keepalive", seconds] => {
                let seconds: u64 = seconds.parse().map_err(|_| "seconds")?;
                machine.set_keep_alive(now, (seconds > 0).then_some(Duration::from_secs(seconds)));
            }
            ["icmp", mtu, seq] => {
                let (mtu, seq) = (mtu.parse().map_err(|_| "an MTU")?, seq.parse().map_err(|_| "a number")?);
                machine.too_big(now, fata_netstack::testing::tcp::Seq(seq), mtu);
            }
            _ => return Err(format!("{words:?} is no command")),
        }
        Ok(())
    }

    fn figure(&mut self, name: &str) -> Option<String> {
        let state = self.state().map_or("CLOSED", State::name);
        let machine = self.machine.as_ref()?;
        let info = machine.info();
        Some(match name {
            "state" => state.to_owned(),
            "readable" => machine.readable().to_string(),
            "writable" => machine.writable().to_string(),
            "cwnd" => info.congestion_window.to_string(),
            "ssthresh" => info.threshold.to_string(),
            "mss" => info.mss.to_string(),
            "flight" => info.in_flight.to_string(),
            "retransmits" => info.retransmits.to_string(),
            "srtt_ms" => info.smoothed_rtt.map_or(0, |rtt| rtt.as_millis()).to_string(),
            "rto_ms" => info.timeout.as_millis().to_string(),
            "peer_window" => info.peer_window.to_string(),
            _ => return None,
        })
    }
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let entries = folder.read_dir().expect("the folder of scripts").map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "pkt")).collect();
    all.sort();
    all
}

fn subject() -> Ours {
    Ours::listen(0, ours::config(1 << 20))
}

#[test]
fn scripts_pass() {
    let filter = std::env::var("FATA_SCRIPT").unwrap_or_default();
    let mut failures = vec![];
    let mut count = 0;
    for path in scripts().iter().filter(|path| path.to_string_lossy().contains(&filter)) {
        count += 1;
        if let Err(wrong) = script::run(path, &mut subject()) {
            failures.push(wrong);
        }
    }
    assert!(count > 0, "no script is called like {filter}");
    assert!(failures.is_empty(), "{} of {count} scripts fail:\n\n{}", failures.len(), failures.join("\n\n"));
}

/// Every RFC that the stack says it keeps, of those that can be seen in one connection: first numbers (RFC 6528), ports
/// (RFC 6056) and what follows on TIME-WAIT (RFC 6191) have tests in `numbers.rs`.
#[test]
fn every_rfc_has_a_script() {
    let texts: Vec<String> = scripts().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    for rfc in [
        "9293", "7323", "2018", "6675", "8985", "6937", "3042", "9438", "6298", "5682", "3168", "1191",
        "4821", "5961", "5681", "6928", "9406",
    ] {
        assert!(texts.iter().any(|text| text.contains(&format!("RFC {rfc}"))), "RFC {rfc} has none");
    }
}

/// A script that is wrong fails, and says where and why.
#[test]
fn a_wrong_script_fails() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::copy(scripts()[0].with_file_name("connect.inc"), folder.join("connect.inc")).unwrap();
    for (name, lines, wrong) in [
        ("nothing-comes", "+.1 < . 1:1(0) ack 1 win 9\n+0 > . 1:1(0) ack 1", "nothing came"),
        ("too-late", "+.1 write 9\n+.1 > P. 1:10(9) ack 1", "earlier"),
        ("flags", "+.1 write 9\n+0 > F. 1:10(9) ack 1", "flags"),
        ("number", "+.1 write 9\n+0 > P. 2:11(9) ack 1", "sequence number expected 2, got 1"),
        ("length", "+.1 write 9\n+0 > P. 1:11(10) ack 1", "length expected 10, got 9"),
        ("acknowledgement", "+.1 write 9\n+0 > P. 1:10(9) ack 2", "acknowledgement expected 2, got 1"),
        ("option", "+.1 write 9\n+0 > P. 1:10(9) ack 1 <mss 9>", "options expected"),
        ("ecn", "+.1 write 9\n+0 > [ce] P. 1:10(9) ack 1", "ECN field expected 3, got 0"),
        ("unexpected", "+.1 write 9\n+.1 write 9", "unexpected"),
        ("unexpected-at-the-end", "+.1 write 9", "unexpected"),
        ("not-so", "assert state == CLOSED", "state is ESTABLISHED"),
        ("not-there", "read 9", "gave 0"),
        ("no-word", "+.1 fly", "is no command"),
        ("no-number", "+.1 < . 1:3(1) ack 1", "is not 1"),
    ] {
        let path = folder.join(format!("{name}.pkt"));
        std::fs::write(&path, format!("include connect.inc\n{lines}\n")).unwrap();
        let said = script::run(&path, &mut subject()).unwrap_err();
        let line = format!("{name}.pkt:{}", lines.lines().count() + 1);
        assert!(said.contains(wrong), "{name}: {said}");
        assert!(
            name.starts_with("unexpected") || name == "no-number" || said.contains(&line),
            "{line}: {said}"
        );
    }
}
