"""Rounds across a refresh: one generation opens a proposal, a mix never does, and a round cut in two is opened anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from crypto.refresh import Refresher, ZeroShare, finish_refresh, receive_zero, refresh_terms
from crypto.secrets import BoxKey
from node.rounds import effects as do
from node.rounds.statement import Statement
from node.storage import raw_cid
from tests.flow.simnet import SimNet


class Refreshing(SimNet):
    """A consortium whose shares can be refreshed at any moment of a round."""

    def __init__(self, members: int, threshold: int) -> None:
        super().__init__(members, threshold)
        self.generation = 0
        self.asked: dict[bytes, int] = {}
        joint, boxes = self.nodes[0].ports.keys.joint, [BoxKey.generate() for _ in range(members)]
        terms = refresh_terms(joint, 1, [box.public for box in boxes])
        dealers = [Refresher.resume(terms, k, bytes([k]) * 32) for k in range(members)]

        def taken(dealer: Refresher, k: int) -> ZeroShare:
            given = {"terms": terms, "commitment": dealer.commitment, "dealer": dealer.index, "receiver": k}
            return receive_zero(dealer.dealing().header, dealer.dealing().shares[k], boxes[k], **given)

        self.next = [
            finish_refresh(node.ports.keys.member, boxes[k], [taken(dealer, k) for dealer in dealers])
            for k, node in enumerate(self.nodes)
        ]

    def pin(self) -> None:
        """Let members know which generation the chain had when it recorded a proposal, as the daemon does."""
        for node in self.nodes:
            node.ports = replace(node.ports, generation_at=self.recorded)

    def recorded(self, number: int, proposal: bytes) -> int:
        assert any(a.proposal == proposal for a in self.chain.anchors[number])
        return self.asked.setdefault(proposal, self.generation)

    def switch(self, *members: int) -> None:
        """Put the next generation in force, at these members only where some are given."""
        for k in members or range(len(self.nodes)):
            self.nodes[k].ports.keys.member = self.next[k]
        self.generation = 1


def shares_of(net: SimNet, number: int):
    """Statement of a finalised round, and the transactions that opened its sums."""
    statement = Statement.from_bytes(net.nodes[0].blobs.obtain(raw_cid(net.chain.endings[number].statement)))
    return statement.predicate


def before_the_second_share(net: Refreshing, act) -> None:
    """Do something once, after one opener has released its share and before the next does."""
    released: list[int] = []

    def stopped(node, effect):
        if isinstance(effect, do.ReleaseShare):
            if released and node.index not in released:
                act()
                net.stopped_effects = lambda _node, _effect: False
            released.append(node.index)
        return False

    net.stopped_effects = stopped


def test_the_next_round_is_opened_with_the_new_shares():
    net = Refreshing(4, 3)
    net.pin()
    assert net.run(net.open_round()).finalised
    net.switch()
    assert net.run(net.open_round()).finalised
    assert set(net.asked.values()) == {0, 1}


def test_a_round_cut_in_two_by_a_refresh_is_opened_by_the_next_leader():
    net = Refreshing(4, 3)
    net.pin()
    number = net.open_round()
    before_the_second_share(net, net.switch)
    assert net.run(number).finalised
    assert len(net.chain.anchors[number]) == 2, "the first proposal was abandoned, the second opened"
    opened = bytes.fromhex(shares_of(net, number).proposal)
    first = next(a.proposal for a in net.chain.anchors[number] if a.proposal != opened)
    assert (net.asked[first], net.asked[opened]) == (0, 1)
    released = [share.proposal for share in net.nodes[0].runner.state.shares]
    assert (released.count(first), released.count(opened)) == (1, 3), (
        "no new share opens what was asked of the old ones"
    )


def test_members_that_do_not_look_at_the_chain_mix_are_named_and_retry(caplog):
    """Without the rule: old and new shares meet in one proposal, are told apart by name, and the round goes on."""
    net = Refreshing(4, 3)
    number = net.open_round()
    before_the_second_share(net, net.switch)
    with caplog.at_level("INFO"):
        assert net.run(number).finalised
    assert "the openers' shares do not fit together" in caplog.text
    assert "with generation 0" in caplog.text
    assert len(net.chain.anchors[number]) == 2


@pytest.mark.parametrize("behind", [0, 3])
def test_a_member_left_behind_takes_no_part_and_stops_nobody(behind):
    """It holds an older share, from a backup for instance: the others' leaders ask other openers."""
    net = Refreshing(4, 3)
    net.pin()
    net.switch(*(k for k in range(4) if k != behind))
    number = net.open_round()
    assert net.run(number).finalised
    assert len(shares_of(net, number).shares) == 3
    assert behind not in shares_of(net, number).openers
