//! Checks of the source that are no tests of their own: format, lints, documentation, a sanitizer.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};

use crate::setup::{self, Need, target};
use crate::{cargo, command};

/// A cargo command that must succeed.
pub struct Check {
    /// Its name in the report.
    pub name: &'static str,
    /// What cargo is told; several commands with [`THEN`] between them.
    arguments: &'static str,
    environment: &'static [(&'static str, &'static str)],
    /// Only with `--long`.
    long: bool,
}

/// Between two commands of a check.
const THEN: &str = " && ";

/// With these features all of the workspace is checked and tested on this machine. Those of what its packages depend on are then the
/// same in each command, so that nothing is compiled twice.
macro_rules! features {
    () => {
        "fata-http/h2,fata-tls/issue,fata-acme/fetch,fata/acme,fata/fetch,fata/webpki-roots,proxy/acme,proxy/p384,proxy/rsa"
    };
}

/// And with the web server's, of which no other package is another.
macro_rules! features_with_webs {
    () => {
        concat!(features!(), ",web/h2,web/fat,web/client-certificates,web/webpki-roots")
    };
}

/// The features of `cargo test`.
pub const FEATURES: &str = features!();
/// The same with the web server's.
pub const FEATURES_WITH_WEBS: &str = features_with_webs!();

/// Lints the web server with each of these sets of features.
macro_rules! web_with {
    ($($features:literal),*) => {
        concat!($("clippy --quiet --target x86_64-xen-pv -p web --features ", $features, " --lib --bins -- --deny warnings && "),*)
    };
}

const CHECKS: [Check; 11] = [
    Check::new("check::fmt", "fmt --all --check"),
    Check::new(
        "check::clippy",
        concat!("clippy --quiet --workspace --all-targets --features ", features!(), " -- --deny warnings"),
    ),
    // The web server and its tests with its features: all else has been looked at.
    Check::new(
        "check::clippy_web",
        concat!(
            "clippy --quiet --workspace --all-targets --features ",
            features_with_webs!(),
            " -- --deny warnings"
        ),
    ),
    // Code that is there on the guest alone. The tool, its agent, what build scripts call, the fuzz targets and processes are
    // programs of the host.
    Check::new(
        "check::clippy_guest",
        "clippy --quiet --target x86_64-xen-pv --workspace --exclude cargo-fata --exclude fata-build --exclude fata-dom0 \
         --exclude fata-fuzz --exclude fata-unix --exclude web-content --lib --bins \
         --features fata-http/h2,fata-tls/issue,fata-acme/fetch,fata/acme,fata/fetch,fata/webpki-roots -- --deny warnings",
    ),
    // On their own: with examples come what tests depend on, and its features, which are the host's in other packages.
    Check::new(
        "check::clippy_guest_examples",
        "clippy --quiet --target x86_64-xen-pv -p fata -p web --features fata/h2,fata/fetch,fata/webpki-roots --examples -- --deny warnings",
    ),
    // The web server with its features.
    Check::new(
        "check::clippy_guest_web",
        "clippy --quiet --target x86_64-xen-pv -p web --features tls,h2,fat,acme,client-certificates,webpki-roots --lib --bins -- --deny warnings",
    ),
    // Some minutes, of which the machine waits for the most.
    Check {
        long: true,
        ..Check::new("check::web_scanners", "test --quiet -p web --features tls,h2,fat --test scanners")
    },
    // Each alone: what one needs of another would not be found where all are there.
    Check {
        long: true,
        ..Check::new(
            "check::web_each_feature",
            web_with!(
                "disk",
                "tls",
                "tls,disk",
                "h2",
                "fat",
                "client-certificates",
                "rsa",
                "p384",
                "tables",
                "acme,webpki-roots",
                "h2,fat,rsa,p384,tables"
            ),
        )
    },
    Check {
        environment: &[("RUSTDOCFLAGS", "--deny warnings")],
        ..Check::new(
            "check::doc",
            concat!(
                "doc --quiet --workspace --features ",
                features!(),
                " --no-deps --document-private-items"
            ),
        )
    },
    // What is there on the guest alone, where the modules that a module's doc tells of are private for the most part.
    Check {
        environment: &[(
            "RUSTDOCFLAGS",
            "-Zunstable-options --deny warnings --allow rustdoc::private_intra_doc_links",
        )],
        ..Check::new(
            "check::doc_guest",
            "doc --quiet --target x86_64-xen-pv -p fata -p fata-libos -p fata-xen -p fata-virtio -p fata-netstack -p fata-http \
             -p fata-storage -p fata-tls -p fata-acme --features fata-http/h2,fata-acme/fetch --no-deps --document-private-items",
        )
    },
    // Unsafe code on the host, and the fuzz targets over it. Rust's stable toolchain has the sanitizer's library.
    Check {
        // Tests leak what lives for ever, and ask for more memory than there can be.
        environment: &[
            ("RUSTFLAGS", "-Zsanitizer=address"),
            ("ASAN_OPTIONS", "detect_leaks=0:allocator_may_return_null=1"),
        ],
        long: true,
        ..Check::new(
            "check::address_sanitizer",
            "test --quiet --target x86_64-unknown-linux-gnu -p fata-libos -p fata-xen -p fata-virtio -p fata-unix -p fata-fuzz \
             --tests",
        )
    },
];

/// The checks whose names contain `filter`; the long ones only if asked for.
pub fn select(filter: &str, long: bool) -> Vec<&'static Check> {
    CHECKS.iter().filter(|check| check.name.contains(filter) && (long || !check.long)).collect()
}

impl Check {
    const fn new(name: &'static str, arguments: &'static str) -> Self {
        Self { name, arguments, environment: &[], long: false }
    }

    /// Whether it compiles nothing.
    pub fn is_quick(&self) -> bool {
        self.name == "check::fmt"
    }

    /// Runs it; what it said is kept if it fails.
    pub fn run(&self, logs: &Path) -> Result<()> {
        if self.arguments.contains(target::NAME) {
            // Its source may come from a package, whose lists are read by then.
            setup::ensure(&setup::PROGRAMS)?;
            setup::ensure(&[Need::Target])?;
        }
        self.arguments
            .split(THEN)
            .filter(|arguments| !arguments.is_empty())
            .try_for_each(|a| self.run_one(a, logs))
    }

    fn run_one(&self, arguments: &str, logs: &Path) -> Result<()> {
        let output = cargo::compiling()
            .args(arguments.split_ascii_whitespace())
            .envs(self.environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .context("cannot start cargo")?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let log = logs.join(self.name.replace("::", "-")).with_extension("log");
        fs::write(&log, &said)?;
        let tail = command::last_lines(&String::from_utf8_lossy(&said), 20);
        bail!("`cargo {arguments}` failed; all it said: {}\n{tail}", log.display())
    }
}
