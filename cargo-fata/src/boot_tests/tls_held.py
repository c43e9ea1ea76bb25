"""Connections of TLS that are held. The arguments are the guest's port on this machine and how many it has room for, whose own
certificate is trusted. Says what the guest counts with one connection, with all, after a request on each, and when more came than it has room for."""

import queue
import socket
import ssl
import sys
import threading
import time

PORT, MOST = int(sys.argv[1]), int(sys.argv[2])
OVER = 20
# Handshakes at once: what one waits for, another computes.
WORKERS = 8
METRICS = {
    "held": 'fata_memory_bytes{kind="heap_used"}',
    "free": 'fata_memory_bytes{kind="free"}',
    "open": "http_connections_open",
    "evicted": "http_connections_evicted_total",
    "full": 'tls_handshakes_total{result="full"}',
    "short": "tls_short_of_memory_total",
}

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.load_verify_locations(cadata=ssl.get_server_certificate(("127.0.0.1", PORT), timeout=120))


def connect():
    stream = socket.create_connection(("127.0.0.1", PORT), timeout=120)
    return context.wrap_socket(stream, server_hostname="server.test")


def at_once(work, items):
    """What `work` makes of each."""
    waiting, done, errors = queue.SimpleQueue(), [None] * len(items), []
    for pair in enumerate(items):
        waiting.put(pair)

    def worker():
        while not errors:
            try:
                at, item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done[at] = work(item)
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=worker) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return done


def get(stream, path):
    """The content of an answer; the connection stays."""
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: server.test\r\n\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        octets = stream.recv(16384)
        assert octets, f"the connection ended in an answer's head: {answer!r}"
        answer += octets
    head, content = answer.split(b"\r\n\r\n", 1)
    lines = head.decode().lower().split("\r\n")
    assert " 200 " in lines[0], lines[0]
    (length,) = [int(line.split(":")[1]) for line in lines if line.startswith("content-length:")]
    while len(content) < length:
        octets = stream.recv(16384)
        assert octets, f"the connection ended after {len(content)} of {length} octets"
        content += octets
    return content.decode()


def counts(stream):
    lines = dict(line.rsplit(" ", 1) for line in get(stream, "/metrics").splitlines() if line[0] != "#")
    return {name: int(lines[metric]) for name, metric in METRICS.items()}


def say(when, figures):
    print(when, *(f"{name}={value}" for name, value in figures.items()), flush=True)


first = connect()
# What is made once is made before it is counted.
counts(first)
say("one", counts(first))
held = at_once(lambda _: connect(), range(MOST - 1))
say("all", counts(first))
for content in at_once(lambda stream: get(stream, "/4k.html"), held):
    assert len(content) == 4096
say("asked", counts(first))
# Each of those over the limit takes the place of the one that has been idle for longest.
late = []
for _ in range(OVER):
    late.append(connect())
    assert len(get(late[-1], "/4k.html")) == 4096


def has_ended(stream):
    stream.setblocking(False)
    try:
        return stream.recv(1) == b""
    except ssl.SSLWantReadError:
        return False


limit = time.monotonic() + 20
rest = held
while len(held) - len(rest) < OVER and time.monotonic() < limit:
    rest = [stream for stream in rest if not has_ended(stream)]
say("over", {**counts(late[-1]), "ended": len(held) - len(rest)})
