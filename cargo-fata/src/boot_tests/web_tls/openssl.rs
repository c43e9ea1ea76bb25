//! OpenSSL's client at the guest, by the port of this machine that leads there: each version with each suite and group, what is refused, and
//! sessions that are resumed; and what `sslscan` finds.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::boot_tests::temporary;
use crate::command;

/// The suites of each version, in OpenSSL's words.
const TLS13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const TLS12: [&str; 3] =
    ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"];

/// What no client gets, and the alert that it gets in its place.
const REFUSED: [(&str, &str); 11] = [
    ("-tls1 -cipher ALL@SECLEVEL=0", "alert protocol version"),
    ("-tls1_1 -cipher ALL@SECLEVEL=0", "alert protocol version"),
    ("-tls1_2 -cipher ECDHE-ECDSA-AES128-SHA", "alert handshake failure"),
    ("-tls1_2 -cipher ECDHE-ECDSA-AES256-SHA384", "alert handshake failure"),
    ("-tls1_2 -cipher ECDHE-ECDSA-AES128-CCM", "alert handshake failure"),
    ("-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", "alert handshake failure"),
    ("-tls1_2 -cipher AES128-GCM-SHA256", "alert handshake failure"),
    ("-tls1_2 -cipher DHE-RSA-AES128-GCM-SHA256", "alert handshake failure"),
    ("-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", "alert handshake failure"),
    ("-tls1_3 -groups P-521", "alert handshake failure"),
    ("-alpn h3", "alert no application protocol"),
];

/// Suites that Debian's OpenSSL has no code for, by their numbers.
const OLD: [(u16, &str); 6] = [
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA"),
    (0xc007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"),
    (0xc008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"),
    (0xc006, "TLS_ECDHE_ECDSA_WITH_NULL_SHA"),
    (0xc018, "TLS_ECDH_anon_WITH_AES_128_CBC_SHA"),
    (0x0003, "TLS_RSA_EXPORT_WITH_RC4_40_MD5"),
];
const TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: u16 = 0xc02b;
const HANDSHAKE_FAILURE: u8 = 40;
const PROTOCOL_VERSION: u8 = 70;

/// The guest, as a client sees it that trusts one root.
pub struct Peer {
    port: u16,
    root: PathBuf,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.root);
    }
}

impl Peer {
    /// By a port of this machine.
    pub fn new(port: u16, root: &str) -> Result<Self> {
        let file = temporary("openssl-root.pem");
        fs::write(&file, root)?;
        Ok(Self { port, root: file })
    }

    /// The command of a client.
    pub fn command(&self, arguments: &str) -> String {
        format!(
            "timeout 180 openssl s_client -connect 127.0.0.1:{} -servername server.test -verify_hostname server.test \
             -CAfile {} {arguments}",
            self.port,
            self.root.display()
        )
    }

    /// What the client says that asks for a page, if it comes so far.
    pub fn says(&self, arguments: &str, page: &str) -> Result<String> {
        let request =
            format!("GET {page} HTTP/1.1\\r\\nHost: server.test\\r\\nConnection: close\\r\\n\\r\\n");
        let client = self.command(arguments);
        let script = format!("printf '{request}' | {client} -ign_eof 2>&1; true");
        Ok(command::run(Command::new("sh").args(["-c", &script]))?.stdout)
    }

    /// Each suite of TLS 1.3 with each of these groups, each of TLS 1.2 with those: it is what was negotiated, and a request is answered.
    pub fn negotiates(&self, groups_of_13: &[&str], groups_of_12: &[&str]) -> Result<()> {
        let rows = |suites: [&'static str; 3], groups: &[&str]| -> Vec<(&'static str, String)> {
            suites
                .iter()
                .flat_map(|suite| groups.iter().map(move |group| (*suite, (*group).to_owned())))
                .collect()
        };
        for (suite, group) in rows(TLS13, groups_of_13) {
            let said = self.says(&format!("-tls1_3 -ciphersuites {suite} -groups {group}"), "/4k.html")?;
            is_negotiated(&said, "TLSv1.3", suite, &group)?;
        }
        for (suite, group) in rows(TLS12, groups_of_12) {
            // OpenSSL takes the group of the certificate's key only where that is offered.
            let groups = if group == "P-256" { group.clone() } else { format!("{group}:P-256") };
            let said = self.says(&format!("-tls1_2 -cipher {suite} -groups {groups}"), "/4k.html")?;
            is_negotiated(&said, "TLSv1.2", suite, &group)?;
        }
        Ok(())
    }

    /// What is not offered, is refused as the RFCs say.
    pub fn refuses(&self, groups: &[&str]) -> Result<()> {
        let of_groups =
            groups.iter().map(|group| (format!("-tls1_3 -groups {group}"), "alert handshake failure"));
        for (arguments, alert) in
            REFUSED.iter().map(|(arguments, alert)| ((*arguments).to_owned(), *alert)).chain(of_groups)
        {
            let said = self.says(&arguments, "/4k.html")?;
            ensure!(said.contains(alert) && !said.contains("200 OK"), "{arguments}: no {alert}: {said}");
        }
        let answer = |version, suite| self.hello(version, suite);
        ensure!(
            answer(0x0303, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)? == Answer::Hello,
            "a hello of ours with a good suite is refused"
        );
        for (suite, name) in OLD {
            let answer = answer(0x0303, suite)?;
            ensure!(answer == Answer::Alert(HANDSHAKE_FAILURE), "{name}: {answer:?}");
        }
        let answer = answer(0x0300, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)?;
        ensure!(answer == Answer::Alert(PROTOCOL_VERSION), "SSL 3.0: {answer:?}");
        Ok(())
    }

    /// What comes of a hello of that version (RFC 5246 section 7.4.1.2) with one suite.
    fn hello(&self, version: u16, suite: u16) -> Result<Answer> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.write_all(&client_hello(version, suite))?;
        let mut head = [0; 5];
        stream.read_exact(&mut head)?;
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        stream.read_exact(&mut body)?;
        match (head[0], &body[..]) {
            (21, [2, alert]) => Ok(Answer::Alert(*alert)),
            (22, [2, ..]) => Ok(Answer::Hello),
            _ => bail!("neither an alert nor a hello: {head:?} {body:?}"),
        }
    }

    /// A session that a client keeps is gone on with, in both versions.
    pub fn resumes(&self) -> Result<()> {
        let file = temporary("session.pem");
        let session = file.display().to_string();
        for (option, version) in [("-tls1_3", "TLSv1.3"), ("-tls1_2", "TLSv1.2")] {
            for (how, kind) in [("-sess_out", "New"), ("-sess_in", "Reused")] {
                let said = self.says(&format!("{option} {how} {session}"), "/4k.html");
                let wanted = format!("{kind}, {version}, Cipher is ");
                let said = said?;
                let is_right = said.contains(&wanted) && said.contains("HTTP/1.1 200 OK");
                ensure!(is_right, "{option} {how}: no {wanted}: {said}");
            }
        }
        let _ = fs::remove_file(&file);
        Ok(())
    }

    /// All that `sslscan` finds offered, and nothing else; groups it looks for in TLS 1.3 alone.
    pub fn sslscan(&self, groups: &[&str]) -> Result<()> {
        let mut scan = Command::new("timeout");
        scan.args(["120", "sslscan", "--no-colour", "--sni-name=server.test"]);
        let said = command::run(scan.arg(format!("127.0.0.1:{}", self.port)))
            .context("is the package sslscan installed?")?
            .stdout;
        let found = table(&said);
        let wanted = expected(groups);
        ensure!(found == wanted, "sslscan found {found:#?}, not {wanted:#?}: {said}");
        Ok(())
    }
}

/// What came of a hello.
#[derive(Debug, PartialEq)]
enum Answer {
    Hello,
    Alert(u8),
}

fn is_negotiated(said: &str, version: &str, suite: &str, group: &str) -> Result<()> {
    let key = match group {
        "X25519" => "Server Temp Key: X25519, 253 bits",
        "P-256" => "Server Temp Key: ECDH, prime256v1, 256 bits",
        "P-384" => "Server Temp Key: ECDH, secp384r1, 384 bits",
        _ => bail!("the test does not know the group {group}"),
    };
    let wanted = format!("New, {version}, Cipher is {suite}");
    for line in [&*wanted, key, "Verify return code: 0 (ok)", "HTTP/1.1 200 OK"] {
        let is_there = said.lines().any(|said| said.trim() == line);
        ensure!(is_there, "{version} {suite} {group}: no {line:?}: {said}");
    }
    Ok(())
}

/// A client's hello with one suite, in one record.
fn client_hello(version: u16, suite: u16) -> Vec<u8> {
    // Groups (RFC 8422 section 5.1.1), formats of points (5.1.2), algorithms of signatures (RFC 5246 section 7.4.1.4.1).
    const EXTENSIONS: [u8; 28] =
        [0, 10, 0, 6, 0, 4, 0, 29, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 8, 0, 6, 4, 3, 4, 1, 2, 3];
    let mut body = version.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.extend([0, 0, 2]);
    body.extend(suite.to_be_bytes());
    body.extend([1, 0]);
    body.extend((EXTENSIONS.len() as u16).to_be_bytes());
    body.extend(EXTENSIONS);
    let mut record = vec![22, 3, if version > 0x0300 { 1 } else { 0 }];
    record.extend((body.len() as u16 + 4).to_be_bytes());
    record.extend([1, 0]);
    record.extend((body.len() as u16).to_be_bytes());
    record.extend(body);
    record
}

/// Of what sslscan says: versions, suites and groups that there are, and its verdicts.
fn table(said: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            [version, state @ ("enabled" | "disabled")] => found.insert(format!("{version} {state}")),
            ["Preferred" | "Accepted", version, _, "bits", suite, ..] => {
                found.insert(format!("{version} {suite}"))
            }
            [version, _, "bits", group, ..] if version.starts_with("TLSv") => {
                found.insert(format!("{version} group {group}"))
            }
            ["Session", "renegotiation", ..]
            | [_, "vulnerable", "to", "heartbleed"]
            | [_, "not", "vulnerable", "to", "heartbleed"] => found.insert(words.join(" ")),
            ["Server", .., "TLS", "Fallback", "SCSV"] => found.insert(words.join(" ")),
            _ => false,
        };
    }
    found
}

fn expected(groups: &[&str]) -> BTreeSet<String> {
    let versions = ["SSLv2 disabled", "SSLv3 disabled", "TLSv1.0 disabled", "TLSv1.1 disabled"];
    let more = ["TLSv1.2 enabled", "TLSv1.3 enabled", "Session renegotiation not supported"];
    let verdicts = ["TLSv1.3 not vulnerable to heartbleed", "TLSv1.2 not vulnerable to heartbleed"];
    // What that mark of RFC 7507 protects from, clients that know TLS 1.3 see by the server's random octets (RFC 8446 section 4.1.3).
    let fallback = ["Server does not support TLS Fallback SCSV"];
    let of = |version: &'static str, names: &[&str], what: &'static str| -> Vec<String> {
        names.iter().map(|name| format!("{version} {what}{name}")).collect()
    };
    let fixed = [&versions[..], &more, &verdicts, &fallback].concat().into_iter().map(str::to_owned);
    fixed
        .chain(of("TLSv1.3", &TLS13, ""))
        .chain(of("TLSv1.2", &TLS12, ""))
        .chain(of("TLSv1.3", groups, "group "))
        .collect()
}
