"""The numbers that docs/spec/bundle.md gives a stranger are the ones this software uses."""

from __future__ import annotations

import hashlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from chain.artifact import CONTRACTS, load
from chain.events import EVENTS
from crypto.parameters import parameter_set
from dag.bodies import BODIES
from node.audit.bundle import form
from node.audit.calls import _abi
from node.audit.report import LINKS

PAGE = (Path(__file__).parents[2] / "docs" / "spec" / "bundle.md").read_text()


@pytest.mark.parametrize("name", CONTRACTS)
def test_creation_codes(name):
    code = load(name).bytecode
    (row,) = re.findall(rf"^\| {name} \|.*$", PAGE, re.MULTILINE)
    assert f"{len(code):,}, `{hashlib.sha256(code).hexdigest()}`" in row


def test_events_with_their_arguments():
    entries = {e["name"]: e for name in CONTRACTS for e in load(name).abi if e["type"] == "event"}
    told = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", PAGE, re.MULTILINE))
    assert set(told) == {event.__name__ for event in EVENTS}
    for name, arguments in told.items():
        inputs = [f"{i['type']}{'*' * i['indexed']} {i['name']}" for i in entries[name]["inputs"]]
        assert arguments == ", ".join(inputs), name


@pytest.mark.parametrize("function", ["finalise", "genesis"])
def test_selectors(function):
    assert f"0x{_abi(function)[0].hex()}" in PAGE


@pytest.mark.parametrize("name", ["standard", "minimal"])
def test_parameter_sets(name):
    assert f"`{name}` {parameter_set(name, allow_minimal=True).id.hex()}" in PAGE


def test_bodies_name_every_field():
    for kind, body in BODIES.items():
        if kind == "genesis":
            continue
        (row,) = re.findall(rf"^\| {kind} \|(.*)$", PAGE, re.MULTILINE)
        assert set(re.findall(r"`(\w+)`", row)) == {field.name for field in fields(body)}, kind


def test_entries_and_links():
    assert all(f"`{name}" in PAGE for name in (form.MANIFEST, form.BLOCKS, form.BLOBS, form.ENVELOPES, form.MODEL))
    assert form.FORMAT in PAGE
    assert set(re.findall(r"^\d+\. \*\*(\w+)\*\*", PAGE, re.MULTILINE)) == set(LINKS)
