"""Connections of TLS that are held. The arguments are the guest's port on this machine, how many it has room for, and which protocol they
speak, by its name in ALPN; the guest's own certificate is trusted. Says what the guest counts with one connection, with all, after a request on each, and when more came than it has room for."""

import queue
import socket
import ssl
import struct
import sys
import threading
import time

import hpack

PORT, MOST, PROTOCOL = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
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
context.set_alpn_protocols([PROTOCOL])
context.load_verify_locations(cadata=ssl.get_server_certificate(("127.0.0.1", PORT), timeout=120))


def connect():
    stream = socket.create_connection(("127.0.0.1", PORT), timeout=120)
    stream = context.wrap_socket(stream, server_hostname="server.test")
    assert PROTOCOL != "h2" or stream.selected_alpn_protocol() == "h2"
    return Http2(stream) if PROTOCOL == "h2" else Http1(stream)


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


class Http1:
    """A connection of HTTP/1.1."""

    def __init__(self, stream):
        self.stream = stream

    def get(self, path):
        """The content of an answer; the connection stays."""
        self.stream.sendall(f"GET {path} HTTP/1.1\r\nHost: server.test\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            octets = self.stream.recv(16384)
            assert octets, f"the connection ended in an answer's head: {answer!r}"
            answer += octets
        head, content = answer.split(b"\r\n\r\n", 1)
        lines = head.decode().lower().split("\r\n")
        assert " 200 " in lines[0], lines[0]
        (length,) = [int(line.split(":")[1]) for line in lines if line.startswith("content-length:")]
        while len(content) < length:
            octets = self.stream.recv(16384)
            assert octets, f"the connection ended after {len(content)} of {length} octets"
            content += octets
        return content.decode()


class Http2:
    """A connection of HTTP/2 (RFC 9113), which has said its preface and settings, and read the server's."""

    DATA, HEADERS, SETTINGS, WINDOW_UPDATE = 0, 1, 4, 8
    END_STREAM, END_HEADERS, ACK = 1, 4, 1

    def __init__(self, stream):
        self.stream, self.next = stream, 1
        self.fields, self.seen = hpack.Encoder(), hpack.Decoder()
        self.stream.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(self.SETTINGS, 0, 0, b""))
        while self.read()[:2] != (self.SETTINGS, self.ACK):
            pass

    @staticmethod
    def frame(kind, flags, stream, content):
        return struct.pack(">I", len(content))[1:] + struct.pack(">BBI", kind, flags, stream) + content

    def octets(self, count):
        content = b""
        while len(content) < count:
            octets = self.stream.recv(count - len(content))
            assert octets, f"the connection ended after {len(content)} of {count} octets"
            content += octets
        return content

    def read(self):
        """The next frame, but for settings that want to be acknowledged."""
        head = self.octets(9)
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        content = self.octets(int.from_bytes(head[:3], "big"))
        if (kind, flags) == (self.SETTINGS, 0):
            self.stream.sendall(self.frame(self.SETTINGS, self.ACK, 0, b""))
        return kind, flags, stream, content

    def get(self, path):
        """The content of an answer; the connection stays."""
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", "server.test"), (":path", path)]
        flags = self.END_STREAM | self.END_HEADERS
        self.stream.sendall(self.frame(self.HEADERS, flags, self.next, self.fields.encode(fields)))
        status, answer, flags = None, b"", 0
        while not flags & self.END_STREAM:
            kind, flags, stream, content = self.read()
            if stream != self.next:
                flags = 0
            elif kind == self.HEADERS:
                assert flags & self.END_HEADERS
                status = dict(self.seen.decode(content))[":status"]
            else:
                assert kind == self.DATA, f"a frame of type {kind}: {content!r}"
                answer += content
        assert status == "200", status
        self.stream.sendall(self.frame(self.WINDOW_UPDATE, 0, 0, struct.pack(">I", max(len(answer), 1))))
        self.next += 2
        return answer.decode()


def counts(stream):
    lines = dict(line.rsplit(" ", 1) for line in stream.get("/metrics").splitlines() if line[0] != "#")
    return {name: int(lines[metric]) for name, metric in METRICS.items()}


def say(when, figures):
    print(when, *(f"{name}={value}" for name, value in figures.items()), flush=True)


first = connect()
# What is made once is made before it is counted.
counts(first)
say("one", counts(first))
held = at_once(lambda _: connect(), range(MOST - 1))
say("all", counts(first))
for content in at_once(lambda stream: stream.get("/4k.html"), held):
    assert len(content) == 4096
say("asked", counts(first))
# Each of those over the limit takes the place of the one that has been idle for longest.
late = []
for _ in range(OVER):
    late.append(connect())
    assert len(late[-1].get("/4k.html")) == 4096


def has_ended(connection):
    connection.stream.setblocking(False)
    try:
        # Of HTTP/2 there are last words.
        while connection.stream.recv(16384):
            pass
        return True
    except ssl.SSLWantReadError:
        return False


limit = time.monotonic() + 20
rest = held
while len(held) - len(rest) < OVER and time.monotonic() < limit:
    rest = [stream for stream in rest if not has_ended(stream)]
say("over", {**counts(late[-1]), "ended": len(held) - len(rest)})
