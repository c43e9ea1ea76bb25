//! What `testssl.sh` has to find at the web server with TLS and a certificate of an authority, wherever it runs. The tool's boot tests have
//! it by its path; beside it there is a module `testssl`.

use super::testssl::{Findings, check, grade, worse_than_low};

/// Looks at all that it has found.
pub fn is_a_plus(all: &Findings) {
    let bad = worse_than_low(all, &[]);
    assert!(bad.is_empty(), "{bad:#?}");
    for (id, wanted) in [
        ("TLS1_1", "not offered"),
        ("TLS1_2", "offered"),
        ("TLS1_3", "offered with final"),
        ("ALPN_HTTP2", "h2"),
        ("cipherlist_AVERAGE", "not offered"),
        ("cert_trust", "Ok"),
        ("HSTS_time", "365 days"),
        ("X-Content-Type-Options", "nosniff"),
        ("Content-Security-Policy", "default-src 'self'"),
    ] {
        check(all, id, wanted);
    }
    assert_eq!(grade(all), ("A+", [100, 90, 90]), "{all:#?}");
    // The rules are not so that anything passes.
    let without = |id: &str| {
        let mut all = all.clone();
        all.remove(id);
        grade(&all).0
    };
    assert_eq!([without("HSTS_time"), without("cert_trust"), without("heartbleed")], ["A", "T", "F"]);
}
