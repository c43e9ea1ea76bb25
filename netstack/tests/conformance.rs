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
    let mut subject = Ours::listen(0, ours::config(1 << 20));
    subject.listens = true;
    subject
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

/// Every RFC that the stack says it keeps and whose rules can be seen in one connection.
const SCRIPTED: [&str; 20] = [
    "1191", "2018", "2883", "3042", "3168", "4821", "5681", "5682", "5961", "6191", "6298", "6582", "6675",
    "6928", "6937", "7323", "8985", "9293", "9406", "9438",
];

/// Those whose rules are functions of the stack, of which a connection sees only what comes out: the RFC, and the file whose tests
/// are called after it.
const TABLES: [(&str, &str); 2] =
    [("6056", include_str!("../src/port.rs")), ("6528", include_str!("../src/tcp/first.rs"))];

/// The RFC that a script is for: its first line begins `// RFC 9293, 3.5: ` or such.
fn rfc(text: &str) -> Option<&str> {
    let (head, what) = text.lines().next()?.strip_prefix("// RFC ")?.split_once(": ")?;
    let number = head.split([',', ' ']).next()?;
    (!what.is_empty() && number.bytes().all(|octet| octet.is_ascii_digit())).then_some(number)
}

/// A script that mentions an RFC in passing is none for it: its name and its first line are to say so. Nor is a test that does.
#[test]
fn every_rfc_has_a_script() {
    let mut named = vec![];
    for path in scripts() {
        let (text, name) =
            (std::fs::read_to_string(&path).unwrap(), path.file_name().unwrap().to_string_lossy());
        let rfc = rfc(&text).unwrap_or_else(|| panic!("{name} does not say what it is for")).to_owned();
        assert!(name.starts_with(&format!("{rfc}-")), "{name} is for RFC {rfc}");
        assert!(SCRIPTED.contains(&rfc.as_str()), "{name}: RFC {rfc} is not in the list");
        named.push(rfc);
    }
    for rfc in SCRIPTED {
        assert!(named.iter().any(|name| name == rfc), "RFC {rfc} has no script");
    }
    for (rfc, text) in TABLES {
        assert!(text.contains(&format!("#[test]\n    fn rfc_{rfc}_")), "RFC {rfc} has no test");
    }
}

#[test]
fn the_first_line_says_the_rfc() {
    for (text, wanted) in [
        ("// RFC 9293, 3.5: ends.\n0 connect", Some("9293")),
        ("// RFC 6928, 2 with RFC 5681, 3.1: ten", Some("6928")),
        ("// RFC 6582: holes", Some("6582")),
        ("// As RFC 9293, 3.5: ends.", None),
        ("// RFC 9293 has more of it", None),
        ("0 connect\n// RFC 9293, 3.5: ends.", None),
        ("// RFC 9293, 3.5: ", None),
        ("", None),
    ] {
        assert_eq!(rfc(text), wanted, "{text}");
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
