//! Certificates that clients show to the guest.

use anyhow::{Result, ensure};

use super::SOON;
use crate::xen_host::Host;

/// Certificates with their keys, and what is said to who shows one.
const SHOWN: [(&str, &str, &str, &str); 3] = [
    (
        "client",
        include_str!("../../../../tls/tests/certificates/client.pem"),
        include_str!("../../../../tls/tests/certificates/client-key.pem"),
        "200",
    ),
    (
        "stranger",
        include_str!("../../../../tls/tests/certificates/stranger.pem"),
        include_str!("../../../../tls/tests/certificates/stranger-key.pem"),
        "alert unknown ca",
    ),
    (
        "expired",
        include_str!("../../../../tls/tests/certificates/expired.pem"),
        include_str!("../../../../tls/tests/certificates/expired-key.pem"),
        "alert certificate expired",
    ),
];

/// curl's options for the certificate that is good.
pub const OWN: &str = "--cert /tmp/client.pem --key /tmp/client-key.pem";

/// Puts all of them into dom0.
pub fn put(host: &Host) -> Result<()> {
    for (name, certificate, key, _) in SHOWN {
        host.put(&format!("/tmp/{name}.pem"), certificate.as_bytes())?;
        host.put(&format!("/tmp/{name}-key.pem"), key.as_bytes())?;
    }
    Ok(())
}

/// Who is let in, and what the others are told, in both versions.
pub fn are_told_apart(host: &Host) -> Result<()> {
    // RFC 5246 has no alert of its own for a certificate that is missing.
    for (version, missing) in
        [("--tlsv1.3", "alert certificate required"), ("--tls-max 1.2", "handshake failure")]
    {
        let shown = SHOWN
            .map(|(name, _, _, said)| (format!("--cert /tmp/{name}.pem --key /tmp/{name}-key.pem"), said));
        for (own, wanted) in shown.into_iter().chain([(String::new(), missing)]) {
            let ask = format!(
                "curl -sS --http1.1 --max-time 20 --cacert /tmp/made.pem {version} {own} --resolve server.test:443:10.0.2.15 \
                 -o /dev/null -w '%{{http_code}}' https://server.test/ 2>&1"
            );
            let said = host.sh(&ask, SOON)?.stdout;
            // So says curl of that alert where it comes before the handshake's end.
            let is_said = said.contains(wanted)
                || wanted.ends_with("expired") && said.contains("SSL certificate verification failed");
            ensure!(is_said, "{version} {own}: not {wanted}, but {said}");
        }
    }
    Ok(())
}
