//! What others have made, on this machine: HAProxy before the guest, and HAProxy, nginx and Python's websockets as servers behind it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::super::{free_port, temporary};
use super::SERVERS;
use crate::boot_tests::web_tls::{PORT, ROOT};
use crate::xen_host::Host;
use crate::xen_host::qemu::end_with_this_thread;
use crate::{command, interrupt};

const START_LIMIT: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_millis(50);
const SCRIPT: &str = include_str!("peers.py");

/// All of them; they end when this is dropped.
pub struct Peers {
    /// Ports of HAProxy's that lead to the guest's 443, with the PROXY protocol of version 1 and of version 2.
    pub fronts: [u16; 2],
    folder: PathBuf,
    sockets: [PathBuf; 4],
    running: Vec<Child>,
    python: Option<Python>,
}

/// The script: what it is told, and what it says.
struct Python {
    stdin: ChildStdin,
    said: Receiver<String>,
}

impl Peers {
    /// Starts them, and waits until all listen.
    pub fn start(host: &Host) -> Result<Self> {
        let to_guest = host.forwarded(PORT).context("no port leads to the guest")?;
        let socket = |n: usize| host.backward(SERVERS[n]).context("nothing leads from the guest");
        let sockets = [socket(0)?, socket(1)?, socket(2)?, socket(3)?].map(Path::to_owned);
        let folder = temporary("proxy-peers");
        fs::create_dir_all(&folder)?;
        let fronts = [free_port()?, free_port()?];
        let mut peers = Self { fronts, folder, sockets, running: Vec::new(), python: None };
        // What an earlier test's have left.
        peers.sockets.iter().for_each(|socket| drop(fs::remove_file(socket)));
        peers.nginx()?;
        peers.haproxy(to_guest)?;
        peers.python()?;
        peers.says("listening")?;
        for socket in &peers.sockets[..3] {
            listens(|| UnixStream::connect(socket).is_ok()).with_context(|| socket.display().to_string())?;
        }
        for port in fronts {
            listens(|| TcpStream::connect(("127.0.0.1", port)).is_ok()).context("HAProxy's front")?;
        }
        Ok(peers)
    }

    /// Has the script go on, and waits until it says that it has done what comes next.
    pub fn go_on(&mut self, until: &str) -> Result<()> {
        writeln!(self.python.as_mut().context("no script")?.stdin).context("the script has ended")?;
        self.says(until)
    }

    /// A file of theirs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn says(&self, text: &str) -> Result<()> {
        let python = self.python.as_ref().context("no script")?;
        loop {
            interrupt::check()?;
            match python.said.recv_timeout(PERIOD) {
                Ok(line) if line == text => return Ok(()),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let error = fs::read_to_string(self.file("python.error"))?;
                    bail!("it has not said {text}:\n{}", command::last_lines(&error, 20));
                }
            }
        }
    }

    fn spawn(&self, name: &str, command: &mut Command) -> Result<Child> {
        let error = fs::File::create(self.file(&format!("{name}.error")))?;
        end_with_this_thread(command.stderr(error));
        command.spawn().with_context(|| format!("cannot start {name}: is its Debian package installed?"))
    }

    /// Two servers in one: each says its name, its connection and what it was told of the client. `/held` takes a quarter of an hour.
    fn nginx(&mut self) -> Result<()> {
        let root = self.folder.display();
        fs::write(self.file("held"), vec![b'h'; 1 << 20])?;
        let server = |name: &str, socket: &Path| {
            format!(
                "server {{ listen unix:{}; default_type text/plain; add_header X-Name {name};
                   location = /held {{ limit_rate 1k; alias {root}/held; }}
                   location / {{ return 200 \"{name} $connection $connection_requests [$http_x_forwarded_for] \
                   [$http_x_forwarded_proto] [$http_x_forwarded_host] [$http_forwarded]\\n\"; }} }}",
                socket.display()
            )
        };
        let servers = server("one", &self.sockets[0]) + &server("two", &self.sockets[1]);
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {root}/{name};"))
            .concat();
        let config = format!(
            "daemon off; master_process off; pid {root}/nginx.pid; error_log stderr crit; events {{ }}
             http {{ access_log off; {paths} {servers} }}"
        );
        fs::write(self.file("nginx.conf"), config)?;
        let mut nginx = Command::new("/usr/sbin/nginx");
        nginx.arg("-e").arg(self.file("nginx.log")).arg("-c").arg(self.file("nginx.conf"));
        let nginx = self.spawn("nginx", nginx.stdin(Stdio::null()).stdout(Stdio::null()))?;
        self.running.push(nginx);
        Ok(())
    }

    /// Behind the guest it answers with what the PROXY protocol told it. Before the guest it looks at nothing.
    fn haproxy(&mut self, to_guest: u16) -> Result<()> {
        let [first, second] = self.fronts;
        let front = |port: u16, send: &str| {
            format!(
                "listen f{port}\n mode tcp\n bind 127.0.0.1:{port}\n server s 127.0.0.1:{to_guest} {send}\n"
            )
        };
        let config = format!(
            "global\n maxconn 100\ndefaults\n timeout connect 30s\n timeout client 300s\n timeout server 300s\n\
             frontend behind\n mode http\n bind unix@{} accept-proxy\n \
             http-request return status 200 content-type text/plain \
             lf-string \"%[src]:%[src_port] %[dst]:%[dst_port] %[req.hdr(X-Forwarded-For)]\\n\"\n{}{}",
            self.sockets[2].display(),
            front(first, "send-proxy"),
            front(second, "send-proxy-v2")
        );
        fs::write(self.file("haproxy.cfg"), config)?;
        let mut haproxy = Command::new("/usr/sbin/haproxy");
        haproxy.args(["-q", "-db", "-f"]).arg(self.file("haproxy.cfg"));
        let haproxy = self.spawn("haproxy", haproxy.stdin(Stdio::null()).stdout(Stdio::null()))?;
        self.running.push(haproxy);
        Ok(())
    }

    fn python(&mut self) -> Result<()> {
        let (script, root) = (self.file("peers.py"), self.file("root.pem"));
        fs::write(&script, SCRIPT)?;
        fs::write(&root, ROOT)?;
        let mut python = Command::new("/usr/bin/python3");
        python.arg(script).arg(&self.sockets[3]).arg(self.fronts[1].to_string()).arg(root);
        let mut child = self.spawn("python", python.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        self.running.push(child);
        let (say, said) = channel();
        let lines = BufReader::new(stdout.context("no stdout")?).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
        self.python = Some(Python { stdin: stdin.context("no stdin")?, said });
        Ok(())
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.sockets.iter().for_each(|socket| drop(fs::remove_file(socket)));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn listens(does: impl Fn() -> bool) -> Result<()> {
    let started = Instant::now();
    while !does() {
        interrupt::check()?;
        ensure!(started.elapsed() < START_LIMIT, "nobody listens after {} s", START_LIMIT.as_secs());
        std::thread::sleep(PERIOD);
    }
    Ok(())
}
