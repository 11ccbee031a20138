"""Votes on a real chain: a quorum of signatures becomes one decision, whoever dies in between."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chain.conduct import Fault
from chain.events import HospitalRemoved
from chain.votes import Admission, Finding, Removal, Resizing, Vote, sign_vote
from node.consortium.follower import Follower
from node.membership import council as module
from node.membership.book import MotionBook
from node.membership.council import Council
from node.membership.exchange import Exchange
from node.membership.motion import Motion
from node.membership.tally import DONE, describe, tally
from tests.chain.support import Consortium, digest
from tests.membership.support import ACCOUNTS, LATER, hospital

SEATS = range(4)


class Killed(BaseException):
    """The process dies here."""


class Node:
    """One hospital's council on a real chain; its peers' exchanges are called directly."""

    def __init__(self, consortium: Consortium, k: int, root: Path) -> None:
        self.k, self.net = k, consortium
        self.chain = consortium.client(k)
        self.follower = Follower(self.chain)
        self.book = MotionBook(root / f"motions-{k}.sqlite", consortium.deployment)
        self.exchange = Exchange(self.book, consortium.deployment, lambda: self.follower.view)
        self.exchange.call = self._call  # type: ignore[method-assign]
        self.others: list[Node] = []
        self.council = Council(k, consortium.accounts[k], self.chain, self.book, self.exchange, lambda: (), 0.0)

    def _call(self, _peers: tuple[str, ...]) -> bool:
        new = False
        for other in self.others:
            other.exchange.heard(self.exchange.told())
            new = self.exchange.heard(other.exchange.told()) or new
        return new

    def step(self) -> None:
        self.follower.look()
        self.council.step(self.follower.view)

    @property
    def ended(self) -> list[str]:
        return [how for _, how in self.book.ended()]


@pytest.fixture
def nodes(consortium: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Node]]:
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    made = [Node(consortium, k, tmp_path) for k in SEATS]
    for node in made:
        node.others = [other for other in made if other is not node]
        node.follower.look()
    yield made
    for node in made:
        node.book.close()


def removal(net: Consortium, decision: int = 0, deadline: int = LATER) -> Removal:
    return Removal(account=net.accounts[3].address, decision=decision, deadline=deadline)


def rounds_of(nodes: list[Node], times: int = 3) -> None:
    for _ in range(times):
        for node in nodes:
            node.step()


def test_a_quorum_of_signatures_becomes_one_decision(nodes: list[Node], consortium: Consortium) -> None:
    vote = removal(consortium)
    for node in nodes[:2]:
        node.council.support(vote)
    rounds_of(nodes)
    assert nodes[0].chain.registry.decisions() == 0, "two of four are no quorum"
    nodes[2].council.support(vote)
    rounds_of(nodes)
    assert nodes[0].chain.registry.decisions() == 1
    assert sum(isinstance(event, HospitalRemoved) for event in nodes[0].chain.events(0)) == 1
    assert all(node.ended == [DONE] for node in nodes)
    assert all(node.follower.view.members == {0, 1, 2} for node in nodes)
    assert nodes[0].follower.view.quorum == 2
    assert nodes[0].follower.view.decisions == 1


def test_nothing_is_lost_or_doubled_by_kill_9(nodes: list[Node], consortium: Consortium, tmp_path: Path) -> None:
    """Dies after signing; dies again after the transaction is on the chain and before it knows."""
    vote = removal(consortium)
    for node in nodes[1:3]:
        node.council.support(vote)
    nodes[0].council.support(vote)
    again = Node(consortium, 0, tmp_path)  # what a killed process leaves is the file
    again.others = nodes[1:3]
    for node in nodes[1:3]:
        node.others = []
    sent = []

    def killed(chain: object, motion: Vote, signatures: dict[int, bytes]) -> None:
        original(chain, motion, signatures)
        sent.append(motion)
        raise Killed

    original = module.send
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "send", killed)
        with pytest.raises(Killed):
            rounds_of([again])
    assert sent == [vote]
    third = Node(consortium, 0, tmp_path)
    third.others = nodes[1:3]
    rounds_of([third, *nodes[1:3]])
    assert third.chain.registry.decisions() == 1
    assert third.ended == [DONE]
    again.book.close()
    third.book.close()


def test_of_two_motions_with_one_number_the_second_is_void(nodes: list[Node], consortium: Consortium) -> None:
    resizing = Resizing(account=consortium.accounts[3].address, data_size=7, decision=0, deadline=LATER)
    for node in nodes[:3]:
        node.council.support(removal(consortium))
        node.council.support(resizing)
    rounds_of(nodes)
    assert nodes[0].chain.registry.decisions() == 1
    assert sorted(how[:4] for how in nodes[0].ended) == ["carr", "void"]


def test_a_motion_that_came_too_late_ends(nodes: list[Node], consortium: Consortium) -> None:
    nodes[0].council.support(removal(consortium, deadline=nodes[0].chain.now() - 100))
    rounds_of(nodes[:1])
    assert nodes[0].ended == ["expired before a quorum had signed"]


def test_the_admitted_count_from_then_on(nodes: list[Node], consortium: Consortium) -> None:
    newcomer = hospital(4)
    vote = Admission(hospital=newcomer, decision=0, deadline=LATER)
    for node in nodes[:3]:
        node.council.support(vote)
    rounds_of(nodes)
    view = nodes[3].follower.view
    assert (view.members, view.quorum, view.decisions) == ({0, 1, 2, 3, 4}, 4, 1)
    second = Motion.of(removal(consortium, decision=1), consortium.deployment)
    signatures = {newcomer.account: sign_vote(second.vote, consortium.deployment, ACCOUNTS[4])}
    assert set(tally(second, signatures, view, time.time()).signatures) == {4}
    assert "fingerprint" in describe(Motion.of(vote, consortium.deployment), view)


def test_a_finding_counts_once_and_lowers_the_rank(nodes: list[Node], consortium: Consortium) -> None:
    base = consortium.start_lineage()
    nodes[0].chain.rounds.open(digest("plan"), base, 10, 1000)
    finding = Finding(round=1, fault=Fault.BAD_UPDATE, members=1 << 3, evidence=digest("update"))
    for node in nodes[:3]:
        node.council.support(finding)
    rounds_of(nodes)
    view = nodes[1].follower.view
    assert view.faults == {(1, int(Fault.BAD_UPDATE), 3)}
    assert view.standing.reputations == (100, 100, 100, 50)
    assert all(node.ended == [DONE] for node in nodes)
    assert [nodes[0].chain.rounds.reputation_of(k) for k in SEATS] == [100, 100, 100, 50]
