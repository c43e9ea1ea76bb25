//! A client's hello taken apart, to be put together wrongly (RFC 8446 section 4.1.2).

/// Numbers of extensions (RFC 8446 section 4.2).
pub const SERVER_NAME: u16 = 0;
pub const GROUPS: u16 = 10;
pub const POINT_FORMATS: u16 = 11;
pub const SCHEMES: u16 = 13;
pub const PROTOCOLS: u16 = 16;
pub const EXTENDED_MASTER_SECRET: u16 = 23;
pub const TICKET: u16 = 35;
pub const PRE_SHARED_KEY: u16 = 41;
pub const EARLY_DATA: u16 = 42;
pub const VERSIONS: u16 = 43;
pub const MODES: u16 = 45;
pub const KEY_SHARE: u16 = 51;

/// Which version a hello is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    Tls13,
    Tls12,
}

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

impl Hello {
    /// One with which nothing is wrong, for `server.test`.
    pub fn new(version: For) -> Self {
        let mut hello = Self {
            version: [3, 3],
            random: vec![7; 32],
            session: vec![],
            suites: vec![0xc0, 0x2b, 0xc0, 0x2f, 0xcc, 0xa9],
            compression: vec![0],
            extensions: Vec::new(),
            tail: Vec::new(),
        };
        hello.add(SERVER_NAME, &[&[0, 14, 0, 0, 11][..], b"server.test"].concat());
        hello.add(GROUPS, &[0, 4, 0, 29, 0, 23]);
        hello.add(SCHEMES, &[0, 6, 4, 3, 8, 7, 8, 4]);
        match version {
            For::Tls12 => {
                hello.add(POINT_FORMATS, &[1, 0]);
                hello.add(EXTENDED_MASTER_SECRET, &[]);
                hello.add(TICKET, &[]);
            }
            For::Tls13 => {
                hello.session = vec![5; 32];
                hello.suites = vec![0x13, 1, 0x13, 2, 0x13, 3];
                hello.add(VERSIONS, &[2, 3, 4]);
                hello.add(KEY_SHARE, &[]);
                hello.share(29, &[9; 32]);
                hello.add(MODES, &[1, 1]);
            }
        }
        hello
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
