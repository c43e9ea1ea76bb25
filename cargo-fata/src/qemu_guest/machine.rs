//! What QEMU is told: a board, its devices, the kernel.

use std::fmt;
use std::fs::{self, File};
use std::path::PathBuf;

use crate::run::disks::{self, Bus, Disk};
use crate::xen_host::qemu::Forward;

/// The boards that boot an ELF file by its PVH entry and have what our guests drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Board {
    /// No firmware to speak of, no PCI: virtio over MMIO, named on the kernel's command line.
    Microvm,
    /// The same with its devices named by ACPI, as Linux finds them.
    MicrovmAcpi,
    /// A PC of 2007: PCI, a power button.
    Q35,
}

impl Board {
    /// Its name on our command line, which is QEMU's too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Microvm | Self::MicrovmAcpi => "microvm",
            Self::Q35 => "q35",
        }
    }

    fn option(self) -> &'static str {
        match self {
            // With ACPI the command line does not name the devices.
            Self::Microvm => "microvm,acpi=off",
            Self::MicrovmAcpi => "microvm,acpi=on,pit=on,pic=on",
            Self::Q35 => "q35",
        }
    }

    /// The last word of each virtio device's name.
    pub fn bus(self) -> &'static str {
        match self {
            Self::Microvm | Self::MicrovmAcpi => "device",
            Self::Q35 => "pci",
        }
    }
}

impl From<&str> for Board {
    fn from(name: &str) -> Self {
        if name == "q35" { Self::Q35 } else { Self::Microvm }
    }
}

impl fmt::Display for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accelerator {
    /// KVM where this machine has it, else software.
    Best,
    /// Software, everywhere.
    Tcg,
    /// KVM, or nothing.
    Kvm,
}

impl Accelerator {
    /// QEMU's name for what is used on this machine.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Best if has_kvm() => "kvm",
            Self::Best | Self::Tcg => "tcg",
        }
    }
}

/// Whether there is a KVM by the processor's own means. One of other means (`kvm_pvm`) does not emulate what our guests do
/// before they have devices.
fn has_kvm() -> bool {
    let can_open = || File::options().read(true).write(true).open("/dev/kvm").is_ok();
    let flags = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    flags.split_ascii_whitespace().any(|flag| flag == "vmx" || flag == "svm") && can_open()
}

/// What a network interface is connected with.
#[derive(Debug, Clone)]
pub enum Backend {
    /// QEMU's own network 10.0.N.0/24, which leads to this machine's and out: gateway .2, DNS .3, DHCP from .15 on.
    User {
        /// N.
        number: usize,
        /// TCP ports of this machine that lead to the guest.
        forwards: Vec<Forward>,
    },
    /// A tap device of that name, which is there.
    Tap(String),
}

/// A network interface.
#[derive(Debug, Clone)]
pub struct Nic {
    /// What it is connected with.
    pub backend: Backend,
    /// Where the packets that cross it are written.
    pub pcap: Option<PathBuf>,
}

/// A whole machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its board.
    pub board: Board,
    /// Who runs its instructions.
    pub accelerator: Accelerator,
    /// Its memory, MiB.
    pub memory_mb: u32,
    /// The guest: an ELF file with a PVH entry, or a Linux kernel.
    pub kernel: PathBuf,
    /// The kernel's command line.
    pub command_line: String,
    /// An initial ramdisk.
    pub ramdisk: Option<PathBuf>,
    /// Its network interfaces, in order.
    pub nics: Vec<Nic>,
    /// Its disks, in order.
    pub disks: Vec<Disk>,
    /// A port of 127.0.0.1 for gdb; the machine waits for it before its first instruction.
    pub gdb_port: Option<u16>,
    /// Whether it waits for [`Process::unpause`](super::Process::unpause) before its first instruction.
    pub paused: bool,
    /// Whether a guest that asks for a reboot is started again by QEMU.
    pub reboots: bool,
    /// What starts QEMU, where it is not started as it is: a program and its arguments.
    pub wrapper: Vec<String>,
}

impl Machine {
    /// A machine of 16 MiB without devices.
    pub fn new(board: Board, kernel: PathBuf) -> Self {
        Self {
            board,
            accelerator: Accelerator::Best,
            memory_mb: 16,
            kernel,
            command_line: String::new(),
            ramdisk: None,
            nics: Vec::new(),
            disks: Vec::new(),
            gdb_port: None,
            paused: false,
            reboots: false,
            wrapper: Vec::new(),
        }
    }

    /// QEMU's arguments. Its console is standard input and output; standard error is the monitor (see [`super::process`]).
    pub fn arguments(&self) -> Vec<String> {
        let accelerator = self.accelerator.name();
        // Not the newest instructions: what QEMU's software has, or KVM passes on.
        let mut line = format!(
            "-M {} -accel {accelerator} -cpu max -m {} -nodefaults -no-user-config -display none \
             -chardev stdio,id=console,signal=off -serial chardev:console \
             -chardev socket,id=monitor,fd=2 -mon chardev=monitor,mode=control \
             -device isa-debug-exit,iobase=0xf4,iosize=4",
            self.board.option(),
            self.memory_mb,
        );
        if !self.reboots {
            line += " -no-reboot";
        }
        if self.paused || self.gdb_port.is_some() {
            line += " -S";
        }
        if let Some(port) = self.gdb_port {
            line += &format!(" -gdb tcp:127.0.0.1:{port}");
        }
        let mut arguments: Vec<String> = line.split_ascii_whitespace().map(str::to_owned).collect();
        arguments.extend(self.nics.iter().enumerate().flat_map(|(n, nic)| self.nic(n, nic)));
        let bus = if self.board == Board::Q35 { Bus::Pci } else { Bus::Mmio };
        arguments.extend(disks::qemu_args(&self.disks, bus));
        arguments.extend(["-kernel".to_owned(), self.kernel.display().to_string()]);
        arguments.extend(["-append".to_owned(), self.command_line.clone()]);
        let ramdisk = self.ramdisk.iter().map(|path| path.display().to_string());
        arguments.extend(ramdisk.flat_map(|path| ["-initrd".to_owned(), path]));
        arguments
    }

    fn nic(&self, n: usize, nic: &Nic) -> Vec<String> {
        let backend = match &nic.backend {
            Backend::User { number, forwards } => user_network(n, *number, forwards),
            Backend::Tap(name) => {
                format!("tap,id=net{n},ifname={name},script=no,downscript=no,vnet_hdr=on")
            }
        };
        let bus = self.board.bus();
        // Nobody boots from the network.
        let rom = if self.board == Board::Q35 { ",romfile=" } else { "" };
        let device = format!("virtio-net-{bus},netdev=net{n},mac=52:54:00:12:34:{:02x}{rom}", 0x56 + n);
        let mut arguments = vec!["-netdev".to_owned(), backend, "-device".to_owned(), device];
        if let Some(path) = &nic.pcap {
            let path = escaped(&path.display().to_string());
            arguments
                .extend(["-object".to_owned(), format!("filter-dump,id=dump{n},netdev=net{n},file={path}")]);
        }
        arguments
    }
}

fn user_network(n: usize, number: usize, forwards: &[Forward]) -> String {
    let forwards = forwards.iter().map(|forward| {
        let Forward { host_port, guest, guest_port } = forward;
        format!(",hostfwd=tcp:127.0.0.1:{host_port}-{guest}:{guest_port}")
    });
    format!("user,id=net{n},net=10.0.{number}.0/24") + &forwards.collect::<String>()
}

/// A comma in a value is written twice.
fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn line(machine: &Machine) -> String {
        machine.arguments().join(" ")
    }

    #[test]
    fn devices_are_of_the_boards_bus() {
        let forward = Forward { host_port: 8080, guest: Ipv4Addr::new(10, 0, 2, 15), guest_port: 80 };
        let nic = Nic { backend: Backend::User { number: 2, forwards: vec![forward] }, pcap: None };
        let mut machine = Machine::new(Board::Q35, "web".into());
        machine.nics = vec![nic];
        assert!(
            line(&machine).contains("-device virtio-net-pci,netdev=net0,mac=52:54:00:12:34:56,romfile= ")
        );
        machine.board = Board::Microvm;
        let line = line(&machine);
        assert!(line.contains("-M microvm,acpi=off "));
        assert!(line.contains("virtio-net-device,netdev=net0,mac=52:54:00:12:34:56 "));
        assert!(line.contains("net=10.0.2.0/24,hostfwd=tcp:127.0.0.1:8080-10.0.2.15:80 "));
    }

    #[test]
    fn values_may_have_commas_and_blanks() {
        let mut machine = Machine::new(Board::Microvm, "web".into());
        machine.command_line = "greeting=\"a b\"".into();
        let pcap = Some(PathBuf::from("/tmp/a,b c.pcap"));
        machine.nics = vec![Nic { backend: Backend::Tap("tap0".into()), pcap }];
        let arguments = machine.arguments();
        assert!(arguments.contains(&"greeting=\"a b\"".to_owned()));
        assert!(arguments.contains(&"filter-dump,id=dump0,netdev=net0,file=/tmp/a,,b c.pcap".to_owned()));
    }
}
