//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::run::disks::{self, DiskArg};

/// Sets up, runs, tests and measures Fata appliances on Xen.
#[derive(Parser)]
#[command(name = "cargo fata", bin_name = "cargo fata", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Install the compiler target, the packages and the Xen host; every other command does what it needs of this.
    Setup {
        /// Only say what is missing; exit with 1 if anything is.
        #[arg(long)]
        check: bool,
    },
    /// Build an appliance or example and run it: on Xen, as a guest of QEMU alone, or as a process.
    Run(RunArgs),
    /// Run an image: the runner behind `cargo run --target x86_64-xen-pv`.
    Exec(ExecArgs),
    /// Run every test: checks, host tests, sizes and contents of images, and boot tests on a real Xen.
    Test(TestArgs),
    /// Measure guest CPU time beside a Linux guest that does the same on the same host, sizes, least memory.
    Bench(BenchArgs),
    /// Say what is in an image, or write the configuration to start it with.
    Image(ImageArgs),
    /// Look into a key-value store in a file or on a block device of this machine, or fill it.
    Kv(KvArgs),
    /// Put function names to the addresses in a guest's report, from standard input to standard output.
    Symbols {
        /// The image that the report came from.
        image: PathBuf,
    },
    /// Make an appliance of your own, in a folder of its own.
    New(NewArgs),
    /// Boot the Xen host and run a bash script in its dom0 (for work on the tool itself).
    Dom0 {
        /// The script.
        script: String,
    },
}

/// Arguments of `new`.
#[derive(Args)]
pub struct NewArgs {
    /// The folder to make; its last name is the appliance's.
    #[arg(value_name = "NAME")]
    pub folder: PathBuf,
    /// What it begins as.
    #[arg(long, value_name = "TEMPLATE", default_value = "hello", value_parser = TEMPLATES)]
    pub template: String,
    /// Depend on the published packages of this version, and not on the checkout that this tool was built from.
    #[arg(long)]
    pub by_version: bool,
}

/// What there is to begin with: a greeting, a TCP service, a web server.
pub const TEMPLATES: [&str; 3] = ["hello", "service", "web"];

/// Arguments of `image map`.
#[derive(Args)]
pub struct MapArgs {
    /// The image, or a file with the image's symbols.
    pub image: PathBuf,
    /// Where the drawing goes; beside the image, as IMAGE.svg, where nothing is said.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `image pack`.
#[derive(Args)]
pub struct PackArgs {
    /// The image.
    pub image: PathBuf,
    /// Where the packed one goes; beside the image, as IMAGE.gz, where nothing is said.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `run`.
#[derive(Args)]
pub struct RunArgs {
    /// The appliance (a package under apps/) or example.
    #[arg(required_unless_present = "example")]
    pub app: Option<String>,
    /// Run this example, even where an appliance has the same name.
    #[arg(long, value_name = "NAME", conflicts_with = "app")]
    pub example: Option<String>,
    /// Cargo features of its package to build it with, with commas between.
    #[arg(long, value_name = "FEATURES", value_delimiter = ',')]
    pub features: Vec<String>,
    /// Where: xen, qemu for a guest without Xen, or unix for a process of this machine.
    #[arg(long, value_name = "WHERE", default_value = "xen", value_parser = ["xen", "qemu", "unix"])]
    pub on: String,
    /// How to run it.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// Arguments of `exec`.
#[derive(Args)]
pub struct ExecArgs {
    /// The image.
    pub image: PathBuf,
    /// Where: xen, or qemu for a guest without Xen.
    #[arg(long, value_name = "WHERE", default_value = "xen", value_parser = ["xen", "qemu"])]
    pub on: String,
    /// How to run it.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Boot parameters: name=value.
    #[arg(trailing_var_arg = true, value_name = "NAME=VALUE")]
    pub more_params: Vec<String>,
}

/// What both ways to run have in common.
#[derive(Args)]
pub struct GuestArgs {
    /// A boot parameter; may be given many times.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// The guest's memory, where it is to be other than the image's manifest says. A process has none of its own.
    #[arg(long, value_name = "MIB")]
    pub memory: Option<u32>,
    /// Lead a port of this machine to a port of the guest; may be given many times. Port 80 is led to by the first free
    /// port from 8080 on. Not on a dom0, whose guests have addresses of their own.
    #[arg(long = "forward", value_name = "HOST:GUEST", value_parser = parse_forward)]
    pub forwards: Vec<(u16, u16)>,
    /// A file, or block device of this machine, as the block device NAME of the image's manifest; `,ro`: only to be read. May be
    /// given many times.
    #[arg(long = "disk", value_name = "NAME=FILE[,ro]", value_parser = disks::parse)]
    pub disks: Vec<DiskArg>,
    /// Write what crosses the guest's network interface to this file, for tshark or tcpdump; a second interface's to FILE.1.
    #[arg(long, value_name = "FILE", conflicts_with = "no_net")]
    pub pcap: Option<PathBuf>,
    /// Stop the guest before its first instruction, and say what to type for gdb to connect to it.
    #[arg(long)]
    pub gdb: bool,
    /// Create the guest without a network interface.
    #[arg(long)]
    pub no_net: bool,
    /// The guest's type: pv, or pvh for an image that has a PVH entry.
    #[arg(long = "type", value_name = "TYPE", default_value = "pv", value_parser = ["pv", "pvh"])]
    pub kind: String,
    /// The board that QEMU emulates, with `--on qemu`: microvm, where nothing else is said, or q35.
    #[arg(long, value_name = "BOARD", value_parser = ["microvm", "q35"])]
    pub machine: Option<String>,
    /// Who runs the guest's instructions, with `--on qemu`: kvm, or tcg, which is software. Where nothing is said: kvm where this
    /// machine has it; tcg with `--gdb`.
    #[arg(long, value_name = "WHO", value_parser = ["tcg", "kvm"])]
    pub accel: Option<String>,
    /// Memory of the machine in QEMU that Xen runs on; 0 is as much as the guest needs. Not on a dom0.
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    pub host_memory: u32,
}

/// Arguments of `image`.
#[derive(Args)]
pub struct ImageArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ImageCommand,
}

/// What `image` does.
#[derive(Subcommand)]
pub enum ImageCommand {
    /// Print name, version, entries, sizes, what is linked and the manifest. What is linked is a table by crate, from the symbols of
    /// the image or, as it usually has none, of its twin: the same source built again with symbols.
    Info {
        /// The image.
        image: PathBuf,
    },
    /// Pack an image by gzip, for Xen's toolstack, which unpacks it when it starts a guest. QEMU does not.
    Pack(PackArgs),
    /// Draw what the bytes of an image are as an SVG, and print a table of them by crate.
    Map(MapArgs),
    /// Write the configuration that its manifest asks for, to standard output.
    Config(ConfigArgs),
}

/// Arguments of `image config`.
#[derive(Args)]
pub struct ConfigArgs {
    /// The image.
    pub image: PathBuf,
    /// Who is to read it.
    #[arg(long = "for", value_enum, value_name = "TOOLSTACK")]
    pub toolstack: Toolstack,
    /// Where the image will be on the host, if not where it is.
    #[arg(long, value_name = "PATH")]
    pub kernel: Option<PathBuf>,
    /// The bridge of the first network interface, then of the next; the last one is that of all others.
    #[arg(long, value_name = "NAME", default_value = "xenbr0")]
    pub bridge: Vec<String>,
    /// The guest's type: pv, or pvh for an image that has a PVH entry. Where nothing is said: pvh for Qubes, as its own are; else pv.
    #[arg(long = "type", value_name = "TYPE", value_parser = ["pv", "pvh"])]
    pub kind: Option<String>,
    /// A boot parameter; may be given many times.
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub params: Vec<String>,
}

/// Arguments of `kv`.
#[derive(Args)]
pub struct KvArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KvCommand,
}

/// Where a store is.
#[derive(Args)]
pub struct KvStore {
    /// The file or block device. No guest may have it.
    pub file: PathBuf,
}

/// What `kv` does.
#[derive(Subcommand)]
pub enum KvCommand {
    /// Print all pairs to standard output in the order of keys, a line each: key, tab, value; what is not printable ASCII escaped
    /// as in byte strings of Rust.
    Dump {
        /// Where it is.
        #[command(flatten)]
        store: KvStore,
        /// Only keys that begin so; escaped as in the output.
        #[arg(long, value_name = "PREFIX", default_value = "")]
        prefix: String,
        /// Only keys, without their values.
        #[arg(long)]
        keys: bool,
        /// Read what is whole of a store whose log is damaged.
        #[arg(long)]
        salvage: bool,
    },
    /// Read everything, and say whether it is whole; exit with 1 if not.
    Check {
        /// Where it is.
        #[command(flatten)]
        store: KvStore,
    },
    /// Put pairs from standard input, lines as `dump` prints them, into the store.
    Load {
        /// Where it is.
        #[command(flatten)]
        store: KvStore,
        /// Make a store first, of the whole file, where there is none.
        #[arg(long)]
        format: bool,
    },
}

/// Who starts guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Toolstack {
    /// Xen's own: a configuration for `xl create`.
    Xl,
    /// A domain in XML, for `virsh create`.
    Libvirt,
    /// Qubes OS: the commands for its dom0.
    Qubes,
}

/// Arguments of `test`.
#[derive(Args)]
pub struct TestArgs {
    /// Only tests whose name contains this.
    pub filter: Option<String>,
    /// Also what takes longer than a change should wait, a minute for each fuzz target, a sanitizer.
    #[arg(long)]
    pub long: bool,
    /// Leave out the tests whose name contains this; may be given several times. Host tests stay.
    #[arg(long, value_name = "WORD")]
    pub skip: Vec<String>,
    /// Run boot tests even if not all images could be built: those that need a missing one fail.
    #[arg(long)]
    pub keep_going: bool,
    /// Only list the checks, sizes, contents and boot tests.
    #[arg(long)]
    pub list: bool,
}

/// Arguments of `bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// Which benchmark: size (images, least memory, CPU to the first answer), http (guest CPU a request), https (the same over TLS, and a
    /// handshake), iperf (guest CPU a
    /// megabyte of TCP), netem (TCP over bad lines), idle (many idle connections), kv (guest CPU a command of Redis's), disk (guest CPU a
    /// request to a disk), or boot (from QEMU's start to the first HTTP answer). All, where nothing
    /// is said.
    pub name: Option<String>,
    /// How long each run loads a server, in http, https, iperf, netem, idle, kv and disk.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub seconds: u32,
    /// How often each of the two servers is loaded, in turns: more rounds bear more disturbance by other work on the
    /// machine. In http, https, iperf, netem, kv and disk.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// How many idle connections, in idle.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// Only the lines whose names contain this, in netem: "50 ms", "reorder", "10 ms, loss 1%".
    #[arg(long, value_name = "WORDS")]
    pub line: Option<String>,
}

fn parse_forward(text: &str) -> Result<(u16, u16), String> {
    let parse = || {
        let (host, guest) = text.split_once(':')?;
        Some((host.parse().ok()?, guest.parse().ok()?))
    };
    parse().ok_or_else(|| "expected two port numbers, as in 2222:22".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_runner_takes_parameters_after_the_image() {
        let cli = Cli::parse_from(["cargo-fata", "exec", "--no-net", "target/web", "log=debug", "help"]);
        let Command::Exec(args) = cli.command else { panic!("not exec") };
        assert!(args.guest.no_net);
        assert_eq!(args.more_params, ["log=debug", "help"]);
        // As cargo starts it: options and parameters behind the image.
        let cli = Cli::parse_from(["cargo-fata", "exec", "target/web", "--type", "pvh", "log=debug"]);
        let Command::Exec(args) = cli.command else { panic!("not exec") };
        assert_eq!((args.guest.kind.as_str(), args.more_params), ("pvh", vec!["log=debug".to_owned()]));
    }

    #[test]
    fn there_are_two_accelerators() {
        let accel = |line: &[&str]| {
            let cli = Cli::try_parse_from([&["cargo-fata", "run", "--on", "qemu", "web"], line].concat())?;
            let Command::Run(args) = cli.command else { panic!("not run") };
            Ok::<_, clap::Error>(args.guest.accel)
        };
        assert_eq!(accel(&[]).unwrap(), None);
        assert_eq!(accel(&["--accel", "tcg"]).unwrap().as_deref(), Some("tcg"));
        assert_eq!(accel(&["--accel", "kvm"]).unwrap().as_deref(), Some("kvm"));
        assert!(accel(&["--accel", "hvf"]).is_err());
    }

    #[test]
    fn ports_are_numbers() {
        assert_eq!(parse_forward("7777:7"), Ok((7777, 7)));
        assert!(parse_forward("7777").is_err());
        assert!(parse_forward("99999:7").is_err());
    }
}
