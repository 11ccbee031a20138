"""Connections on real sockets: who never says what it wants, and who opens too many."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager

import pytest

from node.api.access import connections
from node.api.access.tls import server_settings
from node.api.serving import ApiServer
from node.home import Home
from tests.api.access.support import config_for

ASK = b"GET /v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)


@contextmanager
def port(guarded):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server = ApiServer(guarded.http.app, **server_settings(Home(guarded.service.home.root), config_for()))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield listener.getsockname()
        finally:
            server.should_exit = True
            thread.join()


def dial(address) -> socket.socket:
    found = socket.create_connection(address)
    found.settimeout(5)
    return found


def answered(line: socket.socket) -> bool:
    """Whether a whole answer comes."""
    data = b""
    while b"\r\n\r\n" not in data or not data.endswith(b"}"):
        piece = line.recv(4096)
        if not piece:
            return False
        data += piece
    return data.startswith(b"HTTP/1.1 200 OK")


def ended(line: socket.socket) -> bool:
    """Whether the node has closed the connection; waits up to five seconds for it."""
    try:
        return line.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    ("after", "begun"), [(False, b""), (False, b"GET /v1/health HTTP/1.1\r\nHost: 127"), (True, b"GET /v1/he")]
)
def test_who_does_not_come_to_the_end_of_its_headers_is_cut_off(guarded, quick, after, begun):
    with port(guarded) as address, dial(address) as line:
        if after:
            line.sendall(ASK)
            assert answered(line)
        line.sendall(begun)
        assert ended(line)


def test_a_byte_at_a_time_is_no_way_out(guarded, quick):
    with port(guarded) as address, dial(address) as line:
        began = time.monotonic()
        try:
            for byte in ASK[:-2] * 20:
                line.sendall(bytes([byte]))
                time.sleep(0.02)
        except ConnectionError:
            pass
        assert time.monotonic() - began < 3


def test_a_connection_that_asks_now_and_then_stays(guarded, quick):
    with port(guarded) as address, dial(address) as line:
        for _ in range(4):
            line.sendall(ASK)
            assert answered(line)
            time.sleep(0.25)


def test_one_address_has_so_many_connections_at_most(guarded, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS_EACH", 3)
    with port(guarded) as address:
        lines = [dial(address) for _ in range(3)]
        for line in lines:
            line.sendall(ASK)
            assert answered(line)
        with dial(address) as further:
            assert ended(further)
        lines[0].close()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            with dial(address) as again:
                again.sendall(ASK)
                try:
                    if answered(again):
                        break
                except ConnectionError:
                    pass
            time.sleep(0.02)
        else:
            pytest.fail("a place that became free was not given")
        for line in lines[1:]:
            line.close()


def test_all_together_have_so_many(guarded, monkeypatch):
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 1)
    with port(guarded) as address, dial(address) as first, dial(address) as second:
        assert ended(second)
        first.sendall(ASK)
        assert answered(first)
