//! An order as boot parameters and disks have it.

use super::{ExternalAccount, Kept, Order, Settings, Terms, Way};
use crate::Result;
use crate::net::Stack;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use fata_libos::block::Disk;
use fata_tls::ClientConfig;

/// The longest text of roots, octets.
const MOST_ROOTS: u64 = 256 << 10;

/// What the boot parameters `acme`, `acme-terms`, `acme-contact`, `acme-ways`, `acme-eab-kid` and `acme-eab-key` say, and the disks `acme` and `roots`.
pub struct Asked<'a> {
    /// The authority's directory, a URL of `https`.
    pub directory: &'a str,
    /// Whether its terms of service are agreed to.
    pub terms: Terms,
    /// Addresses of mail, with commas between; there may be none.
    pub contacts: &'a str,
    /// `http-01` and `tls-alpn-01`, the dearest first, with commas between.
    pub ways: &'a str,
    /// Of these the ones that nobody could answer, and what says so: they are left out.
    pub ruled_out: &'a [(Way, &'a str)],
    /// The name of the key of an account that the authority knows otherwise, and that key in base64url.
    pub external: (Option<&'a str>, Option<&'a str>),
    /// What keeps account and certificate.
    pub disk: Option<Disk>,
    /// What has the certificates of who is trusted when the authority is asked, PEM; without it those that browsers trust are.
    pub roots: Option<Disk>,
}

impl Asked<'_> {
    /// [Ruled out](Self::ruled_out) where clients have to show certificates: an authority that asks by `tls-alpn-01` shows none.
    pub const BY_CLIENT_CERTIFICATES: (Way, &'static str) =
        (Way::TlsAlpn, "client-certificates=require rules tls-alpn-01 out");

    /// Looks at what was kept for these names. Nothing is asked yet.
    pub async fn open(self, stack: &Stack, names: &[&str]) -> Result<Kept> {
        if self.terms != Terms::Agreed {
            return Err(
                "acme: acme-terms=on agrees to the authority's terms of service; read them first".into()
            );
        }
        let Some(disk) = self.disk else {
            return Err(
                "acme: no disk acme, on which account and certificate are kept (256 KiB of zeros at least)"
                    .into(),
            );
        };
        let contacts: Vec<&str> = self.contacts.split(',').filter(|c| !c.is_empty()).collect();
        let order = Order {
            directory: self.directory,
            names,
            contacts: &contacts,
            terms: self.terms,
            ways: &ways(self.ways, self.ruled_out)?,
            roots: roots(self.roots).await?,
        };
        let opened = order.open_with(settings(self.external)?, stack, &disk).await;
        Ok(opened.map_err(|error| format!("acme: {error}"))?)
    }
}

/// The account's, where the authority knows it otherwise.
fn settings(external: (Option<&str>, Option<&str>)) -> Result<Settings> {
    match external {
        (None, None) => Ok(Settings::default()),
        (Some(name), Some(key)) => {
            let account = ExternalAccount::new(name, key).map_err(|error| format!("acme: {error}"))?;
            Ok(Settings::default().external_account(account))
        }
        _ => Err("acme: acme-eab-kid and acme-eab-key belong together".into()),
    }
}

/// Those that are named and can be answered.
fn ways(named: &str, ruled_out: &[(Way, &str)]) -> Result<Vec<Way>> {
    let mut ways = named.split(',').map(way).collect::<Result<Vec<Way>>>()?;
    ways.retain(|way| ruled_out.iter().all(|(other, _)| other != way));
    if ways.is_empty() {
        let why: Vec<&str> = ruled_out.iter().map(|(_, why)| *why).collect();
        return Err(format!("acme: no way is left of acme-ways={named}: {}", why.join(", ")).into());
    }
    Ok(ways)
}

fn way(name: &str) -> Result<Way> {
    match name {
        "http-01" => Ok(Way::Http),
        "tls-alpn-01" => Ok(Way::TlsAlpn),
        other => Err(format!("acme: acme-ways has {other:?}; there are http-01 and tls-alpn-01").into()),
    }
}

/// Whom to trust when the authority is asked.
async fn roots(disk: Option<Disk>) -> Result<ClientConfig> {
    let Some(disk) = disk else { return usual_roots() };
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    const BY_CLIENTS: (Way, &str) = Asked::BY_CLIENT_CERTIFICATES;
    const BY_HTTP: (Way, &str) = (Way::Http, "http=off");

    #[test]
    fn ways_that_nobody_could_answer_are_left_out() {
        let both = "tls-alpn-01,http-01";
        for (named, ruled_out, left) in [
            (both, &[][..], &[Way::TlsAlpn, Way::Http][..]),
            (both, &[BY_CLIENTS], &[Way::Http]),
            (both, &[BY_HTTP], &[Way::TlsAlpn]),
            ("http-01", &[BY_CLIENTS], &[Way::Http]),
        ] {
            assert_eq!(ways(named, ruled_out).unwrap(), left, "{named} {ruled_out:?}");
        }
        for (named, ruled_out) in
            [(both, &[BY_HTTP, BY_CLIENTS][..]), ("http-01", &[BY_HTTP]), ("tls-alpn-01", &[BY_CLIENTS])]
        {
            let said = ways(named, ruled_out).unwrap_err().to_string();
            assert!(said.contains(named) && ruled_out.iter().all(|(_, why)| said.contains(why)), "{said}");
        }
    }
}
