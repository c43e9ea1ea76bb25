//! The certificate of an authority, where the boot parameters name one.

use crate::{blocks, params};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use fata::acme::{ExternalAccount, Issued, Kept, Order, Settings, Terms, Way};
use fata::log::error;
use fata::net::Network;
use fata::prelude::*;
use fata_tls::{ClientConfig, ServerConfig, TlsAcceptor};
use web_site::https::keys::{KeysError, Pair};
use web_site::https::made::Maker;
use web_site::state::State;

/// The longest text of roots, octets.
const MOST_ROOTS: u64 = 256 << 10;

/// What is known of the certificate, where the boot parameters ask for one.
pub async fn open(env: &Env, network: &Network, maker: &Maker, has_keys: bool) -> Result<Option<Kept>> {
    let Some(directory) = env.param(params::ACME) else { return Ok(None) };
    if has_keys {
        return Err("acme: the disk keys has a certificate: one of the two is too many".into());
    }
    if maker.names == "localhost" {
        return Err(
            "acme: names=NAME,NAME says what the certificate is for; no authority knows localhost".into()
        );
    }
    if !env.param(params::ACME_TERMS) {
        return Err("acme: acme-terms=on agrees to the authority's terms of service; read them first".into());
    }
    let Some(disk) = env.optional_block(blocks::ACME).await? else {
        return Err(
            "acme: no disk acme, on which account and certificate are kept (64 KiB of zeros at least)".into(),
        );
    };
    let contacts: Vec<&str> = env.param(params::ACME_CONTACT).split(',').filter(|c| !c.is_empty()).collect();
    let names: Vec<&str> = maker.names.split(',').collect();
    let ways: Result<Vec<Way>> = env.param(params::ACME_WAYS).split(',').map(way).collect();
    let order = Order {
        directory,
        names: &names,
        contacts: &contacts,
        terms: Terms::Agreed,
        ways: &ways?,
        roots: roots(env).await?,
    };
    let opened = order.open_with(settings(env)?, network, &disk).await;
    Ok(Some(opened.map_err(|error| format!("acme: {error}"))?))
}

/// The account's, where the authority knows it otherwise.
fn settings(env: &Env) -> Result<Settings> {
    match (env.param(params::ACME_EAB_KID), env.param(params::ACME_EAB_KEY)) {
        (None, None) => Ok(Settings::default()),
        (Some(name), Some(key)) => {
            let account = ExternalAccount::new(name, key).map_err(|error| format!("acme: {error}"))?;
            Ok(Settings::default().external_account(account))
        }
        _ => Err("acme: acme-eab-kid and acme-eab-key belong together".into()),
    }
}

fn way(name: &str) -> Result<Way> {
    match name {
        "http-01" => Ok(Way::Http),
        "tls-alpn-01" => Ok(Way::TlsAlpn),
        other => Err(format!("acme: acme-ways has {other:?}; there are http-01 and tls-alpn-01").into()),
    }
}

/// Whom to trust when the authority is asked.
async fn roots(env: &Env) -> Result<ClientConfig> {
    let Some(disk) = env.optional_block(blocks::ROOTS).await? else { return usual_roots() };
    let geometry = disk.geometry();
    let len = geometry.octets().min(MOST_ROOTS);
    let octets = disk.read(0, len as usize / geometry.sector_size).await?;
    let text = String::from_utf8_lossy(&octets);
    let config = ClientConfig::from_roots_pem(text.trim_end_matches('\0'));
    Ok(config.map_err(|error| format!("the disk roots: {error}"))?)
}

#[cfg(feature = "webpki-roots")]
fn usual_roots() -> Result<ClientConfig> {
    Ok(ClientConfig::from_webpki_roots())
}

#[cfg(not(feature = "webpki-roots"))]
fn usual_roots() -> Result<ClientConfig> {
    Err("acme: no disk roots with the authority's root in PEM, and an image without the feature webpki-roots"
        .into())
}

/// What is shown at first: the certificate that was kept, or one of our own.
pub fn pair(env: &Env, order: &Kept, maker: &Maker) -> Result<Pair> {
    match order.certificate() {
        Some(issued) => {
            println!(env, "web: the disk acme has a certificate");
            Ok(pair_of(issued))
        }
        None => {
            println!(
                env,
                "web: a certificate made here for {} until the authority's is there",
                maker.names.replace(',', ", ")
            );
            Ok(maker.make()?)
        }
    }
}

fn pair_of(issued: &Issued) -> Pair {
    Pair { chain: issued.chain_pem.clone(), key: issued.key_pem.clone() }
}

/// Gets certificates, and has `acceptor` show them, made ready by `finish`.
pub async fn keep(
    order: Kept,
    acceptor: TlsAcceptor,
    finish: impl Fn(ServerConfig) -> ServerConfig,
    state: Rc<State>,
) {
    let show = |issued: &Issued| -> Result<(), KeysError> {
        let pair = pair_of(issued);
        acceptor.replace(finish(pair.config()?))?;
        let reloads = &state.tls.reloads;
        reloads.done.set(reloads.done.get().wrapping_add(1));
        reloads.expires.set(pair.expires());
        Ok(())
    };
    let end = order.run(|issued| match show(issued) {
        Ok(()) => fata::log::info!("acme: a certificate has come, and is shown from now on"),
        Err(error) => error!("acme: the certificate that has come cannot be shown: {error}"),
    });
    let end = end.await;
    error!("acme: no more certificates: {end}");
}
