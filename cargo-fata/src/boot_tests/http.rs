//! The HTTP server of the test guest `http`, against curl and against octets typed by hand: what the site of `web` has no
//! use for.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::BootTest;
use crate::workspace::image;
use crate::xen_host::Host;
use crate::xen_host::guest::{End, Guest, GuestSpec};

const SOON: Duration = Duration::from_secs(30);
/// The longest that a check may take.
const SCRIPT: Duration = Duration::from_secs(90);

/// The tests of this topic.
pub const TESTS: &[BootTest] = &[
    BootTest::new("boot::http::requests", 180, requests).on_qemu().on_xen_long().as_process(),
    BootTest::new("boot::http::content", 240, content).on_qemu().on_xen_long().as_process(),
    BootTest::new("boot::http::leaves_during_downloads", 120, leaves_during_downloads)
        .on_qemu()
        .on_xen_long()
        .as_process(),
    BootTest::new("boot::http::crowds", 280, crowds)
        .long()
        .on_qemu_long()
        .not_as_process("processes are debug builds, too slow for its crowds on a busy machine"),
];

fn http(host: &mut Host, extra: &str) -> Result<Guest> {
    http_with(host, 32, extra)
}

fn http_with(host: &mut Host, memory_mb: u32, extra: &str) -> Result<Guest> {
    let mut spec = GuestSpec::new("http", image("http")?).memory(memory_mb).network();
    spec.extra = format!("{} {extra}", spec.extra);
    let guest = host.create(&spec)?;
    guest.wait_console("link up", SOON)?;
    Ok(guest)
}

/// What a script does in dom0, what of it must be said, and what must not.
struct Check {
    name: &'static str,
    script: &'static str,
    wanted: &'static [&'static str],
    never: &'static [&'static str],
}

/// `typed` sends octets as they are; with `ask`, curl does.
const TOOLS: &str = "\
    U=http://10.0.2.15
    typed() { timeout 15 socat -t9 - TCP:10.0.2.15:80,connect-timeout=5; }
    ask() { curl -sS --max-time 30 \"$@\"; }
    cd /tmp
";

fn check_all(host: &Host, guest: &Guest, checks: &[Check]) -> Result<()> {
    for check in checks {
        let said = host.sh(&format!("{TOOLS}{}", check.script), SCRIPT).context(check.name)?;
        let text = format!("{}{}", said.stdout, said.stderr).replace('\r', "");
        for part in check.wanted {
            ensure!(text.contains(part), "{}: no {part:?} in {text}", check.name);
        }
        for part in check.never {
            ensure!(!text.contains(part), "{}: {part:?} in {text}", check.name);
        }
        ensure!(guest.end()?.is_none(), "{}: the guest is gone: {}", check.name, guest.console());
    }
    Ok(())
}

const CONNECTIONS: &[Check] = &[
    Check {
        name: "HTTP/1.0 is one request",
        script: r"printf 'GET /note HTTP/1.0\r\n\r\nGET /note HTTP/1.0\r\n\r\n' | typed",
        wanted: &["HTTP/1.1 200 OK\n", "Connection: close\n", "\n\na note\n"],
        never: &["a note\nHTTP"],
    },
    Check {
        name: "HTTP/1.0 that asks to be kept",
        script: r"printf 'GET /note HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /note HTTP/1.0\r\n\r\n' | typed",
        wanted: &["Connection: keep-alive\n", "a note\nHTTP/1.1 200 OK\n", "Connection: close\n"],
        never: &[],
    },
    Check {
        name: "HTTP/1.1 is kept",
        script: "ask -w '%{num_connects} %{response_code}\n' $U/note $U/nowhere $U/numbers/3 $U/note",
        wanted: &["a note\n1 200\nNot Found\n0 404\n1\n2\n3\n0 200\na note\n0 200\n"],
        never: &[],
    },
    Check {
        name: "closed where the client asks",
        script: "ask -o /dev/null -o /dev/null -w '%{num_connects} %header{connection}\n' -H 'Connection: close' $U/note $U/note",
        wanted: &["1 close\n1 close\n"],
        never: &[],
    },
    Check {
        name: "fifty requests in one write are answered in order",
        script: r"
            for n in $(seq 25); do
                printf 'POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nsized %02d\n' $n
                printf 'POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nchunked %02d\n\r\n0\r\n\r\n' $n
            done > many
            printf 'GET /numbers/2 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n' >> many
            typed < many | tr -d '\r' > answers
            grep -c '^HTTP/1.1 200 OK' answers
            for n in $(seq -w 25); do echo sized $n; echo chunked $n; done > wanted
            grep -E '^(sized|chunked) ' answers | cmp - wanted && echo in order; tail -7 answers",
        wanted: &["51\n", "in order\n", "1\n2\n\n0\nLines: 2\n"],
        never: &[],
    },
    Check {
        name: "HEAD has no content, whatever the answer",
        script: r#"
            for p in note numbers/10 half nowhere echo; do
                printf "HEAD /$p HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" | typed
            done > heads
            printf 'HEAD / HTTP/1.1\r\n\r\n' | typed >> heads
            printf 'HEAD / HTTP/1.1\r\nHost: h\r\nExpect: wonders\r\n\r\n' | typed >> heads
            printf 'HEAD / HTTP/3.0\r\nHost: h\r\n\r\n' | typed >> heads
            tr -d '\r' < heads | awk '/^$/ { end = 1; next } /^HTTP/ { end = 0; print $2 } end' | xargs echo"#,
        wanted: &["200 200 200 404 405 400 417 505\n"],
        never: &[],
    },
    Check {
        name: "the date is dom0's, and an IMF-fixdate",
        script: r#"
            said=$(ask -o /dev/null -w '%header{date}' $U/note); now=$(date -d "$said" +%s)
            [[ $(date -u -d @$now +'%a, %d %b %Y %H:%M:%S GMT') == "$said" ]] && echo well formed
            behind=$(($(date +%s) - now)); echo "$said is $behind s behind"
            ((behind >= -2 && behind <= 2)) && echo right time"#,
        wanted: &["well formed\n", "right time\n"],
        never: &[],
    },
    Check {
        name: "the absolute form, as a proxy is asked",
        script: "ask -x 10.0.2.15:80 http://elsewhere/note",
        wanted: &["a note\n"],
        never: &[],
    },
    Check {
        name: "OPTIONS of the server",
        script: "ask -i -X OPTIONS --request-target '*' $U; ask -i -X OPTIONS $U/note",
        wanted: &["HTTP/1.1 204 No Content\n", "Allow: GET, HEAD, PUT, OPTIONS\n"],
        never: &["Content-Length"],
    },
    Check {
        name: "conditions of a handler that changes something",
        script: "
            tag=$(ask -o /dev/null -w '%header{etag}' $U/note)
            put() { ask -o /dev/null -w '%{response_code} ' -T - -H \"$1\" $U/note; }
            echo no | put 'If-Match: \"other\"'; echo no | put 'If-None-Match: *'; echo new | put \"If-Match: $tag\"
            ask -w '%{response_code} ' -H \"If-None-Match: $tag\" $U/note
            ask -o /dev/null -w '%{response_code}' --etag-save tag $U/note; ask -w ' %{response_code}' --etag-compare tag $U/note",
        wanted: &["412 412 204 new\n200 200 304"],
        never: &[],
    },
];

const REFUSALS: &[Check] = &[
    Check {
        name: "400, 404, 405, 501, 505",
        script: r"
            code() { ask -o /dev/null -w '%{response_code} ' $@; }
            code -H Host: $U/note; code $U/numbers/none; code -X DELETE $U/note; code -X TRACE $U/note
            printf 'GET / HTTP/2.0\r\nHost: h\r\n\r\n' | typed | head -1",
        wanted: &["400 404 405 501 HTTP/1.1 505 HTTP Version Not Supported\n"],
        never: &[],
    },
    Check {
        name: "408 for a head and for content that do not come, silence for a request that does not begin",
        script: r#"
            waits() { socat -t0.2 - TCP:10.0.2.15:80 < <(printf "$1"; sleep 9); echo $2 ended after $SECONDS s; }
            SECONDS=0
            waits 'GET /note HTTP/1.1\r\nHost: h\r\n' head > 1 &
            waits 'POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc' content > 2 &
            waits 'POST /count HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n' chunks > 3 &
            waits '' nothing > 4 &
            wait; grep -hE '^HTTP|ended' 1 2 3 4 | tr -d '\r' | tr '\n' ' '; rm -f 1 2 3 4"#,
        wanted: &[
            "HTTP/1.1 408 Request Timeout head ended",
            "HTTP/1.1 408 Request Timeout content ended",
            "HTTP/1.1 408 Request Timeout chunks ended",
            "s nothing ended",
        ],
        never: &["after 0 s", "after 9 s", "after 10 s"],
    },
];

fn requests(host: &mut Host) -> Result<()> {
    let guest = http(host, "patience=2")?;
    check_all(host, &guest, CONNECTIONS)?;
    check_all(host, &guest, REFUSALS)
}

const CONTENT: &[Check] = &[
    Check {
        name: "content in chunks",
        script: "head -c 1000000 /dev/urandom > up; ask -v -T - $U/echo < up 2> log | cmp - up && echo the same; cat log",
        wanted: &["> Transfer-Encoding: chunked\n", "< HTTP/1.1 200 OK\n", "the same\n"],
        never: &[],
    },
    Check {
        name: "content of known length",
        script: "ask -v --data-binary @up $U/echo 2> log | cmp - up && echo the same; cat log",
        wanted: &["> Content-Length: 1000000\n", "< HTTP/1.1 200 OK\n", "the same\n"],
        never: &[],
    },
    Check {
        name: "content that is read as it comes",
        script: "head -c 3000000 /dev/zero | ask -X POST -T - $U/count",
        wanted: &["3000000 octets\n"],
        never: &[],
    },
    Check {
        name: "an answer in chunks, and what follows it",
        script: "
            seq 400000 > numbers; ask -D head $U/numbers/400000 | cmp - numbers && echo whole; cat head",
        wanted: &["whole\n", "Transfer-Encoding: chunked\n", "Lines: 400000\n"],
        never: &["Content-Length"],
    },
    Check {
        name: "to HTTP/1.0 the same until the connection ends",
        script: "ask -0 -D head $U/numbers/400000 | cmp - numbers && echo whole; cat head",
        wanted: &["whole\n", "Connection: close\n"],
        never: &["Transfer-Encoding", "Content-Length", "Lines:"],
    },
    Check {
        name: "content that breaks off is told from whole content",
        script: "ask $U/half; echo status $?",
        wanted: &["the first half\n", "status 18\n"],
        never: &[],
    },
    Check {
        name: "to HTTP/1.0 it is reset",
        script: "ask -0 $U/half; echo status $?",
        wanted: &["status 56\n"],
        never: &[],
    },
    Check {
        name: "100 Continue where the content is wanted",
        script: "ask -v -H 'Expect: 100-continue' -d hello $U/echo",
        wanted: &["< HTTP/1.1 100 Continue\n", "< HTTP/1.1 200 OK\n", "hello"],
        never: &[],
    },
    Check {
        name: "413 of a handler, before the content",
        script: "ask -v -H 'Expect: 100-continue' -w 'sent %{size_upload}\n' -d @up $U/small",
        wanted: &["< HTTP/1.1 413 Content Too Large\n", "sent 0\n"],
        never: &["100 Continue\n"],
    },
    Check {
        name: "413 of the server, before the content",
        script: "head -c 5000000 /dev/zero > larger; ask -v -H 'Expect: 100-continue' -w 'sent %{size_upload}\n' --data-binary @larger $U/count",
        wanted: &["< HTTP/1.1 413 Content Too Large\n", "sent 0\n"],
        never: &["100 Continue\n"],
    },
    Check {
        name: "413 of a handler, in the middle of chunks",
        script: "for n in 1 2 3 4 5; do ask -H 'Expect:' -o /dev/null -w '%{response_code} ' -X POST -T - $U/small < up; done",
        wanted: &["413 413 413 413 413"],
        never: &[],
    },
    Check {
        name: "413 of the server, in the middle of chunks",
        script: "ask -H 'Expect:' -X POST -T - $U/count < larger",
        wanted: &["Content Too Large\n"],
        never: &[],
    },
    Check {
        name: "another expectation",
        script: "ask -v -H 'Expect: wonders' -d hello $U/echo",
        wanted: &["< HTTP/1.1 417 Expectation Failed\n"],
        never: &["HTTP/1.1 200"],
    },
];

fn content(host: &mut Host) -> Result<()> {
    let guest = http(host, "")?;
    check_all(host, &guest, CONTENT)?;
    host.sh("cd /tmp; rm -f up larger numbers head log", SOON)?.ok()?;
    Ok(())
}

/// Three clients that have their answer and wait, one that will have all of it soon, one that would take longer than
/// there is, one that never reads.
const DOWNLOADS: &str = r"
    mkdir -p leaving; cd leaving; rm -f *
    slowly() { until [ -e guest.gone ]; do head -c 50000; sleep 0.1; done; cat; }
    exec </dev/null >/dev/null 2>&1
    idle() { (printf 'GET /note HTTP/1.1\r\nHost: h\r\n\r\n'; sleep 40) | socat - TCP:10.0.2.15:80 > idle.$1; }
    for n in 1 2 3; do idle $n & done
    (ask --limit-rate 1M $U/numbers/200000 > short; echo $? > short.status) &
    (ask --max-time 100 $U/numbers/20000000; echo $? > long.status) | slowly > long &
    (ask --max-time 100 --dump-header never $U/numbers/20000000 | sleep 40) &
    begun() { for file in short long never idle.1 idle.2 idle.3; do [ -s $file ] || return; done; }
    for _ in $(seq 100); do begun && exit 0; sleep 0.1; done; exit 1";

/// Who has nothing under way is gone at once, and nobody new comes.
const ASKED_TO_LEAVE: &str = r"
    for _ in $(seq 50); do pgrep socat > /dev/null || break; sleep 0.1; done
    pgrep socat; ask --connect-timeout 2 $U/note; echo new client: $?";

/// curl's 18: the content is not whole, which is more than the 32 MiB that a Linux of these days keeps for a slow reader.
/// What it keeps is there before the end is.
const LEFT: &str = r"
    cd leaving; touch guest.gone; for _ in $(seq 400); do [ -s long.status ] && [ -s short.status ] && break; sleep 0.1; done; pkill sleep
    seq 200000 | cmp - short && echo short is whole: $(cat short.status); echo long is cut: $(cat long.status)
    cd ..; rm -r leaving";

fn leaves_during_downloads(host: &mut Host) -> Result<()> {
    let guest = http(host, "")?;
    host.sh(&format!("{TOOLS}{DOWNLOADS}"), SOON)?.ok()?;
    guest.ask_to_leave()?;
    let said = host.sh(&format!("{TOOLS}{ASKED_TO_LEAVE}"), SOON)?;
    ensure!(said.stdout == "new client: 7\n", "after it was asked to leave: {said:?}");
    let end = guest.wait_gone(Duration::from_secs(12))?;
    ensure!(end == End::PowerOff, "it ended with {end:?}");
    guest.wait_console("http: left in order after 6 requests", SOON)?;
    let said = host.sh(&format!("{TOOLS}{LEFT}"), Duration::from_secs(60))?;
    // What curl calls a response that ends early: it read to the end (18), or the reset came first (56).
    let cut = ["short is whole: 0\nlong is cut: 18\n", "short is whole: 0\nlong is cut: 56\n"];
    ensure!(cut.contains(&said.stdout.as_str()), "the downloads: {said:?}");
    Ok(())
}

const CROWDS: &[Check] = &[
    Check {
        name: "a thousand connections",
        script: "wrk -t 1 -c 1000 -d 8 --timeout 20 $U/note; ask $U/note",
        wanted: &["requests in", "\na note\n"],
        never: &["Non-2xx", "Socket errors"],
    },
    Check {
        name: "sixteen requests in each write",
        script: r#"
            cat > sixteen.lua <<END
                init = function() all = string.rep(wrk.format(nil, "/note"), 16) end
                request = function() return all end
END
            wrk -t 1 -c 8 -d 5 -s sixteen.lua $U/note"#,
        wanted: &["requests in"],
        never: &["Non-2xx", "Socket errors"],
    },
    Check {
        name: "more uploads that stop half-way than there is memory for",
        script: r"
            stops() { (printf 'POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4000000\r\n\r\n'; head -c 3000000 /dev/zero; sleep 12) | timeout 13 socat -u - TCP:10.0.2.15:80; }
            for n in $(seq 60); do stops & done >/dev/null 2>&1 </dev/null
            sleep 3; ask --max-time 10 $U/note; sleep 10; head -c 1000000 /dev/zero | ask -T - $U/echo | wc -c",
        wanted: &["a note\n", "\n1000000\n"],
        never: &[],
    },
];

fn crowds(host: &mut Host) -> Result<()> {
    // A guest takes one connection for each 12 KiB it has, and memory for what they send.
    let guest = http_with(host, 96, "patience=5")?;
    check_all(host, &guest, CROWDS)
}
