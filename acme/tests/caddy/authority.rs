//! caddy as an authority, in a network namespace of the test's own.

use super::testing::{Process, is_root};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Set where the test is in its namespace already.
const INSIDE: &str = "FATA_ACME_INSIDE";
/// What names mean there.
const HOSTS: &str = "127.0.0.1 localhost ca.test appliance.test other.test\n127.9.9.9 elsewhere.test\n";

/// What a program prints, which has to succeed.
pub fn tool(name: &str, args: &[&str]) -> String {
    let output = Command::new(name).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("this test needs the program {name}: {e}"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {args:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// A folder that is gone with the value.
pub struct Folder(pub PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = env::temp_dir().join(format!("fata-acme-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a test by its name in namespaces of its own, with [`HOSTS`].
pub fn inside(name: &str, test: impl FnOnce()) {
    if env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return test();
    }
    // Before, where there is a network.
    let caddy = caddy();
    let folder = Folder::new(name);
    let hosts = folder.0.join("hosts");
    fs::write(&hosts, HOSTS).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"].iter().take(if is_root() { 0 } else { 2 }));
    command.args(["--net", "--mount", "sh", "-c"]);
    command.arg("ip link set lo up && mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"");
    command.arg("sh").arg(&hosts).arg(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(INSIDE, name).env("CADDY", caddy);
    let output = command.output().expect("this test needs unshare, of util-linux");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "in its namespaces: {said}");
}

/// Debian's caddy: the one that is installed, else the package without its service, which would take port 80.
fn caddy() -> PathBuf {
    let installed = Path::new("/usr/bin/caddy");
    if installed.exists() {
        return installed.into();
    }
    let cache = env::var_os("FATA_CACHE").map(PathBuf::from).unwrap_or_else(|| {
        let home = env::var_os("HOME").expect("HOME, or FATA_CACHE, says where what is downloaded is kept");
        PathBuf::from(home).join(".cache/fata")
    });
    let program = cache.join("caddy");
    if !program.exists() {
        let folder = Folder::new("caddy");
        fs::create_dir_all(&cache).unwrap();
        let script = "cd \"$0\" && apt-get -qq download caddy && dpkg -x caddy_*.deb .";
        let output = Command::new("sh").args(["-c", script]).arg(&folder.0).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "this test needs Debian's package caddy, which apt-get does not give: {said}"
        );
        // Into its place at once: other tests look for it too.
        let own = cache.join(format!("caddy.{}", std::process::id()));
        fs::copy(folder.0.join("usr/bin/caddy"), &own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(own, &program).unwrap();
    }
    program
}

/// The authority, whose directory is [`Authority::DIRECTORY`].
pub struct Authority {
    pub process: Process,
    folder: Folder,
}

impl Authority {
    pub const DIRECTORY: &str = "https://ca.test:14000/acme/local/directory";
    pub const PORT: u16 = 14_000;

    pub fn start() -> Self {
        let folder = Folder::new("authority");
        let config = folder.0.join("Caddyfile");
        let storage = folder.0.join("data");
        let text = format!(
            "{{\n admin off\n skip_install_trust\n storage file_system {}\n auto_https disable_redirects\n https_port {}\n \
             http_port 14001\n}}\nhttps://ca.test:14000 {{\n tls internal\n acme_server\n}}\n",
            storage.display(),
            Self::PORT
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(env::var_os("CADDY").unwrap());
        command
            .arg("run")
            .arg("--config")
            .arg(&config)
            .args(["--adapter", "caddyfile"])
            .env("HOME", &folder.0);
        let process = Process::spawn(&mut command);
        let authority = Self { process, folder };
        authority.process.wait_for("serving initial configuration");
        for _ in 0..200 {
            if authority.root().exists() && authority.answers() {
                return authority;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("caddy does not serve: {}", authority.log());
    }

    fn answers(&self) -> bool {
        let mut curl = Command::new("curl");
        curl.args(["-sf", "-o", "/dev/null", "--cacert"]).arg(self.root()).arg(Self::DIRECTORY);
        curl.status().expect("this test needs the program curl").success()
    }

    /// The certificate that it has signed the others with.
    pub fn root(&self) -> PathBuf {
        self.folder.0.join("data/pki/authorities/local/root.crt")
    }

    pub fn log(&self) -> String {
        self.process.said()
    }
}
