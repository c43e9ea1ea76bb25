//! How a name is shown to be ours: `http-01` (RFC 8555 section 8.3) and `tls-alpn-01` (RFC 8737).

use crate::wire::{Authorization, Offered};
use crate::{Account, Error, Problem, Url, jws};
use alloc::string::String;
use sha2::{Digest, Sha256};

/// A way to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A text under a path of port 80.
    Http,
    /// A certificate on port 443.
    TlsAlpn,
}

impl Way {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http-01",
            Self::TlsAlpn => "tls-alpn-01",
        }
    }
}

/// What has to be shown, until the authority has looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// How.
    pub way: Way,
    /// The name, or address.
    pub name: String,
    /// The last part of the path with `http-01`.
    pub token: String,
    /// The text there (section 8.1).
    pub key_authorization: String,
    /// Where the authority is told that it may look.
    pub(crate) url: Url,
    /// What the authority had against it before it was told so, the last time.
    pub(crate) known: Option<Problem>,
}

impl Challenge {
    /// The first way of `ways` that the authority offers.
    pub(crate) fn choose(
        authorization: &Authorization,
        ways: &[Way],
        account: &Account,
    ) -> Result<Self, Error> {
        let offered = |way: &Way| {
            let is_it = |offered: &&Offered| offered.kind == way.name() && offered.has_token();
            let offered = authorization.challenges.iter().find(is_it)?;
            Some((*way, offered, offered.url.clone()?))
        };
        let name = crate::error::bounded(&authorization.identifier.value);
        let Some((way, offered, url)) = ways.iter().find_map(offered) else {
            return Err(Error::NoChallenge(name));
        };
        let (token, known) = (offered.token.clone(), offered.error.clone());
        let key_authorization = jws::key_authorization(&token, &account.key);
        Ok(Self { way, name, token, key_authorization, url, known })
    }

    /// What an authorization says of it.
    pub(crate) fn of<'a>(&self, authorization: &'a Authorization) -> Option<&'a Offered> {
        authorization.challenges.iter().find(|offered| offered.url.as_ref() == Some(&self.url))
    }

    /// What the certificate has with `tls-alpn-01` (RFC 8737 section 3).
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.key_authorization.as_bytes()).into()
    }
}
