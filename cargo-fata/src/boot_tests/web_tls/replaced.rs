//! A certificate that the guest makes and keeps, and another one that takes its place under what is going on.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::openssl::Peer;
use super::scanners::authority::Authority;
use super::{
    CHAIN, KEY, LATE, PORT, ROOT, RSA, RSA_KEY, SOON, WITH_FILES, and_leaves, clients, curl, disk, fat,
    file_of, files, serve,
};
use crate::boot_tests::temporary;
use crate::xen_host::Host;
use crate::xen_host::guest::Guest;

/// What is uploaded and downloaded whenever this runs: a hundred times as much is `boot::web_tls::much`.
const UPLOAD: u64 = 10 << 20;
const FILES: usize = 200;
const TRUSTING_ITSELF: &str = "-o /dev/null -o /dev/null -w %{http_code} --cacert /tmp/made.pem https://server.test/ https://10.0.2.15/";

/// A volume without a pair gets one that is there at the next start too, and shown to clients with a certificate alone where that is asked for;
/// another pair on the disk is shown without an end.
pub fn made_and_replaced(host: &mut Host) -> Result<()> {
    let (device, disk) = disk(host, &fat(&[("client-ca.pem", ROOT.as_bytes())])?, "rw")?;
    clients::put(host)?;
    let params = "names=server.test,10.0.2.15 reload=1s upload=200MiB idle=300s";
    let guest = serve(host, WITH_FILES, &disk, &format!("{params} client-certificates=require"))?;
    guest.wait_console("made one for server.test, 10.0.2.15", SOON)?;
    let made = file_of(&host.get("/tmp/keys.img")?, "chain.pem")?;
    host.put("/tmp/made.pem", made.as_bytes())?;
    let first = curl(host, &format!("{} {TRUSTING_ITSELF}", clients::OWN)).and_then(|answer| {
        ensure!(answer == "200200", "the one that was made: {answer}");
        clients::are_told_apart(host)
    });
    first.map_err(|error| error.context(guest.console()))?;
    guest.destroy()?;
    let guest = serve(host, WITH_FILES, &disk, params)?;
    let port = host.forwarded(PORT).context("no port leads to the guest")?;
    let result = curl(host, TRUSTING_ITSELF).and_then(|answer| {
        ensure!(answer == "200200" && !guest.console().contains("made one"), "at the next start: {answer}");
        replaced(host, &guest, &device, &made, port)
    });
    and_leaves(guest, result)
}

fn replaced(host: &Host, guest: &Guest, device: &str, made: &str, port: u16) -> Result<()> {
    let put = |files: &[(&str, &[u8])]| -> Result<()> {
        host.put("/tmp/new.img", &fat(files)?)?;
        host.sh(&format!("dd if=/tmp/new.img of={device} bs=1M conv=notrunc,fsync status=none"), SOON)?
            .ok()?;
        Ok(())
    };
    // A key that is damaged, and one that this image cannot use: what was shown stays.
    let damaged = KEY.replacen("MIGH", "MIGG", 1);
    put(&[("chain.pem", CHAIN.as_bytes()), ("key.pem", damaged.as_bytes())])?;
    guest.wait_console("the certificate before stays", SOON)?;
    put(&[("chain.pem", RSA.as_bytes()), ("key.pem", RSA_KEY.as_bytes())])?;
    guest.wait_console("RSA", SOON)?;
    let answer = curl(host, "-o /dev/null -w %{http_code} --cacert /tmp/made.pem https://server.test/")?;
    ensure!(answer == "200", "with what cannot be used on its disk: {answer}");
    let before = Peer::new(port, made)?;
    let said = before.says("-status", "/4k.html")?;
    ensure!(said.contains("OCSP response: no response sent"), "without a response: {said}");

    // Connections that there are go on, over the certificate that they began with: one that waits, and one that is owed octets.
    let kept = Kept::begin(&before)?;
    begin_download(host)?;
    let authority = Authority::new(&temporary("replaced"), &["server.test"]);
    authority.say_that_it_is_good();
    let [chain, key, ocsp, root] =
        ["chain.pem", "key.pem", "ocsp.der", "root.pem"].map(|name| fs::read(authority.file(name)));
    let root = String::from_utf8(root?)?;
    host.put("/tmp/other.pem", root.as_bytes())?;
    put(&[("chain.pem", &chain?), ("key.pem", &key?), ("ocsp.der", &ocsp?)])?;
    guest.wait_console("another certificate is shown from now on", SOON)?;
    let metrics = curl(host, "--cacert /tmp/other.pem https://server.test/metrics")?;
    let count =
        |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    let sent = count("http_sent_bytes_total ").context("no octets sent")?;
    ensure!(sent < files::LARGE as u64, "nothing was owed any more: {sent} octets had been sent");
    kept.goes_on()?;
    ends_whole(host)?;
    // A volume that was read while it was written is one that was refused, too.
    let counts = (count("tls_reloads_total "), count("tls_reloads_refused_total "));
    ensure!(
        counts.0.is_some_and(|done| done >= 1) && counts.1.is_some_and(|refused| refused >= 2),
        "{counts:?}: {metrics}"
    );

    let after = Peer::new(port, &root)?;
    let said = after.says("-status", "/4k.html")?;
    let is_stapled = ["OCSP Response Status: successful", "Cert Status: good", "Serial Number: 1001"];
    ensure!(is_stapled.iter().all(|line| said.contains(line)), "with a response beside the pair: {said}");
    after.negotiates(&["P-384"], &["P-384"])?;
    host.sh("cp /tmp/other.pem /tmp/root.pem", SOON)?.ok()?;
    files::uploads(host, UPLOAD, SOON)?;
    files::downloads(host, FILES, SOON)
}

/// A download has begun, with a client that trusts the certificate before alone, and that takes no more until it is told to.
fn begin_download(host: &Host) -> Result<()> {
    let slow = "{ curl -sS --max-time 300 --cacert /tmp/made.pem --resolve server.test:443:10.0.2.15 --http1.1 \
                https://server.test/large.bin; echo $? > /tmp/slow.end; } | { head -c 4096 > /tmp/slow; \
                while [ ! -e /tmp/slow.go ]; do sleep 0.1; done; cat >> /tmp/slow; touch /tmp/slow.done; }";
    let begin = format!("rm -f /tmp/slow*; nohup sh -c '{slow}' > /dev/null 2>&1 &");
    host.sh(&begin, SOON)?.ok()?;
    host.sh("for i in $(seq 300); do [ -s /tmp/slow ] && exit; sleep 0.1; done; exit 1", SOON)?.ok()?;
    Ok(())
}

fn ends_whole(host: &Host) -> Result<()> {
    let ended = "touch /tmp/slow.go; for i in $(seq 1200); do [ -e /tmp/slow.done ] && break; sleep 0.1; done; cat /tmp/slow.end";
    let said = host.sh(ended, LATE)?.ok()?.stdout;
    ensure!(said.trim() == "0", "a download over the replacement ended with curl's {said}");
    ensure!(host.get("/tmp/slow")? == files::large(), "a download over the replacement has other octets");
    Ok(())
}

/// A connection that has had one answer.
struct Kept {
    client: Child,
    said: PathBuf,
    flag: PathBuf,
}

impl Kept {
    fn begin(peer: &Peer) -> Result<Self> {
        let (said, flag) = (temporary("kept"), temporary("kept-flag"));
        let request = "GET /4k.html HTTP/1.1\\r\\nHost: server.test\\r\\n";
        let script = format!(
            "(printf '{request}\\r\\n'; for i in $(seq 3000); do [ -e {flag} ] && break; sleep 0.1; done; \
             printf '{request}Connection: close\\r\\n\\r\\n') | {} -ign_eof > {said} 2>&1",
            peer.command("-verify_return_error"),
            flag = flag.display(),
            said = said.display(),
        );
        let client = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).spawn()?;
        let kept = Self { client, said, flag };
        let began = Instant::now();
        while kept.answers() == 0 {
            ensure!(began.elapsed() < SOON, "no answer: {}", kept.text());
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(kept)
    }

    /// What has come so far; at first there is no file.
    fn text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.said).unwrap_or_default()).into_owned()
    }

    fn answers(&self) -> usize {
        self.text().matches("HTTP/1.1 200 OK").count()
    }

    /// It has another one.
    fn goes_on(mut self) -> Result<()> {
        fs::write(&self.flag, "")?;
        self.client.wait()?;
        let text = self.text();
        ensure!(self.answers() == 2, "a connection that was kept over the replacement: {text}");
        ensure!(text.matches("CONNECTED(").count() == 1, "it is another one: {text}");
        Ok(())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        // Its script ends then, and its client with it.
        let _ = fs::write(&self.flag, "");
        let _ = self.client.wait();
        let _ = fs::remove_file(&self.said);
        let _ = fs::remove_file(&self.flag);
    }
}
