//! The certificate of an authority, where the boot parameters name one: one for all hosts that have none of their own.

use crate::{blocks, params};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use fata::acme::{Asked, Kept, Responder, Status, Terms, Way};
use fata::https::Shown;
use fata::net::Network;
use fata::prelude::*;
use proxying::config::Config;
use proxying::keys::{Group, Start, maker};

/// What is asked of the authority.
pub struct Order {
    kept: Kept,
    names: Vec<String>,
    /// Whether its certificate is shown to who names no host.
    pub is_first: bool,
    place: usize,
}

/// Takes the hosts without a certificate of their own out of the others.
pub async fn order(
    env: &Env,
    network: &Network,
    groups: Vec<Group>,
    config: &mut Config,
) -> Result<(Vec<Group>, Option<Order>)> {
    let Some(directory) = env.param(params::ACME) else { return Ok((groups, None)) };
    if config.hosts.is_empty() {
        return Err("acme: hosts=NAME,NAME, or proxy.conf, says what the certificate is for".into());
    }
    let is_first = groups.first().is_some_and(Group::has_nothing);
    let (ordered, own): (Vec<Group>, Vec<Group>) = groups.into_iter().partition(Group::has_nothing);
    if ordered.is_empty() {
        return Err("acme: the disk config has a certificate for each host".into());
    }
    for host in &mut config.hosts {
        if ordered.iter().any(|group| group.has(host)) {
            host.certificate.clear();
        }
    }
    let names: Vec<String> = ordered.iter().flat_map(Group::names).cloned().collect();
    let asked = Asked {
        directory,
        terms: if env.param(params::ACME_TERMS) { Terms::Agreed } else { Terms::NotAgreed },
        contacts: env.param(params::ACME_CONTACT),
        ways: env.param(params::ACME_WAYS),
        ruled_out: &ruled_out(env),
        external: (env.param(params::ACME_EAB_KID), env.param(params::ACME_EAB_KEY)),
        disk: env.optional_block(blocks::ACME).await?,
        roots: env.optional_block(blocks::ROOTS).await?,
    };
    let trimmed: Vec<&str> = names.iter().map(|name| name.trim_matches(['[', ']'])).collect();
    let kept = asked.open(network, &trimmed).await?;
    Ok((own, Some(Order { kept, names, is_first, place: 0 })))
}

/// The ways that nobody could answer: nothing listens on the port of HTTP, or an authority would have to show a certificate.
fn ruled_out(env: &Env) -> Vec<(Way, &'static str)> {
    let is_off = env.param(params::HTTP) == "off";
    let are_required = env.param(params::CLIENT_CERTIFICATES) == "require";
    let by_http = is_off.then_some((Way::Http, "http=off rules http-01 out"));
    let by_clients = are_required.then_some(Asked::BY_CLIENT_CERTIFICATES);
    by_http.into_iter().chain(by_clients).collect()
}

impl Order {
    /// Puts the certificate that was kept into its place, or one that is made here.
    pub fn begin(&mut self, start: &mut Start, valid: Duration) -> Result<()> {
        self.place = start.pairs.len();
        let pair = match self.kept.certificate() {
            Some(issued) => {
                start.said.push("the disk acme has a certificate".into());
                issued.into()
            }
            None => {
                let names = self.names();
                start
                    .said
                    .push(format!("a certificate made here for {names} until the authority's is there"));
                maker(&self.names, valid).make()?
            }
        };
        start.pairs.push(pair);
        Ok(())
    }

    /// What shows challenges.
    pub fn responder(&self) -> &Responder {
        &self.kept.responder
    }

    /// What it is for.
    pub fn names(&self) -> String {
        self.names.join(", ")
    }

    /// How it goes.
    pub fn status(&self) -> Rc<Status> {
        self.kept.status.clone()
    }

    /// Gets certificates, which are shown from then on.
    pub async fn keep(self, shown: Rc<Shown>) {
        let place = self.place;
        self.kept.keep(move |pair| shown.replace(alloc::vec![(place, pair)])).await;
    }
}
