//! A client's hello taken apart, to be put together wrongly (RFC 8446 section 4.1.2).

/// Numbers of extensions (RFC 8446 section 4.2).
pub const SERVER_NAME: u16 = 0;
pub const GROUPS: u16 = 10;
pub const SCHEMES: u16 = 13;
pub const PROTOCOLS: u16 = 16;
pub const EXTENDED_MASTER_SECRET: u16 = 23;
pub const PRE_SHARED_KEY: u16 = 41;
pub const EARLY_DATA: u16 = 42;
pub const VERSIONS: u16 = 43;
pub const MODES: u16 = 45;
pub const KEY_SHARE: u16 = 51;

/// See the module. What has a length of its own on the wire has none here.
#[derive(Clone)]
pub struct Hello {
    pub version: [u8; 2],
    pub random: Vec<u8>,
    pub session: Vec<u8>,
    pub suites: Vec<u8>,
    pub compression: Vec<u8>,
    pub extensions: Vec<(u16, Vec<u8>)>,
    /// Octets behind it, within the message.
    pub tail: Vec<u8>,
}

/// Octets with their length before them, in so many octets.
pub fn sized(width: usize, octets: &[u8]) -> Vec<u8> {
    let len = (octets.len() as u32).to_be_bytes();
    [&len[4 - width..], octets].concat()
}

/// Takes octets with their length before them.
fn take(rest: &mut &[u8], width: usize) -> Vec<u8> {
    let len = rest[..width].iter().fold(0, |len, octet| len << 8 | usize::from(*octet));
    let (octets, after) = rest[width..].split_at(len);
    *rest = after;
    octets.to_vec()
}

impl Hello {
    /// That of a record.
    pub fn of(record: &[u8]) -> Self {
        let mut rest = &record[9..];
        let version = [rest[0], rest[1]];
        let random = rest[2..34].to_vec();
        rest = &rest[34..];
        let (session, suites, compression) = (take(&mut rest, 1), take(&mut rest, 2), take(&mut rest, 1));
        let mut all = &take(&mut rest, 2)[..];
        let mut extensions = Vec::new();
        while !all.is_empty() {
            let kind = u16::from_be_bytes([all[0], all[1]]);
            all = &all[2..];
            extensions.push((kind, take(&mut all, 2)));
        }
        Self { version, random, session, suites, compression, extensions, tail: Vec::new() }
    }

    /// The message.
    pub fn message(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        for (kind, body) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(sized(2, body));
        }
        let body = [
            &self.version[..],
            &self.random,
            &sized(1, &self.session),
            &sized(2, &self.suites),
            &sized(1, &self.compression),
            &sized(2, &extensions),
            &self.tail,
        ];
        [&[1][..], &sized(3, &body.concat())].concat()
    }

    /// The body of an extension.
    pub fn get(&mut self, kind: u16) -> &mut Vec<u8> {
        let found = self.extensions.iter_mut().find(|(k, _)| *k == kind);
        &mut found.unwrap_or_else(|| panic!("no extension {kind}")).1
    }

    pub fn remove(&mut self, kind: u16) {
        self.extensions.retain(|(k, _)| *k != kind);
    }

    /// Puts one at the end.
    pub fn add(&mut self, kind: u16, body: &[u8]) {
        self.extensions.push((kind, body.to_vec()));
    }

    /// One share of a group alone.
    pub fn share(&mut self, group: u16, key: &[u8]) {
        *self.get(KEY_SHARE) = sized(2, &[&group.to_be_bytes()[..], &sized(2, key)].concat());
    }

    /// Offers one pre-shared key, with as many binders as there are `binders`, in its last extension.
    pub fn psk(&mut self, identity: &[u8], binders: &[&[u8]]) {
        let identities = [&sized(2, identity)[..], &[0, 0, 0, 0]].concat();
        let binders: Vec<u8> = binders.iter().flat_map(|binder| sized(1, binder)).collect();
        self.add(PRE_SHARED_KEY, &[sized(2, &identities), sized(2, &binders)].concat());
    }
}
