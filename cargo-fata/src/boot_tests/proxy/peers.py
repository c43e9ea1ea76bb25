# A server of WebSockets, and clients of the proxy before it. Arguments: the server's socket, the port that leads to the proxy, whom to trust.
# It does what comes next when a line is typed, and then says so.

import asyncio
import http.client
import os
import socket
import ssl
import sys

import websockets

OWN, PORT, ROOT = sys.argv[1], int(sys.argv[2]), sys.argv[3]


async def echo(peer):
    async for message in peer:
        await peer.send(message)


def connect():
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # nc, which leads from the guest, does not pass on that a server ends: it is not waited for.
    place = {"host": "127.0.0.1", "port": PORT, "ssl": context, "open_timeout": 60, "ping_interval": None, "close_timeout": 1}
    return websockets.connect("wss://sockets.test/", max_size=None, subprotocols=["b", "a"], **place)


async def exchange(peer, sizes):
    assert peer.subprotocol == "a", peer.subprotocol
    for size in sizes:
        message = os.urandom(size)
        await peer.send(message)
        assert await peer.recv() == message, size
    await peer.send("words")
    assert await peer.recv() == "words"
    await asyncio.wait_for(await peer.ping(), 30)


async def short():
    async with connect() as peer:
        await exchange(peer, (0, 1, 125, 126, 65536))
    assert peer.close_code == 1000, peer.close_code


class Kept:
    """A connection of HTTP/1.1 that is not opened a second time."""

    def __init__(self):
        self.http = http.client.HTTPConnection("server.test")
        stream = socket.create_connection(("127.0.0.1", PORT), 60)
        context = ssl.create_default_context(cafile=ROOT)
        self.http.sock = context.wrap_socket(stream, server_hostname="server.test")
        self.http.auto_open = 0

    def ask(self):
        self.http.request("GET", "/name")
        answer = self.http.getresponse()
        assert answer.status == 200 and answer.read() in (b"one\n", b"two\n"), answer.status


async def line():
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


async def main():
    options = {"max_size": None, "subprotocols": ["a"], "ping_interval": None, "close_timeout": 1}
    async with websockets.unix_serve(echo, OWN, **options):
        print("listening", flush=True)
        await line()
        kept = Kept()
        kept.ask()
        async with connect() as peer:
            await exchange(peer, (0, 1, 125, 126, 65536, 300000))
            await asyncio.gather(*(short() for _ in range(3)))
            print("echoed", flush=True)
            await line()
            kept.ask()
            await exchange(peer, (10, 10000))
        assert peer.close_code == 1000, peer.close_code
        print("went on", flush=True)


asyncio.run(main())
