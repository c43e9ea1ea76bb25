//! The agent as a process of this machine, for a machine that is itself a dom0.

use std::fs::{self, DirBuilder};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use super::agent::{Agent, Token};
use super::{agent_program, qemu};

/// A running agent; dropping it ends it.
pub struct LocalAgent {
    child: Child,
    /// For images and configurations: ours alone, and removed at the end.
    folder: PathBuf,
    /// How to talk with it.
    pub agent: Agent,
}

impl LocalAgent {
    /// Starts the agent on a free port of the loopback interface.
    pub fn start() -> Result<Self> {
        let mut command = Command::new(agent_program::build()?);
        let token = Token::random()?;
        command.env(fata_dom0::TOKEN_VARIABLE, token.to_text());
        command.arg0(agent_program::NAME).arg("127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::piped());
        // A Ctrl-C on the terminal is for the tool, which still needs the agent to end the guest.
        command.process_group(0);
        qemu::end_with_this_thread(&mut command);
        let mut child = command.spawn().context("cannot start the agent")?;
        let folder = std::env::temp_dir().join(format!("fata-{}-{}", std::process::id(), child.id()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("the agent has no output")?).read_line(&mut line)?;
        // An error if it is there: somebody else may have put it there.
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let address = line.trim().parse().with_context(|| format!("the agent said {line:?}"));
        let agent = Self { agent: Agent { address: address?, token: Some(token) }, folder, child };
        Ok(agent)
    }

    /// Where files for dom0 go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for LocalAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
