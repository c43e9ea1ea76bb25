//! Opens many TCP connections and holds them: `fata-agent hold ADDRESS:PORT COUNT [SOURCE...]`.
//!
//! Each connection asks nothing and says nothing. `held N` on standard output says that all are there; from then on each
//! change of how many are still open is a line `open N`, looked at every few seconds. Connections come from the source
//! addresses in turns, each of which has some 28,000 ports; without any, from the one that the kernel chooses. It wants a
//! limit on open files above `COUNT` (`ulimit -n`).

use std::io::{self, ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Connections that are being opened at once.
const OPENERS: usize = 16;
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often is looked whether they are still open.
const PERIOD: Duration = Duration::from_secs(3);

/// What the command line asks for.
#[derive(Debug, PartialEq)]
struct Wanted {
    target: SocketAddr,
    count: usize,
    sources: Vec<IpAddr>,
}

/// Does it; ends only with an error, or when it is killed.
pub fn main(arguments: &[String]) -> io::Result<()> {
    let wanted = parse(arguments).ok_or_else(|| {
        io::Error::new(ErrorKind::InvalidInput, "usage: hold ADDRESS:PORT COUNT [SOURCE...]")
    })?;
    let streams = open(&wanted)?;
    say(&format!("held {}", streams.len()))?;
    let mut before = streams.len();
    loop {
        std::thread::sleep(PERIOD);
        let open = streams.iter().filter(|stream| is_open(stream)).count();
        if open != before {
            say(&format!("open {open}"))?;
            before = open;
        }
    }
}

fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

fn parse(arguments: &[String]) -> Option<Wanted> {
    let [target, count, sources @ ..] = arguments else { return None };
    let sources: Result<_, _> = sources.iter().map(|source| source.parse()).collect();
    Some(Wanted { target: target.parse().ok()?, count: count.parse().ok()?, sources: sources.ok()? })
}

/// All connections, or the first error.
fn open(wanted: &Wanted) -> io::Result<Vec<TcpStream>> {
    let next = AtomicUsize::new(0);
    let opened = Mutex::new(Vec::with_capacity(wanted.count));
    let opener = || -> io::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= wanted.count {
                return Ok(());
            }
            let source = wanted.sources.get(number % wanted.sources.len().max(1));
            let stream = connect(wanted.target, source.copied()).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("connection {} of {}: {error}", number + 1, wanted.count),
                )
            })?;
            stream.set_nonblocking(true)?;
            opened.lock().map_err(|_| io::Error::other("a thread died"))?.push(stream);
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..OPENERS).map(|_| scope.spawn(opener)).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().map_err(|_| io::Error::other("a thread died")).and_then(|result| result)
        })
    })?;
    opened.into_inner().map_err(|_| io::Error::other("a thread died"))
}

fn connect(target: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    match (source, target) {
        (None, _) => TcpStream::connect_timeout(&target, PATIENCE),
        (Some(IpAddr::V4(source)), SocketAddr::V4(target)) => {
            connect_from(*target.ip(), target.port(), source)
        }
        (Some(_), _) => Err(io::Error::new(ErrorKind::Unsupported, "sources are for IPv4")),
    }
}

/// A connection from that address; the kernel chooses the port when it knows the target (`IP_BIND_ADDRESS_NO_PORT`), so that each
/// address has all ports.
fn connect_from(target: std::net::Ipv4Addr, port: u16, source: std::net::Ipv4Addr) -> io::Result<TcpStream> {
    // SAFETY: takes numbers and gives a new descriptor, or -1.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let stream = unsafe { TcpStream::from_raw_fd(socket) };
    let one: libc::c_int = 1;
    let time = libc::timeval { tv_sec: PATIENCE.as_secs() as libc::time_t, tv_usec: 0 };
    set_option(&stream, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &one)?;
    set_option(&stream, libc::SOL_SOCKET, libc::SO_SNDTIMEO, &time)?;
    let own = address(source, 0);
    let length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the address is a whole `sockaddr_in` of that length, and outlives the call.
    check(unsafe { libc::bind(stream.as_raw_fd(), (&raw const own).cast(), length) })?;
    let other = address(target, port);
    // SAFETY: likewise.
    check(unsafe { libc::connect(stream.as_raw_fd(), (&raw const other).cast(), length) })?;
    Ok(stream)
}

fn set_option<T>(stream: &TcpStream, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: `value` is a whole value of that length, and outlives the call, which only reads it.
    check(unsafe { libc::setsockopt(stream.as_raw_fd(), level, name, (&raw const *value).cast(), length) })
}

fn address(ip: std::net::Ipv4Addr, port: u16) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(ip).to_be() },
        sin_zero: [0; 8],
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether the other side has neither closed nor reset it.
fn is_open(stream: &TcpStream) -> bool {
    match stream.peek(&mut [0]) {
        Ok(octets) => octets > 0,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    fn wanted(target: SocketAddr, count: usize, sources: &[&str]) -> Wanted {
        let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
        Wanted { target, count, sources }
    }

    #[test]
    fn connections_are_held_from_several_addresses() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let streams = open(&wanted(target, 60, &["127.0.0.1", "127.0.0.2", "127.0.0.3"])).unwrap();
        let of = |ip| streams.iter().filter(|s| s.local_addr().unwrap().ip() == IpAddr::V4(ip)).count();
        assert_eq!((streams.len(), of(Ipv4Addr::new(127, 0, 0, 2))), (60, 20));
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(streams.iter().filter(|stream| is_open(stream)).count(), 60);
        drop(accepted);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(streams.iter().filter(|stream| is_open(stream)).count(), 59);
    }

    #[test]
    fn a_refused_connection_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        drop(listener);
        for sources in [&[][..], &["127.0.0.1"]] {
            let error = open(&wanted(target, 3, sources)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        }
    }

    #[test]
    fn the_command_line_is_read() {
        let parse = |text: &str| parse(&text.split(' ').map(str::to_owned).collect::<Vec<_>>());
        let target = "10.0.2.15:80".parse().unwrap();
        assert_eq!(parse("10.0.2.15:80 10 10.0.2.100"), Some(wanted(target, 10, &["10.0.2.100"])));
        assert_eq!(parse("10.0.2.15 10"), None);
        assert_eq!(parse("10.0.2.15:80"), None);
        assert_eq!(parse("10.0.2.15:80 ten"), None);
    }
}
