//! Where guests without Xen run: namespaces of this machine with dom0's root file system and tap devices instead of its bridges.
//! The same peers then talk with the same appliance, be it in QEMU ([`guest`]) or a process.

pub mod guest;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::agent::{Agent, Token};
use super::{agent_program, build, qemu};
use crate::cache::Entry;
use crate::{command, ui};

const INIT: &str = include_str!("init.sh");

/// The namespaces, with the agent in them. Dropping it ends all that runs there.
pub struct Namespaces {
    keeper: Child,
    folder: PathBuf,
    /// How to talk with the agent.
    pub agent: Agent,
}

impl Namespaces {
    /// Makes them. Needs root, `/dev/net/tun`, overlayfs.
    pub fn start(folder: &Path) -> Result<Self> {
        // SAFETY: geteuid(2) has no preconditions.
        let is_root = unsafe { libc::geteuid() } == 0;
        ensure!(is_root, "namespaces with tap devices need root");
        ensure!(Path::new("/dev/net/tun").exists(), "there is no /dev/net/tun: load the kernel's module tun");
        let root = root_folder()?;
        let _ = fs::remove_dir_all(folder);
        for name in ["run", "logs", "images"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let init = folder.join("init.sh");
        fs::write(&init, INIT)?;
        let token = Token::random()?;
        let mut command = Command::new("bash");
        let enter =
            "exec 9</proc/self/ns/net; exec unshare --net --mount --pid --fork --kill-child bash \"$@\"";
        command.args(["-c", enter, "fata"]).arg(&init).arg(folder).arg(&root).arg(agent_program::build()?);
        command.env(fata_dom0::TOKEN_VARIABLE, token.to_text());
        command.env(fata_dom0::NETWORK_VARIABLE, "8");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        qemu::end_with_this_thread(&mut command);
        let mut keeper = command.spawn().context("cannot start bash")?;
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().context("no output")?).read_line(&mut line)?;
        let Ok(address) = line.trim().parse() else {
            let said = keeper.wait_with_output()?.stderr;
            bail!("cannot make namespaces: {}", command::last_lines(&String::from_utf8_lossy(&said), 5));
        };
        Ok(Self { keeper, folder: folder.to_owned(), agent: Agent { address, token: Some(token) } })
    }

    /// Whether they are there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.keeper.try_wait(), Ok(None))
    }

    /// A program of this machine that will run in their network, with this machine's files.
    fn command(&self, program: &Path) -> Result<Command> {
        let keeper = self.keeper.id();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"))?;
        let inner =
            children.split(' ').next().filter(|pid| !pid.is_empty()).context("the namespaces are gone")?;
        let mut command = Command::new("nsenter");
        // Descriptor 8 of who is in there, whose own network is the one outside by now.
        command.arg(format!("--net=/proc/{inner}/fd/8")).arg(program);
        qemu::end_with_this_thread(&mut command);
        Ok(command)
    }

    /// Where the consoles of guests are written, which the agent sees as `/var/log/xen`.
    fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// dom0's root file system as a folder in the cache.
fn root_folder() -> Result<PathBuf> {
    let parts = build::parts()?;
    let host = build::entry()?.path().to_string_lossy().into_owned();
    let entry = Entry::new("dom0-root", &[&host])?;
    if !entry.exists() {
        let step = ui::step("unpacking dom0's files");
        entry.create(|folder| {
            let mut cpio = Command::new("cpio");
            cpio.args(["--extract", "--make-directories", "--quiet", "--no-absolute-filenames", "--file"]);
            command::run(cpio.arg(&parts.initramfs).current_dir(folder)).map(drop)
        })?;
        step.done();
    }
    Ok(entry.path().to_owned())
}
