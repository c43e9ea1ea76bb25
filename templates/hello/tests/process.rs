//! The appliance as a process.

use fata::testing::Process;

#[test]
fn it_greets_and_ends() {
    let mut {{crate}} = Process::start(env!("CARGO_BIN_EXE_{{name}}"), ["greeting=welcome"]);
    {{crate}}.wait_for("welcome from {{name}}");
    assert_eq!({{crate}}.wait().code(), Some(0));
}
