//! `[network.NAME]`: what an interface's parameters are when the command line says nothing. What would stop every boot stops the
//! build; `fata-netstack` says the same of boot parameters.

use super::sayable;
use super::table::{Item, Table};
use crate::Error;
use crate::manifest::{NETWORK_KEYS_WITH_IPV6, Network};
use fata_libos::param::{
    BOOL, HOSTNAME, IP_LIST, IPV4, IPV4_DHCP_OR_NONE, IPV4_LIST, IPV4_OR_DHCP, IPV6, IPV6_OR_AUTO,
    Ipv4Prefix, Ipv6Prefix, Kind, MTU, QUEUES,
};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The least that each link of IPv6 carries, octets (RFC 8200, 5).
const LEAST_MTU_OF_IPV6: u16 = 1280;

/// An interface.
pub fn network(item: &Item<'_>, table: &Table<'_>) -> Result<Network, Error> {
    table.refuse_unknown(&NETWORK_KEYS_WITH_IPV6)?;
    let with_ipv6 = table.get("ipv6").is_some();
    let mut defaults = Vec::new();
    for item in table.items() {
        let value = value(&item, table)?;
        defaults.push((item.key.to_owned(), value));
    }
    ipv4_fits(table)?;
    if with_ipv6 {
        ipv6_fits(table)?
    } else {
        is_without_ipv6(table)?
    }
    Ok(Network { name: item.key.to_owned(), defaults, line: item.line })
}

fn value(item: &Item<'_>, table: &Table<'_>) -> Result<String, Error> {
    let value = match item.key {
        "mtu" | "queues" => item.integer()?,
        "ecn" => String::from(if item.boolean()? { "on" } else { "off" }),
        "dns" => item.list()?,
        _ => item.text()?.to_owned(),
    };
    let has_ipv6 = table.get("ipv6").is_some();
    let kind = match item.key {
        // Without IPv6 it is told what is missing.
        "ipv4" if has_ipv6 || value == "none" => &IPV4_DHCP_OR_NONE,
        "ipv4" => &IPV4_OR_DHCP,
        "gateway" => &IPV4,
        "ipv6" => &IPV6_OR_AUTO,
        "gateway6" => &IPV6,
        "dns" if has_ipv6 => &IP_LIST,
        "dns" => &IPV4_LIST,
        "hostname" => &HOSTNAME,
        "ecn" => &BOOL,
        "mtu" => return number_of(item, value, &MTU),
        "queues" => return number_of(item, value, &QUEUES),
        _ => return sayable(item, value),
    };
    match (kind.check)(&value) {
        true => Ok(value),
        false => item.error(format!("{value:?} is not {}", kind.what)),
    }
}

/// Numbers stand without quotes.
pub(super) fn number_of(item: &Item<'_>, value: String, kind: &Kind) -> Result<String, Error> {
    match (kind.check)(&value) {
        true => Ok(value),
        false => item.error(format!("{value} is not {}", kind.what)),
    }
}

fn ipv4_fits(table: &Table<'_>) -> Result<(), Error> {
    let ipv4 = table.get("ipv4");
    let text = ipv4.as_ref().map_or(Ok("dhcp"), |item| item.text())?;
    let prefix: Option<Ipv4Prefix> = text.parse().ok();
    if let (Some(item), Some(Ipv4Prefix { address, prefix_len })) = (ipv4, prefix.filter(|p| !p.is_host())) {
        return item.error(format!(
            "{address}/{prefix_len} is the network's own or broadcast address, not a host's"
        ));
    }
    let Some(item) = table.get("gateway") else { return Ok(()) };
    let Some(prefix) = prefix else {
        let brings = if text == "dhcp" { ", which brings its own" } else { "" };
        return item.error(format!("has no use with ipv4 = {text:?}{brings}"));
    };
    let Ipv4Prefix { address, prefix_len } = prefix;
    match item.text()?.parse::<Ipv4Addr>() {
        Ok(gateway)
            if gateway == address
                || !prefix.contains(gateway)
                || !(Ipv4Prefix { address: gateway, prefix_len }).is_host() =>
        {
            item.error(format!("{gateway} is not another host in the network of {address}/{prefix_len}"))
        }
        _ => Ok(()),
    }
}

/// Of an interface whose manifest has no `ipv6`.
fn is_without_ipv6(table: &Table<'_>) -> Result<(), Error> {
    if let Some(item) = table.get("gateway6") {
        return item.error("has no use without ipv6".to_owned());
    }
    match table.get("ipv4") {
        Some(item) if item.text()? == "none" => {
            item.error("\"none\" without ipv6 leaves the interface without an address".to_owned())
        }
        _ => Ok(()),
    }
}

fn ipv6_fits(table: &Table<'_>) -> Result<(), Error> {
    let Some(item) = table.get("ipv6") else { return Ok(()) };
    let text = item.text()?;
    let prefix: Option<Ipv6Prefix> = text.parse().ok();
    if let Some((prefix, why)) = prefix.and_then(|prefix| Some((prefix, prefix.why_not_a_host()?))) {
        return item.error(format!("{prefix} {why}"));
    }
    if text == "none" {
        ipv4_is_there(table)?;
    } else {
        mtu_is_enough(table)?;
    }
    let Some(item) = table.get("gateway6") else { return Ok(()) };
    let Some(prefix) = prefix else {
        let advertise = if text == "auto" { ", whose routers advertise themselves" } else { "" };
        return item.error(format!("has no use with ipv6 = {text:?}{advertise}"));
    };
    match item.text()?.parse::<Ipv6Addr>() {
        Ok(gateway) if !prefix.reaches_gateway(gateway) => {
            item.error(format!("{gateway} is neither link-local nor another host in the network of {prefix}"))
        }
        _ => Ok(()),
    }
}

/// Of an interface whose `ipv6` is `none`.
fn ipv4_is_there(table: &Table<'_>) -> Result<(), Error> {
    match table.get("ipv4") {
        Some(item) if item.text()? == "none" => {
            item.error("\"none\" with ipv6 = \"none\" leaves the interface without an address".to_owned())
        }
        _ => Ok(()),
    }
}

fn mtu_is_enough(table: &Table<'_>) -> Result<(), Error> {
    let Some(item) = table.get("mtu") else { return Ok(()) };
    match item.integer()?.parse::<u16>() {
        Ok(mtu @ ..LEAST_MTU_OF_IPV6) => {
            item.error(format!("{mtu} is less than the {LEAST_MTU_OF_IPV6} octets that IPv6 needs"))
        }
        _ => Ok(()),
    }
}
