"""Every node derives the envelope from its ledger and the chain, keeps it, and finds it again."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from types import MappingProxyType

import pytest

from chain.records import bitmap_members
from dag.bodies import Kind
from node.provenance.envelopes import FACT, EnvelopeKeeper, endorsements_of, kept, members_of, noted
from node.rounds.dsse import Envelope, verify_envelope
from node.rounds.errors import BelowQuorum
from node.rounds.journal import Journal
from node.storage import MemoryStore, raw_cid


@pytest.fixture
def row(view):
    return view.rounds[1]


def store_with(net, row) -> MemoryStore:
    store = MemoryStore()
    store.put(net.nodes[0].blobs.store.get(raw_cid(row.statement)))
    return store


def keep(net, view, node=0, store=None, journal=None):
    journal = journal or Journal(":memory:")
    store = store or store_with(net, view.rounds[1])
    EnvelopeKeeper(net.nodes[node].publisher, store, journal).look(view)
    return store, journal


def test_every_node_derives_the_same_bytes(net, view, row):
    found = []
    for node in range(4):
        store, journal = keep(net, view, node)
        fact = journal.recall(1, FACT)
        assert fact["whole"]
        found.append(store.get(fact["cid"]))
    assert len(set(found)) == 1
    verify_envelope(found[0], members_of(row), row.quorum)
    signers = {net.addresses.index(s.signer) for s in Envelope.from_bytes(found[0]).signatures}
    assert signers == bitmap_members(row.signers)
    assert Envelope.from_bytes(found[0]).statement().digest == row.statement


def test_it_is_made_once_and_found_again(net, view):
    store, journal = keep(net, view)
    before = set(store.iterate())
    keep(net, view, store=store, journal=journal)
    assert set(store.iterate()) == before
    data = kept(journal, store.get, 1)
    assert data is not None
    assert Envelope.from_bytes(data).to_bytes() == data
    assert kept(journal, store.get, 2) is None
    assert kept(journal, MemoryStore().get, 1) is None


def test_as_long_as_the_statement_is_on_its_way_nothing_is_noted(net, view):
    _, journal = keep(net, view, store=MemoryStore())
    assert journal.recall(1, FACT) is None
    keep(net, view, store=store_with(net, view.rounds[1]), journal=journal)
    assert journal.recall(1, FACT)["whole"]


class FewCheckpoints:
    """A ledger that has seen only some of the checkpoints yet."""

    def __init__(self, publisher, count):
        self.publisher, self.count = publisher, count

    def read(self, question):
        return self.publisher.read(question)[: self.count]


def test_below_a_quorum_there_is_none_and_a_missing_signer_is_waited_for(net, view, row):
    publisher, store, journal = net.nodes[0].publisher, store_with(net, row), Journal(":memory:")
    view = replace(view, rounds=MappingProxyType({1: replace(row, signers=0b1111)}))
    EnvelopeKeeper(FewCheckpoints(publisher, 2), store, journal).look(view)
    assert journal.recall(1, FACT) is None
    EnvelopeKeeper(FewCheckpoints(publisher, 3), store, journal).look(view)
    early = journal.recall(1, FACT)
    assert not early["whole"]
    keeper = EnvelopeKeeper(publisher, store, journal)
    keeper.look(view)
    late = journal.recall(1, FACT)
    assert late["whole"]
    assert late["cid"] != early["cid"]
    with pytest.raises(BelowQuorum):
        verify_envelope(store.get(late["cid"]), members_of(row), 5)


def test_a_round_the_chain_took_back_and_ended_otherwise_gets_another(net, view, row):
    store, journal = store_with(net, row), Journal(":memory:")
    cids = []
    for signers in (0b1111, 0b0111):
        ended = replace(view, rounds=MappingProxyType({1: replace(row, signers=signers)}))
        keep(net, ended, store=store, journal=journal)
        fact = journal.recall(1, FACT)
        assert fact["whole"]
        assert len(Envelope.from_bytes(store.get(fact["cid"])).signatures) == signers.bit_count()
        cids.append(fact["cid"])
    assert cids[0] != cids[1]


def test_checkpoints_of_others_than_the_rounds_members_are_passed_over(net, row):
    """Whoever was admitted, or changed its account, after the round was opened does not sign for it."""
    points = net.nodes[0].publisher.read(lambda ledger: ledger.transactions(Kind.CHECKPOINT, 1))
    left = replace(row, standing=replace(row.standing, members=frozenset({0, 1, 2})))
    found = {e.signature.signer for e in endorsements_of(left, points)}
    assert found == {net.addresses[k] for k in (0, 1, 2)}
    assert {e.signature.signer for e in endorsements_of(row, points)} == set(net.addresses)
    assert not list(endorsements_of(replace(row, statement=bytes(32)), points))


def test_open_and_aborted_rounds_have_none(net, view, row):
    for change in ({"finalised": False}, {"finalised": False, "aborted": True, "statement": None}):
        other = replace(view, rounds=MappingProxyType({1: replace(row, **change)}))
        _, journal = keep(net, other, store=store_with(net, row))
        assert journal.recall(1, FACT) is None


# ---- a directory's journal, read by somebody else --------------------------------------------------------------------


def test_a_running_and_a_stopped_nodes_journal_name_it(net, view, tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    keep(net, view, journal=journal)
    cid = journal.recall(1, FACT)["cid"]
    beside = sorted(tmp_path.iterdir())
    assert noted(tmp_path / "journal.sqlite", 1) == cid, "the node is running"
    assert sorted(tmp_path.iterdir()) == beside
    journal.close()
    beside = sorted(tmp_path.iterdir())
    assert noted(tmp_path / "journal.sqlite", 1) == cid, "the node was stopped"
    assert noted(tmp_path / "journal.sqlite", 2) is None
    assert sorted(tmp_path.iterdir()) == beside, "reading leaves nothing behind"


def test_a_journal_on_a_disk_that_cannot_be_written_is_read(net, view, tmp_path):
    journal = Journal(tmp_path / "journal.sqlite")
    keep(net, view, journal=journal)
    journal.close()
    tmp_path.chmod(0o500)
    try:
        assert noted(tmp_path / "journal.sqlite", 1)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\0" + bytes(84)])
def test_what_is_no_journal_names_nothing(tmp_path, content):
    path = tmp_path / "journal.sqlite"
    if content is not None:
        path.write_bytes(content)
    assert noted(path, 1) is None


@pytest.mark.parametrize("value", ["{}", "[", "7", '{"cid": "../../secrets"}', '{"cid": 7}', "[" * 100_000])
def test_what_a_foreign_journal_says_is_not_trusted(tmp_path, value):
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    journal.close()
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO facts VALUES (1, ?, ?)", (FACT, value))
    db.close()
    assert noted(path, 1) is None
