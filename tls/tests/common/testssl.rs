//! `testssl.sh`, and the grade that goes with what it finds. Other crates' tests have it by its path.
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// By name a severity, and what was found.
pub type Findings = BTreeMap<String, (String, String)>;

/// What a program says; its package is named where it is missing.
pub fn said(program: &str, package: &str, args: &[&str]) -> String {
    let output = Command::new("timeout")
        .args(["600", program])
        .args(args)
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert_ne!(output.status.code(), Some(127), "{program} is missing: is its package {package} installed?");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What `testssl.sh` finds at `target` when it is asked for these checks, all of them where there are none; the root of authority in
/// the file `root` counts as one that is trusted.
pub fn findings(target: &str, root: &str, checks: &[&str]) -> Findings {
    let folder = std::env::temp_dir().join(format!("fata-testssl-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("findings.json");
    let _ = fs::remove_file(&file);
    let common = ["--quiet", "--color", "0", "--warnings", "batch", "--openssl", "/usr/bin/openssl"];
    let more = ["--add-ca", root, "--jsonfile", file.to_str().unwrap()];
    let said = said("testssl", "testssl.sh", &[&common[..], &more, checks, &[target]].concat());
    let json = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{e}: {said}"));
    let _ = fs::remove_dir_all(&folder);
    let found = parse(&json);
    assert!(found.len() > 30, "{json}");
    found
}

/// One key and value a line, flat.
fn parse(json: &str) -> Findings {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{key}\"")))?;
        let value = line.trim_start().trim_start_matches(':').trim().trim_end_matches(',');
        Some(value.trim_matches('"').to_owned())
    };
    let blocks = json.split('}');
    blocks
        .filter_map(|block| {
            Some((value(block, "id")?, (value(block, "severity")?, value(block, "finding")?)))
        })
        .collect()
}

/// What is worse than low, but for what begins with one of these names.
pub fn worse_than_low<'a>(all: &'a Findings, exempt: &[(&str, &str)]) -> Vec<(&'a str, &'a str, &'a str)> {
    all.iter()
        .filter(|(id, (severity, _))| {
            ["MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL"].contains(&severity.as_str())
                && !exempt.iter().any(|(exempt, _)| id.starts_with(exempt))
        })
        .map(|(id, (severity, finding))| (&**id, &**severity, &**finding))
        .collect()
}

/// A thing that must have been found, and how the finding must begin.
pub fn check(all: &Findings, id: &str, wanted: &str) {
    let (_, said) = all.get(id).unwrap_or_else(|| panic!("no {id}: {all:#?}"));
    assert!(said.starts_with(wanted), "{id}: {said}");
}

/// Whose being there makes an F of any grade.
const VULNERABILITIES: [&str; 16] = [
    "heartbleed",
    "CCS",
    "ticketbleed",
    "ROBOT",
    "secure_renego",
    "secure_client_renego",
    "CRIME_TLS",
    "POODLE_SSL",
    "fallback_SCSV",
    "SWEET32",
    "FREAK",
    "DROWN",
    "LOGJAM",
    "BEAST",
    "LUCKY13",
    "RC4",
];

/// The grade by SSL Labs' Server Rating Guide (2009r), as far as it goes for servers like these. Later versions of `testssl.sh` say it
/// themselves, Debian 12's 3.0 does not. With the points for protocols, key exchange and ciphers.
pub fn grade(all: &Findings) -> (&'static str, [u32; 3]) {
    let is_ok = |id: &str| all.get(id).is_some_and(|(severity, _)| severity == "OK");
    let points = [protocols(all), key_exchange(all), ciphers(all)];
    let score = (30 * points[0] + 30 * points[1] + 40 * points[2]) / 100;
    let has_tls_1_3 = is_ok("TLS1_3");
    let grade = if !is_ok("cert_trust") || !is_ok("cert_chain_of_trust") || !is_ok("cert_expirationStatus") {
        "T"
    } else if !VULNERABILITIES.iter().all(|id| is_ok(id)) || points.contains(&0) {
        "F"
    } else if !is_ok("PFS") || !is_ok("TLS1_2") && !has_tls_1_3 || points[0] < 100 {
        "B"
    } else {
        match score {
            80.. if !has_tls_1_3 => "A-",
            // Browsers are to come back by HTTPS for half a year at least.
            80.. if is_ok("HSTS_time") => "A+",
            80.. => "A",
            65.. => "B",
            _ => "C",
        }
    };
    (grade, points)
}

/// The middle of the best and the worst protocol's.
fn protocols(all: &Findings) -> u32 {
    let points =
        [("SSLv2", 0), ("SSLv3", 80), ("TLS1", 90), ("TLS1_1", 95), ("TLS1_2", 100), ("TLS1_3", 100)];
    let is_there = |id: &str| all.get(id).is_none_or(|(_, said)| said.starts_with("offered"));
    middle(points.into_iter().filter(|(id, _)| is_there(id)).map(|(_, points)| points))
}

/// By the certificate's key: a curve of 256 bits is as good as 3072 of RSA.
fn key_exchange(all: &Findings) -> u32 {
    match all.get("cert_keySize").map(|(_, said)| said.as_str()) {
        Some("EC 256 bits" | "RSA 2048 bits" | "RSA 3072 bits") => 90,
        Some("EC 384 bits" | "RSA 4096 bits") => 100,
        _ => 0,
    }
}

/// The middle of the longest and the shortest key's.
fn ciphers(all: &Findings) -> u32 {
    let suites = all.iter().filter(|(id, _)| id.starts_with("cipher_x"));
    middle(suites.map(|(_, (_, suite))| {
        // Number, name, key exchange with its bits, encryption, bits, name.
        match suite.split_ascii_whitespace().nth(5).and_then(|bits| bits.parse::<u32>().ok()) {
            Some(256..) => 100,
            Some(128..) => 80,
            Some(1..) => 20,
            _ => 0,
        }
    }))
}

fn middle(points: impl Iterator<Item = u32> + Clone) -> u32 {
    match (points.clone().min(), points.max()) {
        (Some(worst), Some(best)) => (worst + best) / 2,
        _ => 0,
    }
}
