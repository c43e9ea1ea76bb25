//! Ports of this machine that lead to the guest, and the URL to open.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Result, bail};

use crate::ui;
use crate::xen_host::qemu::Forward;

const HTTP: u16 = 80;
/// Ports are searched from here on for the guest's port 80.
const FIRST_HTTP_PORT: u16 = 8080;
const HTTP_PORTS: u16 = 100;
const PROBE_PERIOD: Duration = Duration::from_millis(300);

/// The ports asked for, and one for the guest's web server.
pub fn forwards(wanted: &[(u16, u16)], guest: Ipv4Addr) -> Result<Vec<Forward>> {
    let mut forwards = Vec::new();
    for &(host_port, guest_port) in wanted {
        if !is_free(host_port) {
            bail!("port {host_port} of this machine is taken: choose another with --forward");
        }
        forwards.push(Forward { host_port, guest, guest_port });
    }
    if !wanted.iter().any(|(_, guest_port)| *guest_port == HTTP) {
        let free = (FIRST_HTTP_PORT..FIRST_HTTP_PORT + HTTP_PORTS)
            .find(|port| is_free(*port) && wanted.iter().all(|(host_port, _)| host_port != port));
        forwards.extend(free.map(|host_port| Forward { host_port, guest, guest_port: HTTP }));
    }
    Ok(forwards)
}

/// Says where the ports lead; for a web server once it answers.
pub fn announce(forwards: &[Forward]) {
    for forward in forwards.iter().cloned() {
        if forward.guest_port == HTTP {
            std::thread::spawn(move || announce_web_server(forward.host_port));
        } else {
            ui::say(format!(
                "127.0.0.1:{} leads to the guest's port {}",
                forward.host_port, forward.guest_port
            ));
        }
    }
}

/// Says how to reach a guest that has an address of its own.
pub fn announce_address(address: Ipv4Addr) {
    let url = ui::paint(ui::Colour::Green, &format!("http://{address}/"));
    ui::say(format!("the guest's address is {address}; if it serves web pages: open {url}"));
}

/// The address in the line `... NAME: a.b.c.d/len` with which a guest says that its interface has one.
pub fn address_in(line: &str) -> Option<Ipv4Addr> {
    let (_, said) = line.rsplit_once(": ")?;
    let (address, prefix) = said.split([',', ' ']).next()?.split_once('/')?;
    let is_prefix = prefix.parse().is_ok_and(|bits: u8| bits <= 32);
    address.parse().ok().filter(|_| is_prefix)
}

fn announce_web_server(port: u16) {
    while !answers_http(port) {
        std::thread::sleep(PROBE_PERIOD);
    }
    ui::say(ui::paint(ui::Colour::Green, &format!("open http://127.0.0.1:{port}/")));
}

/// QEMU takes the connection itself, guest or no guest: only an answer proves anything.
fn answers_http(port: u16) -> bool {
    let probe = || -> std::io::Result<usize> {
        let mut stream =
            TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), PROBE_PERIOD)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        stream.read(&mut [0; 64])
    };
    matches!(probe(), Ok(1..))
}

/// Whether nobody listens on a port of this machine.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_the_line_that_tells_it() {
        let address = Some(Ipv4Addr::new(192, 168, 1, 7));
        assert_eq!(address_in("main: 192.168.1.7/24"), address);
        let logged =
            "[    0.120000] INFO fata_netstack::interface: main: 192.168.1.7/24, gateway 192.168.1.1";
        assert_eq!(address_in(logged), address);
        assert_eq!(address_in("GET: /index.html"), None);
        assert_eq!(address_in("main: no address any more"), None);
    }
}
