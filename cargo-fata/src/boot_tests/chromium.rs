//! Debian's Chromium on this machine, without a window, led by WebDriver (<https://www.w3.org/TR/webdriver2/>).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::free_port;
use crate::command;

/// What it is not to do: ask its makers for anything, or look for hardware.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,1100",
];
/// Also on a machine that does much else.
const START_LIMIT: Duration = Duration::from_secs(60);

/// A browser with one page; ended when it is dropped, and what it kept is removed.
pub struct Browser {
    driver: Child,
    folder: PathBuf,
    session: String,
}

impl Browser {
    /// Starts it. It trusts this root beside its own, and looks for `host:443` at a port of 127.0.0.1.
    pub fn start(root: &str, host: &str, port: u16) -> Result<Self> {
        let folder = super::temporary("chromium");
        trust(&folder, root)?;
        let driver_port = free_port()?;
        let mut driver = Command::new("chromedriver");
        driver.arg(format!("--port={driver_port}")).env("HOME", &folder).stdin(Stdio::null());
        let driver = driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let driver =
            driver.context("cannot start chromedriver: is the package chromium-driver installed?")?;
        let address = format!("http://127.0.0.1:{driver_port}");
        let mut browser = Self { driver, folder, session: address.clone() };
        let profile = format!("--user-data-dir={}", browser.folder.join("profile").display());
        let rules = format!("--host-resolver-rules=MAP {host}:443 127.0.0.1:{port}");
        let flags: Vec<&str> = FLAGS.into_iter().chain([&*profile, &*rules]).collect();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": flags, "binary": "/usr/bin/chromium" },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let started = Instant::now();
        let made = loop {
            match browser.post("/session", &wanted) {
                Ok(made) => break made,
                Err(error) if started.elapsed() > START_LIMIT => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(200)),
            }
        };
        let id = made["sessionId"].as_str().with_context(|| format!("no session: {made}"))?;
        browser.session = format!("{address}/session/{id}");
        Ok(browser)
    }

    /// Loads a page.
    pub fn open(&self, url: &str) -> Result<()> {
        self.post("/url", &json!({ "url": url })).map(drop)
    }

    /// What a script says, such as `return document.title`.
    pub fn script(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script says so.
    pub fn wait(&self, script: &str, limit: Duration) -> Result<()> {
        let started = Instant::now();
        while self.script(script)? != Value::Bool(true) {
            ensure!(started.elapsed() < limit, "not in {} s: {script}", limit.as_secs());
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// What stands in its console since the last time, errors of loading among it.
    pub fn console(&self) -> Result<Vec<String>> {
        let entries = self.post("/se/log", &json!({ "type": "browser" }))?;
        let entries = entries.as_array().with_context(|| format!("no list of entries: {entries}"))?;
        Ok(entries.iter().map(Value::to_string).collect())
    }

    /// The page as it is seen, as PNG.
    pub fn screenshot(&self) -> Result<Vec<u8>> {
        let shot = self.ask("GET", "/screenshot", None)?;
        let octets = decode(shot.as_str().context("no screenshot")?);
        ensure!(octets.starts_with(b"\x89PNG"), "the screenshot is no PNG");
        Ok(octets)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ask("POST", path, Some(body))
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "60", "--noproxy", "*", "-X", method]);
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "--data-binary", &body.to_string()]);
        }
        let said = command::run(curl.arg(format!("{}{path}", self.session)))?.stdout;
        let answer: Value =
            serde_json::from_str(&said).with_context(|| format!("chromedriver said {said}"))?;
        let value = &answer["value"];
        if let Some(error) = value["error"].as_str() {
            bail!("{method} {path}: {error}: {}", value["message"]);
        }
        Ok(value.clone())
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.ask("DELETE", "", None);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A home for it in which a root is trusted: browsers on Linux look into this database.
fn trust(home: &Path, root: &str) -> Result<()> {
    let database = home.join(".pki/nssdb");
    fs::create_dir_all(&database)?;
    let file = home.join("root.pem");
    fs::write(&file, root)?;
    let certutil = |arguments: &[&str]| {
        let mut tool = Command::new("certutil");
        tool.arg("-d").arg(format!("sql:{}", database.display())).args(arguments);
        command::run(&mut tool).context("is the package libnss3-tools installed?")
    };
    certutil(&["-N", "--empty-password"])?;
    certutil(&["-A", "-t", "C,,", "-n", "test", "-i", &file.to_string_lossy()]).map(drop)
}

/// Base64 (RFC 4648 section 4).
fn decode(text: &str) -> Vec<u8> {
    let (mut octets, mut held, mut bits) = (Vec::with_capacity(text.len() / 4 * 3), 0u32, 0);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        (held, bits) = (held << 6 | u32::from(six), bits + 6);
        if bits >= 8 {
            bits -= 8;
            octets.push((held >> bits) as u8);
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn base64() {
        for (text, octets) in
            [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba")]
        {
            assert_eq!(decode(text), octets.as_bytes());
        }
        assert_eq!(decode("+/8="), [0xfb, 0xff]);
    }
}
