//! How a name is shown to be ours: `http-01` (RFC 8555 section 8.3) and `tls-alpn-01` (RFC 8737).

use crate::wire::{Authorization, Offered, Status};
use crate::{Account, Error, Problem, Url, jws};
use alloc::string::{String, ToString};
use fata_tls::issue::Name;
use sha2::{Digest, Sha256};

/// How often an authority may be asked after it was told to look before it counts as having looked in vain once more, with the same to
/// say as before.
const OLD_ERROR_POLLS: u32 = 2;

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
        name: &Name,
        ways: &[Way],
        account: &Account,
    ) -> Result<Self, Error> {
        let offered = |way: &Way| {
            let is_it = |offered: &&Offered| offered.kind == way.name() && offered.has_token();
            let offered = authorization.challenges.iter().find(is_it)?;
            Some((*way, offered, offered.url.clone()?))
        };
        let name = name.to_string();
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

    /// Why the authority has not found it after it was told to look. What it had against others, or against this one before, says nothing.
    pub(crate) fn in_vain(&self, authorization: &Authorization, polls: u32) -> Option<Problem> {
        let ours = self.of(authorization)?;
        // It goes on by itself.
        if ours.status == Some(Status::Processing) {
            return None;
        }
        let is_new = ours.error != self.known || polls > OLD_ERROR_POLLS;
        ours.error.clone().filter(|_| is_new)
    }

    /// What the certificate has with `tls-alpn-01` (RFC 8737 section 3).
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.key_authorization.as_bytes()).into()
    }
}

/// The problem is that of the challenge which the authority was told of, or of another one that has ended it.
pub(crate) fn not_ours(authorization: &Authorization, challenge: Option<&Challenge>) -> Error {
    let ours = challenge.and_then(|challenge| challenge.of(authorization)?.error.clone());
    let any = || authorization.challenges.iter().find_map(|challenge| challenge.error.clone());
    let nothing = Problem { kind: String::new(), detail: String::new() };
    Error::NotOurs {
        name: crate::error::bounded(&authorization.identifier.value),
        problem: ours.or_else(any).unwrap_or(nothing),
    }
}
