//! The agent as a program of its own.

fn main() -> std::io::Result<()> {
    fata_dom0::agent::main()
}
