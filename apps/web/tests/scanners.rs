//! What `testssl.sh` says of the web server with TLS, as a process with a certificate of an authority: all of its checks, and the grade.
//! They take three minutes: `cargo fata test --long check::web_scanners`.

#[path = "common/authority.rs"]
mod authority;
#[path = "common/graded.rs"]
mod graded;
#[path = "../../../tls/tests/common/testssl.rs"]
mod testssl;

use authority::Authority;
use fata::testing::{Process, free_port};

#[test]
fn testssl_grades_it_a_plus() {
    let folder = std::env::temp_dir().join(format!("fata-web-scanners-{}", std::process::id()));
    let authority = Authority::new(&folder, &["localhost"]);
    let (port, tls_port) = (free_port(), free_port());
    let params = [
        format!("port={port}"),
        format!("tls-port={tls_port}"),
        format!("keys.file={}", authority.archive().display()),
    ];
    let web = Process::start(env!("CARGO_BIN_EXE_web"), params.iter().map(String::as_str));
    web.wait_for(&format!("HTTPS on port {tls_port}"));
    let root = authority.file("root.pem").display().to_string();
    let all = testssl::findings(&format!("localhost:{tls_port}"), &root, &[]);
    assert_eq!(web.leave().code(), Some(0));
    graded::is_a_plus(&all);
}
