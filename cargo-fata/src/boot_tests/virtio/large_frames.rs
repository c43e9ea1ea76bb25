//! Frames larger than a wire's, between a guest and the host's kernel.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::command;
use crate::workspace::image;
use crate::xen_host::qemu::end_with_this_thread;

/// Sends 4 MB through a tap device to the guest and back. The host's kernel leaves checksums to the guest, and cuts nothing up:
/// frames larger than a wire's must come in, the guest must leave the cutting of its own to the host, and all that comes back must be
/// what went.
const LARGE: &str = r#"
set -e
ip link set lo up
ip tuntap add tap0 mode tap vnet_hdr
ip address add 10.0.2.2/24 dev tap0
ip link set tap0 up
head -c 4000000 /dev/urandom > $DATA
qemu-system-x86_64 -m 64 -cpu max -display none -nic none -serial file:$LOG -kernel $IMAGE -append ipv4=10.0.2.15/24 \
    -netdev tap,id=n0,ifname=tap0,script=no,downscript=no -object filter-dump,id=dump,netdev=n0,file=$DUMP $MACHINE &
qemu=$!
trap 'kill $qemu' EXIT
curl -sS -m 60 --retry 20 --retry-delay 1 --retry-all-errors --data-binary @$DATA -o $DATA.back http://10.0.2.15/echo
cmp $DATA $DATA.back
"#;

pub(super) fn large_frames(logs: &Path) -> Result<()> {
    for (machine, large_in, large_out) in [
        ("-M q35 -device virtio-net-pci,netdev=n0", true, true),
        ("-M microvm -device virtio-net-device,netdev=n0", true, true),
        // Without buffers that a frame may be spread over, none that is large comes; without both offloads, no sums left out.
        ("-M q35 -device virtio-net-pci,netdev=n0,mrg_rxbuf=off", false, true),
        ("-M q35 -device virtio-net-pci,netdev=n0,csum=off,guest_csum=off", false, false),
    ] {
        let [data, log, dump] = ["data", "log", "pcap"].map(|part| logs.join(format!("virtio-large.{part}")));
        let mut shell = Command::new("unshare");
        shell.args(["--user", "--map-root-user", "--net", "sh", "-c", LARGE]);
        shell.env("DATA", &data).env("LOG", &log).env("DUMP", &dump).env("MACHINE", machine);
        shell.env("IMAGE", image("http")?).stdin(Stdio::null());
        end_with_this_thread(&mut shell);
        let said = shell.output().context("cannot start unshare")?;
        let errors = String::from_utf8_lossy(&said.stderr).into_owned();
        let guest = fs::read_to_string(&log).unwrap_or_default();
        ensure!(said.status.success(), "{machine}: {errors}\n{}", command::last_lines(&guest, 12));
        let (came, went) = longest_frames(&fs::read(&dump)?);
        ensure!((came > 2000) == large_in, "{machine}: the longest frame that came has {came} octets");
        ensure!((went > 2000) == large_out, "{machine}: the longest frame of the guest has {went} octets");
    }
    Ok(())
}

/// The address that QEMU gives its first network device.
const GUEST: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// Octets of the longest frame in a capture that came to the guest, and of the longest that it has sent (24 octets of header, 16 before
/// each frame, of which the last four are its length).
fn longest_frames(mut capture: &[u8]) -> (u32, u32) {
    let (mut came, mut went) = (0, 0);
    capture = capture.get(24..).unwrap_or_default();
    while let Some(header) = capture.first_chunk::<16>() {
        let [.., a, b, c, d] = *header;
        let [.., e, f, g, h, _, _, _, _] = *header;
        // Before the frame QEMU writes the header of virtio, where there is one, of 10 or 12 octets.
        let from_guest = [22, 32, 34].iter().any(|at| capture.get(*at..at + 6) == Some(&GUEST));
        let longest = if from_guest { &mut went } else { &mut came };
        *longest = u32::from_le_bytes([a, b, c, d]).max(*longest);
        capture = capture.get(16 + u32::from_le_bytes([e, f, g, h]) as usize..).unwrap_or_default();
    }
    (came, went)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_frame_of_a_capture() {
        let frame = |len: u8, from: &[u8]| {
            let mut octets = vec![1; len.into()];
            octets[6..12].copy_from_slice(from);
            [&[0; 8][..], &[len, 0, 0, 0, len, 0, 0, 0], &octets].concat()
        };
        let other = [2; 6];
        let capture =
            [vec![0; 24], frame(60, &other), frame(200, &other), frame(210, &GUEST), frame(90, &GUEST)];
        assert_eq!(longest_frames(&capture.concat()), (200, 210));
        assert_eq!(longest_frames(&[]), (0, 0));
    }
}
