//! Files that the guest's image has beside its site, many and a large one, and what goes the other way: nobody else has the same octets.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{SOON, curl_within};
use crate::workspace::Workspace;
use crate::xen_host::Host;

/// How many small files there are.
pub const SMALL: usize = 1000;
/// The large one, octets.
pub const LARGE: usize = 6 << 20;
const LARGE_SEED: u64 = 1 << 40;
/// How many curl asks for at once. Of HTTP/2 as many as one connection takes: for each more curl begins another, a hundred of them. Those, as each of
/// HTTP/1.1, have a handshake, and all handshakes at once ten seconds, which a busy machine uses up.
const AT_ONCE: [(&str, usize); 2] = [("--http2", 100), ("--http1.1", 50)];

/// A folder for the image: the site that it has always, `many/0` and so on, and `large.bin`. What is there stays, so that nothing is built again.
pub fn site(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target_dir.join("fata-web-files");
    fs::create_dir_all(folder.join("many"))?;
    for entry in fs::read_dir(workspace.root.join("apps/web/site"))? {
        let path = entry?.path();
        keep(&folder.join(path.file_name().context("no name")?), &fs::read(&path)?)?;
    }
    for number in 0..SMALL {
        keep(&folder.join(format!("many/{number}")), &small(number))?;
    }
    keep(&folder.join("large.bin"), &large())?;
    Ok(folder)
}

fn keep(path: &Path, octets: &[u8]) -> Result<()> {
    match fs::read(path) {
        Ok(there) if there == octets => Ok(()),
        _ => fs::write(path, octets).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// The octets of a small file, from none to a thousand or so.
pub fn small(number: usize) -> Vec<u8> {
    octets(number as u64 + 1, number * 7 % 1021)
}

/// The octets of the large one.
pub fn large() -> Vec<u8> {
    octets(LARGE_SEED, LARGE)
}

/// Octets that gzip does not make smaller, others for each seed (xorshift64).
fn octets(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// So many files, many of them at once, over each version of HTTP: each is what it is.
pub fn downloads(host: &Host, count: usize, limit: Duration) -> Result<()> {
    let expected: Vec<Vec<u8>> = (0..count).map(small).collect();
    for (version, at_once) in AT_ONCE {
        host.sh("rm -rf /tmp/many; mkdir /tmp/many", SOON)?.ok()?;
        let last = count - 1;
        let many = format!(
            "{version} --parallel --parallel-max {at_once} -o '/tmp/many/#1' -w '%{{http_code}} ' 'https://server.test/many/[0-{last}]'"
        );
        let said = curl_within(host, &many, limit)?;
        ensure!(said == "200 ".repeat(count), "{version}, {count} at once: {said}");
        let all = format!(
            "cd /tmp/many && ls | wc -l >/tmp/count && cat $(seq 0 {last}) >/tmp/all && cat /tmp/count"
        );
        let files = host.sh(&all, SOON)?.ok()?.stdout;
        ensure!(files.trim() == count.to_string(), "{version}: {files} files");
        let got = host.get("/tmp/all")?;
        let mut rest = &got[..];
        for (number, octets) in expected.iter().enumerate() {
            let is_same = rest.get(..octets.len()) == Some(&octets[..]);
            ensure!(is_same, "{version}: many/{number} has other octets");
            rest = &rest[octets.len()..];
        }
        ensure!(rest.is_empty(), "{version}: {} octets too many", rest.len());
    }
    Ok(())
}

/// So many octets into the guest over each version of HTTP, others each time: it has got what was sent.
pub fn uploads(host: &Host, octets: u64, limit: Duration) -> Result<()> {
    for version in ["--http2", "--http1.1"] {
        let make = format!("head -c {octets} /dev/urandom >/tmp/up; sha256sum </tmp/up");
        let digest = host.sh(&make, limit)?.ok()?.stdout;
        let digest = digest.split(' ').next().context("no digest")?;
        let upload = format!("{version} -X POST -T /tmp/up https://server.test/upload");
        let said = curl_within(host, &upload, limit)?;
        ensure!(said == format!("{octets} {digest}\n"), "{version}: not {octets} {digest}, but {said:?}");
    }
    Ok(())
}
