//! Clients' certificates: who has to have signed them, as files of a disk, `client-ca.pem` and `client-crl.pem`.

use super::{PairError, disk};
use crate::files::Store;
use alloc::format;
use alloc::string::String;
use fata_libos::block::Disk;
use fata_tls::{ClientCertificates, ConfigError, ServerConfig};

/// The file of those who sign clients' certificates.
pub(super) const AUTHORITIES: &str = "client-ca.pem";
/// The file of what they have revoked (RFC 5280 section 5), which may be there too.
pub(super) const REVOKED: &str = "client-crl.pem";

/// The longest list of authorities, and of what they have revoked, octets.
const MOST: u64 = 64 << 10;
const MOST_REVOKED: u64 = 256 << 10;

/// Whose certificates clients are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Clients {
    which: ClientCertificates,
    authorities: String,
    revoked: Option<String>,
    is_of_disk: bool,
}

impl Clients {
    /// Certificates that one of these authorities has signed, a PEM text.
    pub fn new(which: ClientCertificates, authorities: &str) -> Self {
        Self { which, authorities: authorities.into(), revoked: None, is_of_disk: false }
    }

    /// What a boot parameter says: `require`, `ask`, or `off`, which is none.
    pub fn which(said: &str) -> Result<Option<ClientCertificates>, String> {
        match said {
            "require" => Ok(Some(ClientCertificates::Required)),
            "ask" => Ok(Some(ClientCertificates::Asked)),
            "off" => Ok(None),
            _ => Err(format!("\"{said}\" is none of require, ask, off")),
        }
    }

    /// Those of a disk's root; `None` where it has no authorities. With revocation lists beside them each client's certificate
    /// is refused of whose authority there is no list of now ([`ServerConfig::revocation_lists`]).
    pub async fn of_disk(store: &Store, which: ClientCertificates) -> Result<Option<Self>, PairError> {
        let revoked = disk::text(store, REVOKED, MOST_REVOKED).await?;
        let Some(mut authorities) = disk::text(store, AUTHORITIES, MOST).await? else {
            // Whom they would be lists of, nobody says.
            return revoked.map_or(Ok(None), |_| Err(missing(AUTHORITIES)));
        };
        Ok(Some(Self {
            which,
            authorities: core::mem::take(&mut *authorities),
            revoked: revoked.map(|mut text| core::mem::take(&mut *text)),
            is_of_disk: true,
        }))
    }

    /// What the disk has now in place of these; `None` where that is the same. What was there and is not any more is an error: nobody
    /// is let in because a file is just being written.
    pub(super) async fn other(&self, disk: &Disk) -> Result<Option<Self>, PairError> {
        match Self::of_disk(&disk::open(disk).await?, self.which).await? {
            None if self.is_of_disk => Err(missing(AUTHORITIES)),
            Some(other) if other.revoked.is_none() && self.revoked.is_some() => Err(missing(REVOKED)),
            other => Ok(other.filter(|other| other != self)),
        }
    }

    /// A configuration that asks for them.
    pub(super) fn ask(&self, config: ServerConfig) -> Result<ServerConfig, ConfigError> {
        let config = config.client_certificates(self.which, &self.authorities)?;
        match &self.revoked {
            Some(revoked) => config.revocation_lists(revoked),
            None => Ok(config),
        }
    }
}

fn missing(file: &str) -> PairError {
    PairError::File(format!("{file} is not there"))
}
