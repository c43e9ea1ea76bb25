//! HTTPS: our web server and nginx with OpenSSL on Linux, in turns, both with TLS 1.3 and the same key on P-256.

use std::fs;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::contest::{FigureOf, Load, Run};
use super::http::{self, PAGE};
use super::pair::{Naming, Pair};
use super::servers::Server;
use super::{Bench, wrk};
use crate::xen_host::Host;
use crate::xen_host::guest::GuestSpec;
use crate::xen_host::linux_guest::{self, Flavour};

/// The name of the large page.
const LARGE: &str = "large.bin";
const LARGE_BYTES: usize = 1 << 20;
const FATA_MEMORY_MB: u32 = 24;
const WARM_UP_S: u32 = 2;
const MICROSECOND: f64 = 1e3;
/// What both show: that of the tests.
const CHAIN: &str = include_str!("../../../tls/tests/certificates/server.pem");
const KEY: &str = include_str!("../../../tls/tests/certificates/server-key.pem");
const ANSWERS: &str = "curl -s -k -f -o /dev/null --max-time 5 https://ADDRESS/page.html";

/// nginx as it serves HTTP in the other benchmark, over TLS, with the suites in our server's order: by itself it takes the client's,
/// which begins with AES-256.
const NGINX: Flavour = Flavour {
    name: "https",
    packages: &["nginx-light"],
    programs: &["usr/sbin/nginx"],
    files: &["etc/nginx/mime.types"],
    start: "mkdir -p /var/log/nginx /var/lib/nginx
sed 's|listen 80 backlog=4096;|listen 443 ssl backlog=4096; ssl_certificate /www/chain.pem; ssl_certificate_key /www/key.pem; ssl_protocols TLSv1.3; ssl_prefer_server_ciphers on; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256; add_header Reused $ssl_session_reused;|' \\
    /etc/nginx/fata.conf >/etc/nginx/https.conf
/usr/sbin/nginx -c /etc/nginx/https.conf || echo \"nginx does not start\"
",
};

/// The ways to load a server.
const LOADS: [(Load, &str); 4] = [
    (load("full handshakes", "us a connection", "connections/s"), FULL),
    (load("resumed handshakes", "us a connection", "connections/s"), RESUMED),
    (load("keep-alive, 4 kB", "us a request", "requests/s"), KEPT),
    (load("bodies of 1 MiB", "us a body", "bodies/s"), BULK),
];
/// By curl, one connection after the other. wrk would resume the session of each connection's last.
const FULL: &str = "curl --no-sessionid";
/// The same, which resumes sessions by itself.
const RESUMED: &str = "curl";
const KEPT: &str = "wrk -t 1 -c 16 --timeout 10s";
const BULK: &str = "wrk -t 1 -c 4 --timeout 30s";

const fn load(name: &'static str, cost_unit: &'static str, rate_unit: &'static str) -> Load {
    Load { name, cost_unit, rate_unit, figure_of: FigureOf::Best }
}

/// Runs it all; prints the figures and writes them to the bench's folder.
pub fn run(bench: &Bench) -> Result<()> {
    let (page, large) = (http::page(), http::page().repeat(LARGE_BYTES / http::PAGE_BYTES));
    let [site, keys] = ["https-site", "https-keys"].map(|name| bench.folder.join(name));
    for (folder, name, content) in [
        (&site, PAGE, &*page),
        (&site, LARGE, &large),
        (&keys, "chain.pem", CHAIN.as_bytes()),
        (&keys, "key.pem", KEY.as_bytes()),
    ] {
        fs::create_dir_all(folder)?;
        fs::write(folder.join(name), content)?;
    }
    let target = bench.workspace.find("web+tls", false)?.with_site(&site).with_keys(&keys);
    let image = target.build(&["--quiet"])?;
    let files =
        [(PAGE, &*page), (LARGE, &large), ("chain.pem", CHAIN.as_bytes()), ("key.pem", KEY.as_bytes())];
    let linux = linux_guest::build(&NGINX, &files)?;
    let spec = GuestSpec::new("web", image.clone()).memory(FATA_MEMORY_MB);
    let pair = Pair::start(bench, &image, spec, &linux, ANSWERS)?;
    let naming = Naming {
        name: "https",
        title: "guest CPU, microseconds (TLS 1.3, P-256)",
        linux: "linux + nginx + OpenSSL",
    };
    pair.hold(&naming, &LOADS, |host, server, option| one_run(host, server, option, bench.seconds))
}

/// Guest CPU a connection, request or body, microseconds. The other server is paused meanwhile.
fn one_run(host: &Host, server: &Server, option: &str, seconds: u32) -> Result<Run> {
    let load = |seconds| match option {
        FULL | RESUMED => with_curl(host, server, option, seconds),
        _ => with_wrk(host, server, option, seconds),
    };
    server.measure(
        host,
        MICROSECOND,
        || load(WARM_UP_S).map(drop),
        || {
            let (units, seconds) = load(seconds)?;
            Ok((units as f64, seconds))
        },
    )
}

fn with_wrk(host: &Host, server: &Server, wrk: &str, seconds: u32) -> Result<(u64, f64)> {
    let page = if wrk == BULK { LARGE } else { PAGE };
    let command = format!("{wrk} -d {seconds}s https://{}/{page}", server.address);
    wrk::run(host, &command, server.address, seconds)
}

/// Connections one after the other, each with one request, fifty by one curl, until the time is over. An error if a request was lost,
/// or if other handshakes were full than are to be - all, or each curl's first: nginx says so of each, our server counts them, with that
/// of who asks it.
fn with_curl(host: &Host, server: &Server, curl: &str, seconds: u32) -> Result<(u64, f64)> {
    let script = format!(
        "counted() {{ curl -sSk --max-time 60 https://{address}/metrics | sed -n 's/^tls_handshakes_total{{result=.\\(full\\|resumed\\).}} /\\1=/p'; }}
        full=; resumed=; eval \"$(counted)\"; full_before=$full; resumed_before=$resumed
        begin=$(date +%s%N); n=0; r=0; f=0
        while [ $(( $(date +%s%N) - begin )) -lt {seconds}000000000 ]; do
            said=$({curl} -sSk --max-time 60 --http1.1 -H 'Connection: close' -o /dev/null -w '%{{http_code}} %header{{reused}}\n' 'https://{address}/{PAGE}?[1-50]') || exit 1
            [ \"$(echo \"$said\" | grep -c ^200)\" = 50 ] || exit 2
            n=$((n + 50)); r=$((r + $(echo \"$said\" | grep -c ' r$'))); f=$((f + $(echo \"$said\" | grep -c ' \\.$')))
        done
        time=$(( $(date +%s%N) - begin ))
        [ -z \"$full\" ] || {{ eval \"$(counted)\"; f=$((full - full_before - 1)); r=$((resumed - resumed_before)); }}
        echo $n $time $f $r",
        address = server.address
    );
    let said = host.sh(&script, Duration::from_secs(u64::from(seconds) + 120))?.ok()?.stdout;
    let numbers: Vec<u64> = said.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [count, time, full, resumed] = numbers[..] else { bail!("the script counted nothing: {said:?}") };
    ensure!(count > 0 && time > 0, "no connections: {said}");
    let wanted = if curl == RESUMED { count / 50 } else { count };
    ensure!(
        full == wanted && full + resumed == count,
        "{curl}: {full} of {count} handshakes were full, {resumed} resumed"
    );
    Ok((count, time as f64 / 1e9))
}
