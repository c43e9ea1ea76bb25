//! Which certificate each host begins with: one of the disk, one that is made here, or the one of an authority.

use crate::config::{Config, Host};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata::block::{Access, Disk};
use fata::files::Store;
use fata::https::disk::{self, Begun, Seen};
use fata::https::{Clients, Maker, Pair, Site};
use fata::log::warn;
use fata::time::{Duration, SystemTime};

/// The longest `proxy.conf`, octets.
const MOST: u64 = 256 << 10;

/// The text of the configuration; `None` if there is none.
pub async fn config_text(store: &Store) -> fata::Result<Option<String>> {
    Ok(disk::text(store, "proxy.conf", MOST).await?.map(|mut text| core::mem::take(&mut *text)))
}

/// Hosts with one certificate, and what the disk has of it.
pub struct Group {
    /// Its folder, with a slash behind.
    folder: String,
    names: Vec<String>,
    seen: Seen,
}

impl Group {
    /// Its names.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Whether the disk has nothing for it.
    pub fn has_nothing(&self) -> bool {
        matches!(self.seen, Seen::Nothing | Seen::Unfinished)
    }

    /// Whether a host is one of it.
    pub fn has(&self, host: &Host) -> bool {
        self.folder.strip_suffix('/') == Some(&host.certificate)
    }
}

/// Looks for the certificates of all hosts.
pub async fn groups(store: Option<&Store>, config: &Config) -> fata::Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut add = |certificate: &str, names: &[String]| {
        let folder = format!("{certificate}/");
        match groups.iter_mut().find(|group| group.folder == folder) {
            Some(group) => group.names.extend_from_slice(names),
            None => groups.push(Group { folder, names: names.into(), seen: Seen::Nothing }),
        }
    };
    config.hosts.iter().for_each(|host| add(&host.certificate, &host.names));
    if config.hosts.is_empty() {
        add("localhost", &["localhost".into()]);
    }
    if let Some(store) = store {
        for group in &mut groups {
            group.seen = disk::look(store, &group.folder).await?;
        }
    }
    Ok(groups)
}

/// Whose certificates clients show, of all hosts, as the boot parameter says.
pub async fn clients(store: Option<&Store>, said: &str) -> fata::Result<Option<Clients>> {
    let Some(which) = Clients::which(said).map_err(of_clients)? else { return Ok(None) };
    let clients = match store {
        Some(store) => Clients::of_disk(store, which).await.map_err(of_clients)?,
        None => None,
    };
    match clients {
        Some(clients) => Ok(Some(clients)),
        None => Err(of_clients("there is no disk config with client-ca.pem").into()),
    }
}

/// What is wrong with them.
pub fn of_clients(what: impl core::fmt::Display) -> String {
    format!("boot parameter client-certificates: {what}")
}

/// What is shown at first.
#[derive(Default)]
pub struct Start {
    /// A pair for each group, or several of them.
    pub pairs: Vec<Pair>,
    /// Where others may come from.
    pub sites: Vec<Site>,
    /// What there is to say.
    pub said: Vec<String>,
}

impl Start {
    /// Gives the next group its pair. One that is made is kept on a disk that is written to, and is valid for so long.
    pub async fn add(&mut self, group: Group, disk: Option<&Disk>, valid: Duration) -> fata::Result<()> {
        let has_nothing = group.has_nothing();
        let Group { folder, names, seen } = group;
        let maker = maker(&names, valid);
        let names = names.join(", ");
        let site = Site::new(self.pairs.len(), &folder, maker.clone());
        let begun = match disk {
            Some(disk) if !has_nothing || is_written(disk) => disk::begin(disk, &folder, seen, &maker).await,
            _ => Err("nothing to keep it on".into()),
        };
        let (pair, site) = match begun {
            Ok(Begun::Kept(pair)) => (pair, site),
            Ok(Begun::Made(pair)) => {
                self.said.push(format!("the disk config had no certificate for {names}: made one"));
                (pair, site)
            }
            Ok(Begun::Remade(pair)) => {
                self.said
                    .push(format!("the certificate made before for {names} ends soon: made another one"));
                (pair, site)
            }
            Err(error) if has_nothing => {
                if disk.is_some_and(is_written) {
                    warn!("keys: {folder}: what is made is not kept: {error}");
                }
                self.said
                    .push(format!("no certificate for {names}: one that has signed itself, until it ends"));
                (maker.make()?, site.only_here())
            }
            Err(error) => return Err(error),
        };
        // Said with its folder, which all of them together would not.
        pair.config().map_err(|error| format!("{folder}: {error}"))?;
        // Better than none: clients say it too.
        if let Err(error) = pair.check_dates(SystemTime::now()) {
            self.said.push(format!("{folder}: {error}"));
        }
        self.pairs.push(pair);
        self.sites.push(site);
        Ok(())
    }
}

fn is_written(disk: &Disk) -> bool {
    disk.geometry().access == Access::ReadWrite
}

/// What makes a pair for these names.
pub fn maker(names: &[String], valid: Duration) -> Maker {
    let names: Vec<&str> = names.iter().map(|name| name.trim_matches(['[', ']'])).collect();
    Maker { names: names.join(","), valid }
}
