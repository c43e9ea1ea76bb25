//! What every response over HTTPS says beside its content: that browsers are to come back by HTTPS (RFC 6797), and what they are not
//! to do with it.

use alloc::string::String;
use core::fmt::Write;
use fata::time::Duration;

/// What does not depend on parameters.
const FIXED: &str = "X-Content-Type-Options: nosniff\r\n\
                     X-Frame-Options: DENY\r\n\
                     Referrer-Policy: strict-origin-when-cross-origin\r\n\
                     Cross-Origin-Opener-Policy: same-origin\r\n\
                     Cross-Origin-Resource-Policy: same-origin\r\n";

/// The lines. `transport` is how long browsers ask for HTTPS at once, whole seconds; none: they are not told. `policy` is a
/// Content-Security-Policy; empty: there is none.
pub fn lines(transport: Duration, policy: &str) -> String {
    let mut lines = String::from(FIXED);
    if transport.as_secs() > 0 {
        let _ = write!(lines, "Strict-Transport-Security: max-age={}\r\n", transport.as_secs());
    }
    if !policy.is_empty() {
        // What is no part of a field's value cannot begin another field.
        let policy = policy.chars().map(|c| if c.is_ascii_graphic() { c } else { ' ' });
        lines.push_str("Content-Security-Policy: ");
        lines.extend(policy);
        lines.push_str("\r\n");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_there() {
        let lines = lines(Duration::from_secs(60), "default-src 'self'\r\nX: y");
        assert!(lines.contains("\r\nStrict-Transport-Security: max-age=60\r\n"), "{lines}");
        assert!(lines.ends_with("\r\nContent-Security-Policy: default-src 'self'  X: y\r\n"), "{lines}");
        let lines = super::lines(Duration::ZERO, "");
        assert!(!lines.contains("Strict-Transport") && !lines.contains("Content-Security"), "{lines}");
    }
}
