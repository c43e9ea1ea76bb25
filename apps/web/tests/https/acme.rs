//! What is wrong with the parameters of a certificate from an authority stops the start, with a line that says what.

use super::{CHAIN, KEY, Process, Volume, tool, web};
use std::fs;
use std::path::PathBuf;

/// Files as disks, gone when the test has ended.
struct Disks(PathBuf);

impl Disks {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("fata-web-acme-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// The parameter for a disk of so many octets that begins with a text.
    fn param(&self, disk: &str, file: &str, text: &str, octets: u64) -> String {
        let place = self.0.join(file);
        fs::write(&place, text).unwrap();
        fs::File::options().write(true).open(&place).unwrap().set_len(octets).unwrap();
        format!("{disk}.file={}", place.display())
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_missing_or_wrong_stops_the_start() {
    let disks = Disks::new("wrong");
    let disk = disks.param("acme", "acme.img", "", 262_144);
    let small = disks.param("acme", "small.img", "", 131_072);
    let foreign = disks.param("acme", "foreign.img", "something else", 262_144);
    let roots = disks.param("roots", "roots.img", "no roots", 512);
    let broken = disks.param("roots", "broken.img", "-----BEGIN CERTIFICATE-----\nMII", 512);
    let volume = Volume::new("beside", &[("key.pem", KEY), ("chain.pem", CHAIN)]);
    let keys = format!("keys.file={}", volume.image());
    let many: Vec<_> = (0..101).map(|n| format!("{n}.a.test")).collect();
    let many = format!("names={}", many.join(","));
    // One of what is right in its place, in the order in which it is looked at.
    let right = ["acme=https://localhost:1/dir", "names=a.test", "acme-terms=on", &disk];
    for (n, missing) in
        ["", "names=NAME,NAME says", "acme-terms=on agrees", "no disk acme"].into_iter().enumerate().skip(1)
    {
        assert_stops(&right[..n], &format!("acme: {missing}"));
    }
    for (wrong, why) in [
        (&["names=localhost"][..], "no authority knows localhost"),
        (&["acme-terms=off"], "acme: acme-terms=on agrees"),
        (&["acme-terms=maybe"], "acme-terms"),
        (&[&small], "acme: it has 131072 octets, of 262144 at least"),
        (&[&foreign], "acme: the device has something else"),
        (&[&keys], "acme: the disk keys has a certificate: one of the two is too many"),
        (&[&roots], "the disk roots: no certificate in the PEM text, which has no section"),
        (&[&broken], "the disk roots: section 1 of the PEM text is broken: its END line is missing"),
        (&["acme=http://localhost:1/dir"], "acme: \"http://localhost:1/dir\" is not an https URL"),
        (&["acme=localhost"], "acme: \"localhost\" is not an https URL"),
        (&["names=*.a.test"], "acme: *.a.test is a wildcard"),
        (&["names=a.test,,b.test"], "acme: no certificate is for \"\": it is empty"),
        (&["names=a.test, b.test"], "acme: no certificate is for \" b.test\""),
        (&["names=10.1"], "acme: no certificate is for \"10.1\": the last label of a name is not a number"),
        (&[&many], "acme: 101 names for one certificate, where 100 are the most"),
        (&["acme-contact=nobody"], "acme: \"nobody\" is no address of mail"),
        (&["acme-contact=a@b.test,c"], "acme: \"c\" is no address of mail"),
        (&["acme-ways=dns-01"], "acme: acme-ways has \"dns-01\"; there are http-01 and tls-alpn-01"),
        (&["acme-ways=http-01,"], "acme: acme-ways has \"\"; there are http-01 and tls-alpn-01"),
        #[cfg(feature = "client-certificates")]
        (
            &["acme-ways=tls-alpn-01", "client-certificates=require"],
            "acme: no way is left of acme-ways=tls-alpn-01: client-certificates=require rules tls-alpn-01 out",
        ),
        (&["acme-eab-kid=a"], "acme: acme-eab-kid and acme-eab-key belong together"),
        (&["acme-eab-key=a2V5"], "acme: acme-eab-kid and acme-eab-key belong together"),
        (&["acme-eab-kid=a", "acme-eab-key=!"], "acme: the external account has a name without blanks"),
    ] {
        let name = |param: &str| param.split('=').next().unwrap().to_owned();
        let rest = right.iter().filter(|right| wrong.iter().all(|wrong| name(wrong) != name(right)));
        assert_stops(&rest.chain(wrong).copied().collect::<Vec<_>>(), why);
    }
}

fn assert_stops(params: &[&str], why: &str) {
    let mut web = Process::start(env!("CARGO_BIN_EXE_web"), params);
    web.wait_for(why);
    assert_ne!(web.wait().code(), Some(0), "{params:?}");
}

/// Nobody is there who would give a certificate: one of its own is shown meanwhile, and the pages say how it stands.
#[test]
fn an_authority_that_is_not_there_keeps_nobody_waiting() {
    let disks = Disks::new("alone");
    let disk = disks.param("acme", "acme.img", "", 262_144);
    let params = ["acme=https://localhost:1/dir", "names=a.test,localhost", "acme-terms=on", &disk];
    let bound = ["acme-eab-kid=a", "acme-eab-key=a2V5", "acme-contact=a@b.test", "acme-ways=http-01"];
    let (web, place) = web(&[&params[..], &bound].concat());
    web.wait_for("a certificate made here for a.test, localhost until the authority's is there");
    let status = tool("curl", &["--silent", "--insecure", &format!("https://{place}/status.json")]);
    assert!(status.contains("\"acme\":{") && status.contains("a.test"), "{status}");
    assert_eq!(web.leave().code(), Some(0));
    // The account that was made is the same at the next start.
    let account = |image: &[u8]| {
        let text = String::from_utf8_lossy(image).into_owned();
        text.split("-----BEGIN PRIVATE KEY-----").nth(1).map(str::to_owned).unwrap()
    };
    let kept = fs::read(disks.0.join("acme.img")).unwrap();
    let (web, _) = self::web(&params);
    assert_eq!(web.leave().code(), Some(0));
    assert_eq!(account(&fs::read(disks.0.join("acme.img")).unwrap()), account(&kept));
}
