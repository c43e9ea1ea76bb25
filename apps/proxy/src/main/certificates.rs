//! What clients are shown: the certificates of the disk `config`, of an authority, or made here; and what takes their places.

#[cfg(feature = "acme")]
use crate::acme::{self, Order};
use crate::{PROTOCOLS, TICKET_KEYS, params};
use alloc::rc::Rc;
use alloc::sync::Arc;
use fata::block::Disk;
use fata::files::Store;
use fata::http::Router;
use fata::https::{Keeper, Shown};
use fata::net::Network;
use fata::prelude::*;
use fata_tls::ServerConfig;
use fata_tls::provider::Tickets;
use proxying::certificates::Figures;
use proxying::config::Config;
use proxying::keys::{self, Start};

/// The certificates of all hosts.
pub struct Certificates {
    /// What is shown.
    pub shown: Rc<Shown>,
    #[cfg(feature = "acme")]
    order: Option<Order>,
}

impl Certificates {
    /// Finds or makes one for each host. Those that are to have the authority's are one to the rest of the proxy, by what `config` says then.
    pub async fn begin(
        env: &Env,
        network: &Network,
        disk: Option<&Disk>,
        store: Option<Store>,
        config: &mut Config,
    ) -> Result<Self> {
        let valid = env.param(params::VALID);
        let mut start = Start::default();
        let groups = keys::groups(store.as_ref(), config).await?;
        let clients = keys::clients(store.as_ref(), env.param(params::CLIENT_CERTIFICATES)).await?;
        // What is read of it now would be older than what is written.
        drop(store);
        #[cfg(feature = "acme")]
        let (groups, mut order) = acme::order(env, network, groups, config).await?;
        #[cfg(not(feature = "acme"))]
        let _ = network;
        #[cfg(feature = "acme")]
        if let Some(order) = order.as_mut().filter(|order| order.is_first) {
            order.begin(&mut start, valid)?;
        }
        for group in groups {
            start.add(group, disk, valid).await?;
        }
        #[cfg(feature = "acme")]
        if let Some(order) = order.as_mut().filter(|order| !order.is_first) {
            order.begin(&mut start, valid)?;
        }
        for what in &start.said {
            println!(env, "proxy: {what}");
        }
        let tickets = Arc::new(Tickets::new(TICKET_KEYS));
        #[cfg(feature = "acme")]
        let challenges = order.as_ref().map(|order| order.responder().certificates());
        let finish = move |config: ServerConfig| {
            let config = config.alpn(PROTOCOLS).tickets(tickets.clone());
            #[cfg(feature = "acme")]
            let config = match &challenges {
                Some(challenges) => config.acme_challenges(challenges.clone()),
                None => config,
            };
            config
        };
        let shown = Shown::new(start.pairs, Rc::default(), Rc::default(), finish)?;
        if let Some(clients) = clients {
            shown.ask_clients(clients).map_err(keys::of_clients)?;
            println!(
                env,
                "proxy: clients show certificates that client-ca.pem of the disk config has signed"
            );
        }
        let mut keeper = Keeper::new(start.sites, shown.clone());
        if let Some(disk) = disk {
            keeper = keeper.on_disk(disk.clone(), env.param(params::RELOAD));
        }
        spawn(keeper.run()).detach();
        Ok(Self {
            shown,
            #[cfg(feature = "acme")]
            order,
        })
    }

    /// What an authority asks for over plain HTTP is answered too.
    pub fn route(&self, router: Router) -> Router {
        #[cfg(feature = "acme")]
        if let Some(order) = &self.order {
            return order.responder().route(router);
        }
        router
    }

    /// What is shown of them to those who run the proxy.
    pub fn figures(&self) -> Figures {
        Figures {
            reloads: self.shown.reloads.clone(),
            #[cfg(feature = "acme")]
            authority: self.order.as_ref().map(|order| (order.status(), order.names())),
        }
    }

    /// Replaces certificates from now on.
    pub fn run(self) {
        #[cfg(feature = "acme")]
        if let Some(order) = self.order {
            spawn(order.keep(self.shown)).detach();
        }
    }
}
