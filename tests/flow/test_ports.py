"""Ports are chosen long before a daemon listens on them: no outgoing connection may take one meanwhile."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from node.demo import ports
from node.demo.ports import CHOICE, choose_ports
from node.errors import BadEnvironment

RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def test_ports_are_free_different_and_no_outgoing_connections():
    chosen = choose_ports(9, 0)
    assert len(set(chosen)) == 9
    assert all(port in CHOICE for port in chosen)
    for port in chosen:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", port))


@pytest.mark.skipif(not RANGE.exists(), reason="only Linux says which ports it gives to connections")
def test_this_system_gives_none_of_them_to_a_connection():
    assert int(RANGE.read_text().split()[0]) >= CHOICE.stop


def test_a_port_in_use_is_passed_over_or_named(monkeypatch):
    with socket.socket() as holder:
        (taken,) = choose_ports(1, 0)
        holder.bind(("127.0.0.1", taken))
        monkeypatch.setattr(ports, "CHOICE", range(taken, taken + 4))
        monkeypatch.setattr(ports, "ATTEMPTS", 4)
        assert taken not in choose_ports(3, 0)
        with pytest.raises(BadEnvironment, match=f"port {taken} is in use"):
            choose_ports(1, taken)
        with pytest.raises(BadEnvironment, match="no 4 free ports"):
            choose_ports(4, 0)
