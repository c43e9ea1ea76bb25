//! Our server and Linux's beside each other on one host, under loads in turns.

use std::path::Path;

use anyhow::Result;

use super::contest::{Contests, Load, Run};
use super::servers::{self, Server};
use super::{Bench, results};
use crate::xen_host::Host;
use crate::xen_host::guest::GuestSpec;
use crate::xen_host::linux_guest::LinuxGuest;

/// Both, each paused while it is not measured.
pub struct Pair<'b> {
    bench: &'b Bench,
    host: Host,
    fata: Server,
    linux: Server,
}

/// Where the results go, and what the plot says of them.
pub struct Naming {
    /// Of the files.
    pub name: &'static str,
    /// Above the plot.
    pub title: &'static str,
    /// Such as `linux + nginx`.
    pub linux: &'static str,
}

impl<'b> Pair<'b> {
    /// Starts both; `answers` is as [`Server::fata`] wants it.
    pub fn start(
        bench: &'b Bench,
        image: &Path,
        spec: GuestSpec,
        linux: &LinuxGuest,
        answers: &str,
    ) -> Result<Self> {
        let mut host = servers::host(&bench.folder)?;
        let fata = Server::fata(&mut host, image, spec, answers)?;
        let linux = Server::linux(&mut host, linux, answers)?;
        Ok(Self { bench, host, fata, linux })
    }

    /// Holds all loads, each with its option, and writes what came of them.
    pub fn hold(
        &self,
        naming: &Naming,
        loads: &[(Load, &str)],
        run: impl Fn(&Host, &Server, &str) -> Result<Run>,
    ) -> Result<()> {
        let mut contests = Contests::new(self.bench.rounds);
        for (load, option) in loads {
            contests.hold(
                *load,
                || run(&self.host, &self.fata, option),
                || run(&self.host, &self.linux, option),
            );
        }
        let servers = [&self.fata, &self.linux];
        results::write(self.bench, naming.name, naming.title, naming.linux, &servers, &contests.held)?;
        contests.complete()
    }
}
