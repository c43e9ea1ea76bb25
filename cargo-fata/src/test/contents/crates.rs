//! The crates that images have something of: each list is for what an appliance names.

/// What every image has.
pub const ALWAYS: &[&str] = &[
    "__rustc",
    "alloc",
    "async_task",
    "core",
    "fata",
    "fata_libos",
    "fata_xen",
    "log",
    "rlsf",
    "spin",
    "thiserror",
];

/// Devices where no Xen is below, of networks and disks.
pub const VIRTIO: &[&str] = &["bitflags", "fata_virtio", "virtio_drivers"];

/// Network interfaces and IP.
pub const NETWORK: &[&str] = &["fata_netstack", "hashbrown", "smoltcp"];

/// Streams of TCP.
pub const STREAMS: &[&str] = &["embedded_io_async"];

/// The HTTP server.
pub const HTTP: &[&str] = &["fata_http"];

/// What serves a folder.
pub const SITE: &[&str] = &["web_site"];

/// TLS: rustls, what it speaks of, keys, hashes and ciphers. The generator of random octets has a ChaCha20 of its own.
pub const TLS: &[&str] = &[
    "aes",
    "aes_gcm",
    "base64ct",
    "block_buffer",
    "chacha20",
    "chacha20poly1305",
    "cipher",
    "cmov",
    "const_oid",
    "cpufeatures",
    "crypto_bigint",
    "ctr",
    "ctutils",
    "curve25519_dalek",
    "der",
    "digest",
    "ecdsa",
    "ed25519",
    "ed25519_dalek",
    "elliptic_curve",
    "embedded_io",
    "fata_aead",
    "fata_tls",
    "ff",
    "ghash",
    "group",
    "hmac",
    "hybrid_array",
    "inout",
    "p256",
    "pem_rfc7468",
    "pkcs8",
    "poly1305",
    "polyval",
    "primefield",
    "primeorder",
    "rfc6979",
    "rustls",
    "rustls_pki_types",
    "sec1",
    "sha2",
    "signature",
    "spki",
    "subtle",
    "typenum",
    "universal_hash",
    "untrusted",
    "webpki",
    "x25519_dalek",
    "zeroize",
];

/// Responses of OCSP that are shown beside a certificate of a disk name its issuer by SHA-1 (RFC 6960 section 4.1.1).
pub const OCSP: &[&str] = &["sha1"];

/// Stores and archives on block devices.
pub const STORAGE: &[&str] = &["crc", "fata_storage"];

/// Archives that are compressed.
pub const ARCHIVES: &[&str] = &["adler2", "miniz_oxide"];

/// FAT volumes.
pub const FAT: &[&str] = &[
    "bytemuck",
    "hadris_common",
    "hadris_fat",
    "hadris_fat_raw",
    "hadris_fs",
    "hadris_io",
    "hadris_storage",
];

/// Signatures that are checked, of servers and of clients.
pub const CHECKING: &[&str] = &["wnaf"];

/// The proxy's own.
pub const PROXY: &[&str] = &["proxy", "proxying"];

/// Certificates from an authority, whose own certificate may have keys of every kind.
pub const ACME: &[&str] = &[
    "fata_acme",
    "memchr",
    "once_cell",
    "p384",
    "pkcs1",
    "portable_atomic",
    "rsa",
    "serde_core",
    "serde_json",
    "zmij",
];

/// The store's own.
pub const KV: &[&str] = &["kv", "kv_core"];

/// iperf's own: streams pass through channels, tests are described in JSON.
pub const IPERF: &[&str] = &[
    "async_channel",
    "concurrent_queue",
    "event_listener",
    "iperf",
    "iperf_core",
    "itoa",
    "memchr",
    "serde_core",
    "serde_json",
    "zmij",
];
