//! The manifest in the image: values and what overrides them, `help`, and the configurations made of it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{BootTest, probe};
use crate::cli::{ConfigArgs, Toolstack};
use crate::command;
use crate::image::{config, pack};
use crate::note;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, GuestSpec, Image, Kind};

const SOON: Duration = Duration::from_secs(30);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::manifest::values_are_defaults", 120, values_are_defaults).on_qemu_long(),
    BootTest::new("boot::manifest::boot_parameters_override_them", 120, boot_parameters_override_them)
        .on_qemu(),
    BootTest::new("boot::manifest::help", 120, help).on_qemu(),
    BootTest::new("boot::manifest::xl_starts_from_its_configuration", 120, xl_starts_from_its_configuration),
    BootTest::new("boot::manifest::xl_starts_a_packed_image", 60, xl_starts_a_packed_image).both(),
    BootTest::new("boot::manifest::libvirt_takes_its_configuration", 60, libvirt_takes_its_configuration),
];

fn guest() -> Result<GuestSpec> {
    Ok(GuestSpec::new("manifest", image("manifest")?))
}

fn with_vifs() -> Result<GuestSpec> {
    Ok(guest()?.vif("xenbr0").vif("xenbr1"))
}

/// What a guest with these parameters says until it powers off.
fn says(host: &mut Host, spec: &GuestSpec, lines: &[&str]) -> Result<()> {
    let guest = host.create(spec)?;
    let end = guest.wait_gone(SOON)?;
    let console = guest.console();
    ensure!(end == End::PowerOff, "it ended with {end:?}: {console}");
    for line in lines {
        ensure!(console.contains(line), "no {line:?} in {console}");
    }
    Ok(())
}

fn values_are_defaults(host: &mut Host) -> Result<()> {
    let lines = [
        "greeting good day, number 7",
        "quiet false, listen-on 80",
        "wait 300000 ms, peer None",
        "allow [10.0.0.1, 10.0.0.2], inside 10.1.2.3/8",
        "main: 10.0.2.77/24, gateway 10.0.2.2",
        "peer6 None, trusted [10.0.0.1, fd00::1]",
        "back: 10.0.3.77/24",
        "fd00:3::77/64 by Some(fe80::1)",
        "configured",
    ];
    says(host, &with_vifs()?, &lines)
}

fn boot_parameters_override_them(host: &mut Host) -> Result<()> {
    let given = "greeting=\"a b\" number=8 quiet=on listen-on=8080 wait=250ms peer=10.9.9.9 allow=10.0.0.9 \
                 inside=10.1.2.4/16 peer6=fd00::9 trusted=fd00::8 ipv4=10.0.2.78/24 \
                 back.ipv4=10.0.3.78/24 back.ipv6=fd00:3::78/64";
    let lines = [
        "greeting a b, number 8",
        "quiet true, listen-on 8080",
        "wait 250 ms, peer Some(10.9.9.9)",
        "allow [10.0.0.9], inside 10.1.2.4/16",
        // An address of another network would not do with the gateway of this one: the gateway goes with the address.
        "main: 10.0.2.78/24\n",
        "peer6 Some(fd00::9), trusted [fd00::8]",
        "back: 10.0.3.78/24",
        "fd00:3::78/64 by None",
        "configured",
    ];
    says(host, &with_vifs()?.extra(given), &lines)
}

/// Printed whole, and nothing runs.
fn help(host: &mut Host) -> Result<()> {
    let lines = [
        "  log=info\n",
        "  greeting=good day\n      a text: a text\n",
        "  listen-on=80\n      a port: a port from 1 to 65535\n",
        "  peer=\n      an address, none by default: an IPv4 address, such as 10.0.0.1\n",
        "  allow=10.0.0.1,10.0.0.2\n",
        "  main.ipv4=10.0.2.77/24\n",
        "  main.mtu=1400\n",
        "  back.ipv4=10.0.3.77/24\n",
        "  back.gateway=\n",
        "  back.ipv6=fd00:3::77/64\n",
        "  back.gateway6=fe80::1\n",
        "  trusted=10.0.0.1,fd00::1\n",
    ];
    says(host, &guest()?.extra("number=8 help"), &lines)?;
    let guest = host.create(&probe("clock")?.extra("help"))?;
    ensure!(guest.wait_gone(SOON)? == End::PowerOff, "help is no power-off");
    let console = guest.console();
    ensure!(console.contains("  case=none\n      what to do: a text"), "{console}");
    ensure!(!console.contains("wall"), "the appliance ran: {console}");
    Ok(())
}

fn config_of(host: &Host, name: &str, toolstack: Toolstack, kernel: Option<&str>) -> Result<String> {
    config::text(&ConfigArgs {
        image: image(name)?,
        toolstack,
        kernel: kernel.map(Into::into),
        bridge: vec!["xenbr0".to_owned(), "xenbr1".to_owned()],
        kind: (host.kind() == Kind::Pvh).then(|| "pvh".to_owned()),
        params: if name == "manifest" { vec!["greeting=\"a b\"".to_owned()] } else { Vec::new() },
    })
}

/// What `xl` is to have understood of devices and parameters.
const UNDERSTOOD: [(&str, &[&str]); 5] = [
    ("hello", &[]),
    ("manifest", &["\"bridge\": \"xenbr0\"", "\"bridge\": \"xenbr1\"", "greeting=\\\"a b\\\""]),
    ("web", &["\"bridge\": \"xenbr0\""]),
    ("block", &["\"vdev\": \"xvda\"", "\"readwrite\": 1"]),
    // Its disk is optional: a comment.
    ("kv", &["\"bridge\": \"xenbr0\""]),
];

/// `xl` reads the configurations of images with each kind of device, and boots one of them.
fn xl_starts_from_its_configuration(host: &mut Host) -> Result<()> {
    for (name, wanted) in UNDERSTOOD {
        let kernel = host.upload(&image(name)?)?;
        host.put(
            &format!("/tmp/{name}.cfg"),
            config_of(host, name, Toolstack::Xl, Some(&kernel))?.as_bytes(),
        )?;
        let said = host.sh(&format!("xl create -n /tmp/{name}.cfg"), SOON)?.ok()?;
        let kind = if host.kind() == Kind::Pvh { "\"type\": \"pvh\"" } else { "\"type\": \"pv\"" };
        let is_read = said.stdout.contains(&kernel) && said.stdout.contains(kind);
        ensure!(is_read, "xl understood something else than {kind}: {said:?}");
        // As JSON, which writes a quotation mark with a backslash before it.
        let missing = wanted.iter().find(|part| !said.stdout.contains(**part));
        ensure!(missing.is_none(), "{name}: xl has not understood {missing:?}: {said:?}");
        ensure!(
            name != "kv" || !said.stdout.contains("vdev"),
            "xl wants a disk that may be missing: {said:?}"
        );
    }
    let start = "xl create -q /tmp/manifest.cfg && for _ in $(seq 100); do \
                 grep -q configured /var/log/xen/guest-manifest.log && exit 0; sleep 0.1; done; exit 1";
    host.sh(start, SOON)?.ok()?;
    Ok(())
}

/// As gzip, by the real `xl`, which unpacks it; the tool reads the same from it as from what it was made of.
fn xl_starts_a_packed_image(host: &mut Host) -> Result<()> {
    let path = image("manifest")?;
    let packed = super::temporary("manifest.gz");
    let octets = pack::packed(&path)?;
    ensure!(
        octets.len() as u64 * 4 < fs::metadata(&path)?.len() * 3,
        "packed it has {} octets",
        octets.len()
    );
    fs::write(&packed, octets)?;
    let (same, uploaded) = (note::entries(&packed)? == note::entries(&path)?, host.upload(&packed));
    fs::remove_file(&packed)?;
    ensure!(same, "of the packed image other entries are read");
    let spec = GuestSpec::new("packed", Image::InDom0(uploaded?)).vif("xenbr0").vif("xenbr1");
    says(host, &spec, &["greeting good day, number 7", "configured"])
}

/// By libvirt's own schema of domains.
fn libvirt_takes_its_configuration(host: &mut Host) -> Result<()> {
    let folder = super::temporary("libvirt");
    fs::create_dir_all(&folder)?;
    let judged = ["hello", "manifest", "web", "block", "kv"]
        .into_iter()
        .try_for_each(|name| judge(host, &folder, name));
    fs::remove_dir_all(&folder)?;
    judged
}

fn judge(host: &Host, folder: &Path, name: &str) -> Result<()> {
    let file = folder.join(format!("{name}.xml"));
    fs::write(&file, config_of(host, name, Toolstack::Libvirt, None)?)?;
    let mut validate = Command::new("virt-xml-validate");
    command::run(validate.arg(&file).arg("domain")).map(drop).with_context(|| format!("the domain of {name}"))
}
