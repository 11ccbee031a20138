"""The link `envelope`: what hospitals keep as signed by a quorum is looked at, and nothing is asked where they keep none."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from node.audit import audit, open_evidence
from node.provenance.envelopes import FACT, noted
from node.rounds.dsse import Envelope, sign_statement
from node.rounds.journal import Journal
from node.storage import FileStore
from tests.audit.conftest import Run, flip


@pytest.fixture
def copy(run, tmp_path) -> Run:
    return run.copy(tmp_path / "run")


def homes(run: Run):
    return sorted((run.root / "hospitals").iterdir())


def kept(run: Run, number: int) -> bytes:
    cid = noted(homes(run)[0] / "journal.sqlite", number)
    assert cid is not None
    return run.read(cid)


def plant(run: Run, number: int, data: bytes) -> None:
    """Every hospital keeps these bytes as the round's envelope."""
    for home in homes(run):
        journal = home / "journal.sqlite"
        journal.unlink()
        book = Journal(journal)
        book.remember(number, FACT, {"cid": FileStore(home).put(data)})
        book.close()


def judge(run: Run):
    return audit(run.chain, open_evidence([run.root]), None)


def signed_by_half(envelope: Envelope) -> bytes:
    return replace(envelope, signatures=envelope.signatures[:2]).to_bytes()


def bad_signature(envelope: Envelope) -> bytes:
    first, *rest = envelope.signatures
    return replace(envelope, signatures=(replace(first, value=bytes(65)), *rest)).to_bytes()


def by_a_stranger(envelope: Envelope) -> bytes:
    stranger = replace(envelope.signatures[-1], signer=b"\xff" * 20, value=sign_statement(envelope.payload, b"k" * 32))
    return replace(envelope, signatures=(*envelope.signatures, stranger)).to_bytes()


def other_type(envelope: Envelope) -> bytes:
    content = json.loads(envelope.to_bytes()) | {"payloadType": "application/json"}
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


FORGERIES = {
    "half a quorum": (signed_by_half, "2 members signed"),
    "bad signature": (bad_signature, "signature of 0x"),
    "a stranger": (by_a_stranger, "none of the 4 members"),
    "another type": (other_type, "payloadType"),
    "no envelope": (lambda _: b"{}", "Field required"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_envelope_is_located(copy, name):
    forge, words = FORGERIES[name]
    plant(copy, 2, forge(Envelope.from_bytes(kept(copy, 2))))
    report = judge(copy)
    assert report.exit_code == 1
    assert (report.first_broken.link, report.first_broken.round) == ("envelope", 2)
    assert words in report.first_broken.detail


def test_another_rounds_envelope_is_not_this_ones(copy):
    """Every signature in it is right: it is about another statement."""
    plant(copy, 2, kept(copy, 1))
    report = judge(copy)
    assert (report.first_broken.link, report.first_broken.round) == ("envelope", 2)
    assert "digest of the statement" in report.first_broken.detail


def test_a_damaged_copy_is_located(copy):
    for path in copy.copies(noted(homes(copy)[0] / "journal.sqlite", 1)):
        flip(path)
    report = judge(copy)
    assert (report.first_broken.link, report.first_broken.round) == ("envelope", 1)


def test_where_nobody_keeps_one_nothing_is_amiss(copy):
    for home in homes(copy):
        (home / "journal.sqlite").unlink()
    report = judge(copy)
    assert report.verdict == "verified"
    assert "envelope" not in {finding.link for finding in report.findings}


def test_it_travels_in_a_bundle(bundled, run):
    from node.audit.bundle.form import Bundle

    with Bundle(bundled.path) as bundle:
        assert bundle.envelope(1) == kept(run, 1)
        assert bundle.envelope(2) == kept(run, 2)
