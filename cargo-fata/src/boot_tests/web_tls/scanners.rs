//! `testssl.sh` in full at the guest, with a certificate of an authority.

#[path = "../../../../apps/web/tests/common/authority.rs"]
pub mod authority;
#[path = "../../../../apps/web/tests/common/graded.rs"]
mod graded;
#[path = "../../../../tls/tests/common/testssl.rs"]
mod testssl;

use std::fs;

use anyhow::{Context, Result};

use super::{IMAGE, PORT, and_leaves, disk, serve};
use crate::boot_tests::temporary;
use crate::xen_host::Host;
use authority::Authority;

/// What each check finds, and the grade: as of a process (`check::web_scanners`).
pub fn testssl(host: &mut Host) -> Result<()> {
    let authority = Authority::new(&temporary("testssl"), &["localhost"]);
    let (_, disk) = disk(host, &fs::read(authority.archive())?, "ro")?;
    let guest = serve(host, IMAGE, &disk, "")?;
    let port = host.forwarded(PORT).context("no port leads to the guest")?;
    let root = authority.file("root.pem").display().to_string();
    let all = testssl::findings(&format!("localhost:{port}"), &root, &[]);
    graded::is_a_plus(&all);
    and_leaves(guest, Ok(()))
}
