"""A consortium that changes under way: an audit counts by the members of each round, and says what changed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from eth_account import Account

from benchmarks.history import Blobs, History, Size
from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.deployment import fund
from chain.votes import Removal, Resizing, Rotation, sign_vote
from crypto.parameters import parameter_set
from dag.transaction import address_of
from node.audit import audit, open_evidence
from node.audit.chainside import read_history
from node.audit.history import LiveHistory
from node.audit.membership import changes
from node.audit.run import examine

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = Size(5, 3, "cnn", min_group=2)
GONE, ROTATED, GREW = 1, 2, 3
NEW_KEY = hashlib.sha256(b"another account").digest()


class Changing(History):
    """Rounds between which members vote about each other."""

    def decide(self, make) -> None:
        """Carry out a vote that all present members sign."""
        chain = self._clients[self.seats[0]]
        vote = make(decision=chain.registry.decisions(), deadline=2**40)
        signatures = {seat: sign_vote(vote, self.deployment, self._accounts[seat]) for seat in self.seats}
        act = {Removal: chain.registry.remove, Rotation: chain.registry.rotate, Resizing: chain.registry.resize}
        act[type(vote)](vote, signatures)

    def take(self, seat: int, key: bytes, url: str) -> None:
        """From now on a seat signs with another key."""
        self._accounts[seat], self._addresses[seat] = Account.from_key(key), address_of(key)
        self._clients[seat] = Chain(url, self.deployment, self._accounts[seat])
        self._ledger._keys[seat] = key


@pytest.fixture(scope="module")
def changed(tmp_path_factory) -> Iterator[tuple]:
    root = tmp_path_factory.mktemp("changing")
    with Anvil(None, root / "chain.json") as anvil:
        history = Changing(anvil.url, Blobs(root / "blobs"), SIZE, parameter_set("minimal", allow_minimal=True))
        history.round(1)
        account = {seat: history._accounts[seat].address for seat in range(5)}
        history.decide(lambda **vote: Removal(account=account[GONE], **vote))
        history.seats = (0, 2, 3, 4)
        history.decide(lambda **vote: Resizing(account=account[GREW], data_size=200, **vote))
        history.decide(lambda **vote: Resizing(account=account[GREW], data_size=100, **vote))
        history.round(2)
        new = Account.from_key(NEW_KEY).address
        box = history._keys.boxes[ROTATED].public
        history.decide(lambda **v: Rotation(account=account[ROTATED], new_account=new, new_box_key=box, **v))
        history.take(ROTATED, NEW_KEY, anvil.url)
        fund(anvil.url, dev_account(0), [new], 10)
        history.round(3)
        chain = Chain(anvil.url, history.deployment)
        yield chain, open_evidence([root / "blobs"]), history.model


def test_rounds_before_and_after_are_verified(changed):
    chain, evidence, model = changed
    report = audit(chain, evidence, None, model_file=model)
    assert report.verdict == "verified", report.to_text()
    assert report.rounds == (1, 2, 3)


def test_what_changed_is_said(changed):
    chain, evidence, _ = changed
    notes = audit(chain, evidence, None).notes
    assert "before round 2: seat 1 left; 4 members since" in notes
    assert "before round 3: seat 2 changed to another account" in notes
    assert "round 2: seat 1, no members any more, held shares of the key of epoch 1" in notes
    assert not any("round 1:" in note and "seat" in note for note in notes)


def test_an_account_counts_only_in_the_rounds_it_was_a_members(changed):
    """Round 3 told as if nobody had left or rotated: the new account is nobody's then."""
    chain, evidence, _ = changed
    facts = read_history(LiveHistory(chain))
    made = facts.finalised[3]
    row = replace(made.row, standing=facts.view.rounds[1].standing)
    told = replace(
        facts,
        view=replace(facts.view, rounds={**facts.view.rounds, 3: row}),
        finalised={**facts.finalised, 3: replace(made, row=row)},
    )
    found = [f for f in examine(told, evidence, None).findings if f.status == "falsified"]
    assert {(f.link, f.round) for f in found} >= {("segment", 3)}
    assert any(address_of(NEW_KEY).hex() in f.detail for f in found)


def test_signatures_count_by_who_was_a_member_when_it_was_finalised(changed):
    chain, evidence, _ = changed
    facts = read_history(LiveHistory(chain))
    made = facts.finalised[3]
    stale = replace(made, signatories=facts.finalised[1].signatories)
    found = examine(replace(facts, finalised={**facts.finalised, 3: stale}), evidence, None).findings
    assert {f.link for f in found if f.status == "falsified"} == {"outcome"}


def test_joining_resizing_and_refreshing_are_said(changed):
    chain, *_ = changed
    facts = read_history(LiveHistory(chain))
    row = facts.view.rounds[3]
    more = replace(
        row.standing, accounts=(*row.standing.accounts, "0x" + "77" * 20), members=row.standing.members | {5}
    )
    rounds = {**facts.view.rounds, 3: replace(row, standing=more, sizes=(*row.sizes[:3], 300, *row.sizes[4:], 10))}
    epochs = {1: replace(facts.view.epochs[1], generation=2)}
    said = list(changes(replace(facts, view=replace(facts.view, rounds=rounds, epochs=epochs)), (1, 2, 3)))
    assert "before round 3: seat 5 joined; 5 members since" in said
    assert "before round 3: seat 3 declared another data size" in said
    assert "round 3: seat 5 held no share of the key of epoch 1" in said
    assert "key epoch 1: its shares were refreshed 2 times, its joint key never changed" in said
