//! What has to outlive a restart, as octets: `fata-acme 1 LENGTH SHA256`, a line feed, and so many octets of fields, each `NAME LENGTH`, a
//! line feed, so many octets, a line feed. What is behind is not looked at, so that a block device's sectors may hold it.

use crate::{Account, Error, Issued, Names, Url};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use fata_tls::ServerConfig;
use fata_tls::issue::PrivateKey;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// What the octets begin with. Another version has another number.
const MAGIC: &str = "fata-acme 1";
/// Octets of a state, at most: two keys, a chain and a hundred names.
const MAX_STATE: usize = 256 * 1024;

/// What has to outlive a restart. It has private keys: where it is kept, they are.
#[derive(Clone, Debug)]
pub struct State {
    /// The directory of the authority that knows the account.
    pub authority: Url,
    /// The account.
    pub account: Account,
    /// The last certificate, and what it was asked for.
    pub certificate: Option<(Names, Issued)>,
}

impl State {
    /// Octets of a state, at most.
    pub const MAX_LEN: usize = MAX_STATE;

    /// As octets, which are zeroed when they are dropped.
    pub fn to_octets(&self) -> Result<Zeroizing<Vec<u8>>, Error> {
        let account_key = self.account.key.to_pem()?;
        let names = self.certificate.as_ref().map(|(names, _)| texts(names));
        let mut fields = Vec::new();
        fields.push(("authority", self.authority.as_str()));
        fields.push(("account-key", account_key.as_str()));
        if let Some(url) = &self.account.url {
            fields.push(("account", url.as_str()));
        }
        if let (Some(names), Some((_, issued))) = (&names, &self.certificate) {
            fields.push(("names", names));
            fields.push(("chain", &issued.chain_pem));
            fields.push(("key", &issued.key_pem));
        }
        let length = fields.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
        // At once as long as it gets: what growing leaves behind would not be zeroed.
        let mut body = Zeroizing::new(Vec::with_capacity(length));
        for (name, value) in fields {
            for part in
                [name.as_bytes(), b" ", value.len().to_string().as_bytes(), b"\n", value.as_bytes(), b"\n"]
            {
                body.extend_from_slice(part);
            }
        }
        let head = format!("{MAGIC} {} {}\n", body.len(), hex(&Sha256::digest(&*body)));
        let mut octets = Zeroizing::new(Vec::with_capacity(head.len() + body.len()));
        octets.extend_from_slice(head.as_bytes());
        octets.extend_from_slice(&body);
        Ok(octets)
    }

    /// From octets: those that [`to_octets`](Self::to_octets) gave, and any behind them.
    pub fn from_octets(octets: &[u8]) -> Result<Self, Error> {
        let (head, rest) = line(octets).ok_or(Error::BadState("it has no first line"))?;
        let (length, digest) = head
            .strip_prefix(MAGIC)
            .and_then(|head| head.strip_prefix(' ')?.split_once(' '))
            .ok_or(Error::BadState("it is of no version that is known"))?;
        let length = length.parse().ok().filter(|length| *length <= MAX_STATE);
        let body = length.and_then(|length| rest.get(..length)).ok_or(Error::BadState("it is cut off"))?;
        if hex(&Sha256::digest(body)) != digest {
            return Err(Error::BadState("its checksum is wrong"));
        }
        read(body).ok_or(Error::BadState("a field is missing or broken"))
    }
}

fn read(mut body: &[u8]) -> Option<State> {
    let mut fields: Vec<(&str, &str)> = Vec::new();
    while !body.is_empty() {
        let (head, rest) = line(body)?;
        let (name, length) = head.split_once(' ')?;
        let (value, rest) = rest.split_at_checked(length.parse().ok()?)?;
        fields.push((name, core::str::from_utf8(value).ok()?));
        body = rest.strip_prefix(b"\n")?;
    }
    let field = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| *value);
    let certificate = match (field("names"), field("chain"), field("key")) {
        (Some(names), Some(chain), Some(key)) => {
            let names = Names::parse(&names.split(' ').collect::<Vec<_>>()).ok()?;
            ServerConfig::from_pem(chain, key).ok()?;
            Some((names, Issued { chain_pem: chain.into(), key_pem: Zeroizing::new(key.into()) }))
        }
        _ => None,
    };
    let url = match field("account") {
        Some(url) => Some(Url::new(url).ok()?),
        None => None,
    };
    let key = PrivateKey::from_pem(field("account-key")?).ok()?;
    Some(State { authority: Url::new(field("authority")?).ok()?, account: Account { key, url }, certificate })
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
mod tests {
    use super::*;
    use fata_libos::testing::run;
    use fata_libos::time::SystemTime;
    use fata_tls::issue::{MAX_DATE, self_signed};

    fn state(url: Option<&str>, names: &[&str]) -> State {
        let issued = (!names.is_empty()).then(|| self_signed(names, SystemTime::now(), MAX_DATE).unwrap());
        let url = url.map(|url| Url::new(url).unwrap());
        State {
            authority: Url::new("https://a.test/dir").unwrap(),
            account: Account { url, ..Account::generate().unwrap() },
            certificate: issued.map(|issued| (Names::parse(names).unwrap(), issued)),
        }
    }

    #[test]
    fn states_go_there_and_back() {
        run(async {
            for (url, names) in [
                (None, &[][..]),
                (Some("https://a.test/acct/1"), &[]),
                (Some("https://a.test/acct/1"), &["a.test", "10.0.0.2"]),
            ] {
                let state = state(url, names);
                let mut octets = state.to_octets().unwrap().to_vec();
                octets.extend([0; 512]);
                let read = State::from_octets(&octets).unwrap();
                assert_eq!(read.to_octets().unwrap()[..], octets[..octets.len() - 512]);
                assert_eq!(read.account.url, state.account.url);
                assert_eq!(read.account.key.public(), state.account.key.public());
                let certificate = |state: State| state.certificate.map(|(n, i)| (n, i.chain_pem, i.key_pem));
                assert_eq!(certificate(read), certificate(state));
            }
        });
    }

    #[test]
    fn what_is_broken_is_an_error() {
        run(async {
            let octets = state(Some("https://a.test/acct/1"), &["a.test"]).to_octets().unwrap();
            for end in 0..octets.len() {
                assert!(State::from_octets(&octets[..end]).is_err(), "cut at {end}");
                let mut changed = octets.to_vec();
                changed[end] ^= 1;
                assert!(State::from_octets(&changed).is_err(), "changed at {end}");
            }
            let empty = [&b""[..], &[0; 512], b"fata-acme 2 0 \n"];
            for octets in empty {
                assert!(State::from_octets(octets).is_err());
            }
            // A body with a checksum, but no state.
            for body in ["", "authority 3\nabc\n", "a 99999999999999999999\n", "a 5\nb", "a\n", "a -1\n\n"] {
                let digest = hex(&Sha256::digest(body.as_bytes()));
                let octets = format!("{MAGIC} {} {digest}\n{body}", body.len());
                let broken = Error::BadState("a field is missing or broken");
                assert_eq!(State::from_octets(octets.as_bytes()).unwrap_err(), broken, "{body}");
            }
            let long = format!("{MAGIC} {} {}\n", MAX_STATE + 1, hex(&[0; 32]));
            let octets = [long.as_bytes(), &vec![0; MAX_STATE + 1]].concat();
            assert_eq!(State::from_octets(&octets).unwrap_err(), Error::BadState("it is cut off"));
        });
    }
}
