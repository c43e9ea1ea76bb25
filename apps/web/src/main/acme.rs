//! The certificate of an authority, where the boot parameters name one.

use super::clients;
use crate::{blocks, params};
use alloc::vec::Vec;
use fata::acme::{Asked, Kept, Terms};
use fata::https::{Maker, Pair};
use fata::net::Network;
use fata::prelude::*;

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
    let ruled_out = clients::are_required(env).then_some(Asked::BY_CLIENT_CERTIFICATES);
    let asked = Asked {
        directory,
        terms: if env.param(params::ACME_TERMS) { Terms::Agreed } else { Terms::NotAgreed },
        contacts: env.param(params::ACME_CONTACT),
        ways: env.param(params::ACME_WAYS),
        ruled_out: ruled_out.as_slice(),
        external: (env.param(params::ACME_EAB_KID), env.param(params::ACME_EAB_KEY)),
        disk: env.optional_block(blocks::ACME).await?,
        roots: env.optional_block(blocks::ROOTS).await?,
    };
    let names: Vec<&str> = maker.names.split(',').collect();
    Ok(Some(asked.open(network, &names).await?))
}

/// What is shown at first: the certificate that was kept, or one of our own.
pub fn pair(env: &Env, order: &Kept, maker: &Maker) -> Result<Pair> {
    match order.certificate() {
        Some(issued) => {
            println!(env, "web: the disk acme has a certificate");
            Ok(issued.into())
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
