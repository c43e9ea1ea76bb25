//! What has to outlive a restart, as octets: a line `fata-acme 2`, then parts, each `part NAME LENGTH SHA256`, a line feed, and so many octets
//! of fields; a field is `NAME LENGTH`, a line feed, so many octets, a line feed. The account is one part, the certificate another: damage to
//! one of them leaves the other. What is behind is not looked at, so that a block device's sectors may hold it.

use crate::{Account, Error, Issued, MAX_BODY, Names, Url};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_tls::ServerConfig;
use fata_tls::issue::{MAX_NAMES, PrivateKey, Validity};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What the octets begin with. Another version has another number.
const MAGIC: &[u8] = b"fata-acme 2\n";
/// Octets of a state, at most.
const MAX_STATE: usize = 120 * 1024;
// The longest that there can be has room in it: two keys and their heads, three URLs, a hundred names, and a chain that came as one answer,
// whose lines may be shorter here than they were there.
const _: () = assert!(8 * 1024 + 3 * 2048 + MAX_NAMES * 256 + MAX_BODY / 64 * 65 + 2048 <= MAX_STATE);
/// The parts.
const ACCOUNT: &str = "account";
const CERTIFICATE: &str = "certificate";
/// How many of each are looked at: a state has one, and what is left of older ones may be behind it.
const MAX_PARTS: usize = 8;

/// What has to outlive a restart. It has private keys: where it is kept, they are.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The account, and the directory of the authority that knows it.
    pub account: Option<(Url, Account)>,
    /// The last certificate.
    pub certificate: Option<Certificate>,
}

/// A certificate that was got.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The directory of the authority that has made it.
    pub authority: Url,
    /// What it was asked for.
    pub names: Names,
    /// It, and its key.
    pub issued: Issued,
}

type Fields<'a> = Vec<(&'static str, &'a str)>;

impl State {
    /// Octets of a state, at most.
    pub const MAX_LEN: usize = MAX_STATE;

    /// As octets, which are zeroed when they are dropped.
    pub fn to_octets(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.account.as_ref().map(|(_, account)| account.key.to_pem()).transpose()?;
        let account = self.account.as_ref().zip(key.as_ref()).map(|((authority, account), key)| {
            let url = account.url.iter().map(|url| ("url", url.as_str()));
            Fields::from_iter([("authority", authority.as_str()), ("key", key)].into_iter().chain(url))
        });
        let names = self.certificate.as_ref().map(|certificate| texts(&certificate.names));
        let certificate = self.certificate.as_ref().zip(names.as_ref()).map(|(certificate, names)| {
            let Certificate { authority, issued, .. } = certificate;
            let (chain, key) = (issued.chain_pem.as_str(), issued.key_pem.as_str());
            Vec::from([("authority", authority.as_str()), ("names", names), ("chain", chain), ("key", key)])
        });
        let parts = [(ACCOUNT, account), (CERTIFICATE, certificate)];
        let parts: Vec<_> =
            parts.into_iter().filter_map(|(name, fields)| Some((name, body(&fields?)))).collect();
        // At once as long as it gets: what growing leaves behind would not be zeroed.
        let length = parts.iter().map(|(_, body)| body.len() + 128).sum::<usize>();
        let mut octets = Zeroizing::new(Vec::with_capacity(MAGIC.len() + length));
        octets.extend_from_slice(MAGIC);
        for (name, body) in parts {
            let head = format!("part {name} {} {}\n", body.len(), hex(&Sha256::digest(&*body)));
            octets.extend_from_slice(head.as_bytes());
            octets.extend_from_slice(&body);
        }
        Ok(octets)
    }

    /// From octets: those that [`to_octets`](Self::to_octets) gave, and any behind them, such as what is left of another state: of each part
    /// the first one that is whole counts, of certificates the one that ends last. A part of which none is whole is as one that is not there,
    /// and an error beside what is left.
    pub fn from_octets(octets: &[u8]) -> (Self, Vec<Error>) {
        let mut errors = Vec::new();
        let mut wrong = |part, why: Option<&'static str>| {
            if let Some(why) = why {
                errors.push(Error::BadState { part, why });
            }
        };
        let (accounts, why) = all(octets, ACCOUNT, read_account);
        wrong(ACCOUNT, why.filter(|_| accounts.is_empty()));
        let (certificates, why) = all(octets, CERTIFICATE, read_certificate);
        wrong(CERTIFICATE, why.filter(|_| certificates.is_empty()));
        let end = |certificate: &Certificate| {
            Validity::of(&certificate.issued.chain_pem).map(|validity| validity.not_after).ok()
        };
        let state = Self {
            account: accounts.into_iter().next(),
            certificate: certificates.into_iter().rev().max_by_key(end),
        };
        if !octets.starts_with(MAGIC) && state.account.is_none() && state.certificate.is_none() {
            wrong("beginning", Some("it is of no version that is known"));
        }
        (state, errors)
    }
}

/// The parts of a name that are whole, some of them at most, and what is wrong with one that is not.
fn all<T>(octets: &[u8], name: &str, read: fn(&[u8]) -> Option<T>) -> (Vec<T>, Option<&'static str>) {
    let begin = format!("part {name} ");
    let begins = octets.windows(begin.len()).enumerate().filter(|(_, window)| *window == begin.as_bytes());
    let (mut parts, mut wrong) = (Vec::new(), None);
    for (at, _) in begins.take(MAX_PARTS) {
        let part = part(octets.get(at + begin.len()..).unwrap_or_default());
        match part.and_then(|body| read(body).ok_or("a field is missing or broken")) {
            Ok(part) => parts.push(part),
            Err(why) => wrong = wrong.or(Some(why)),
        }
    }
    (parts, wrong)
}

fn body(fields: &Fields<'_>) -> Zeroizing<Vec<u8>> {
    let length = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    let mut body = Zeroizing::new(Vec::with_capacity(length));
    for (name, value) in fields {
        let length = value.len().to_string();
        for part in [name.as_bytes(), b" ", length.as_bytes(), b"\n", value.as_bytes(), b"\n"] {
            body.extend_from_slice(part);
        }
    }
    body
}

/// The fields of a part, behind its name: whatever stands before it may be damaged. No text of a field has such a name in it.
fn part(rest: &[u8]) -> Result<&[u8], &'static str> {
    let (head, rest) = line(rest).ok_or("its first line is broken")?;
    let (length, digest) = head.split_once(' ').ok_or("its first line is broken")?;
    let length = length.parse().ok().filter(|length| *length <= MAX_STATE);
    let body = length.and_then(|length| rest.get(..length)).ok_or("it is cut off")?;
    if hex(&Sha256::digest(body)) == digest { Ok(body) } else { Err("its checksum is wrong") }
}

fn read_account(body: &[u8]) -> Option<(Url, Account)> {
    let field = fields(body)?;
    let url = match field("url") {
        Some(url) => Some(Url::new(url).ok()?),
        None => None,
    };
    let key = PrivateKey::from_pem(field("key")?).ok()?;
    Some((Url::new(field("authority")?).ok()?, Account { key, url }))
}

fn read_certificate(body: &[u8]) -> Option<Certificate> {
    let field = fields(body)?;
    let (chain, key) = (field("chain")?, field("key")?);
    // That they are a certificate and its key.
    ServerConfig::from_pem(chain, key).ok()?;
    Some(Certificate {
        authority: Url::new(field("authority")?).ok()?,
        names: Names::parse(&field("names")?.split(' ').collect::<Vec<_>>()).ok()?,
        issued: Issued { chain_pem: chain.into(), key_pem: Zeroizing::new(key.into()) },
    })
}

fn fields<'a>(mut body: &'a [u8]) -> Option<impl Fn(&'static str) -> Option<&'a str>> {
    let mut fields: Vec<(&'a str, &'a str)> = Vec::new();
    while !body.is_empty() {
        let (head, rest) = line(body)?;
        let (name, length) = head.split_once(' ')?;
        let (value, rest) = rest.split_at_checked(length.parse().ok()?)?;
        fields.push((name, core::str::from_utf8(value).ok()?));
        body = rest.strip_prefix(b"\n")?;
    }
    Some(move |name: &'static str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| *value))
}

/// The first line, without what ends it, and the rest. It is short.
fn line(octets: &[u8]) -> Option<(&str, &[u8])> {
    let end = octets.iter().take(128).position(|octet| *octet == b'\n')?;
    let (line, rest) = octets.split_at_checked(end)?;
    Some((core::str::from_utf8(line).ok()?, rest.get(1..)?))
}

fn texts(names: &Names) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests;
