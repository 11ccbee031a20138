"""The simulated world of `benchmarks.scale`: its links, its ledger, and rounds that the real round core plays in it."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.errors import NotMeasured
from benchmarks.scaling import sizes
from benchmarks.scaling.cases import transactions_singly
from benchmarks.scaling.counting import load_of
from benchmarks.scaling.ledger import QUIET, Ledger
from benchmarks.scaling.setting import Network, Setting
from benchmarks.scaling.wires import Wires
from benchmarks.scaling.world import World
from dag import bodies
from dag.bodies import AcknowledgementBody, Kind, ShareBody, UpdateBody
from dag.errors import MalformedTransaction
from node.rounds.state import RoundState
from tests.benchmarks.support import UNITS

LINK = Network(bandwidth=1000.0, latency=0.5)


def played(members, groups, **changes):
    world = World(replace(Setting(members, groups), **changes), UNITS)
    return world, world.run()


# ---- links -----------------------------------------------------------------------------------------------------------


def test_one_sender_serves_one_after_the_other():
    """Told after half a second, asked after another; then a second for each thousand bytes."""
    wires = Wires(4, LINK)
    assert wires.spread("x", 0, [2, 1, 3], 1000, now=10.0).tolist() == [12.5, 13.5, 14.5]
    assert wires.came["x"].tolist() == [0, 1000, 1000, 1000]
    assert wires.left["x"].tolist() == [3000, 0, 0, 0]
    assert wires.spread("x", 0, [1], 1000, now=10.0).tolist() == [15.5], "its link is busy until 14"


def test_one_receiver_takes_in_one_after_the_other():
    wires = Wires(4, LINK)
    assert wires.collect("x", 0, [1, 2, 3], 1000, now=0.0) == 4.0, "asked at 0.5, first there at 2, then one a second"
    assert wires.collect("x", 0, [1], 1000, now=0.0) == 5.0
    assert wires.collect("x", 1, [], 1000, now=7.0) == 7.0
    assert wires.came["x"][0] == 4000


def test_what_all_pass_on_arrives_once_at_each_other():
    wires = Wires(4, LINK)
    wires.flood("y", 100.0)
    assert wires.came["y"].sum() == 3 * 100
    assert wires.left["y"].sum() == 3 * 100


# ---- ledger ----------------------------------------------------------------------------------------------------------


class Talk:
    """Three members; what one says reaches the others after a second."""

    def __init__(self):
        self.ledger = Ledger(3, 2, random.Random(1))

    def say(self, member, body, now, parents=None):
        payload = sizes.BLOB if body.carries_payload else None
        arrivals = np.full(3, now + 1.0)
        arrivals[member] = now
        parents = parents or self.ledger.choose(member, now, body)
        return self.ledger.post(member, bytes([member]) * 20, body, parents, arrivals, payload)

    def update(self, member, now, parents=None):
        return self.say(member, UpdateBody(1, 1, 1, bytes([member]) * 32, bytes(16), bytes(32)), now, parents)


def test_a_member_sees_what_has_reached_it_and_its_parents():
    talk = Talk()
    first = talk.update(0, 0.0)
    above = talk.say(0, QUIET, 0.5, (first.id, first.id))
    assert talk.ledger.tips(0, 0.5) == [2]
    assert talk.ledger.tips(1, 0.5) == [0], "the genesis"
    assert talk.ledger.tips(1, 1.0) == [1]
    assert talk.ledger.tips(1, 1.5) == [2]
    late = talk.ledger.post(1, bytes(20), QUIET, (above.id, above.id), np.array([0.0, 0.0, 0.0]), None)
    assert talk.ledger.moments(late.id).tolist() == [0.5, 1.5, 1.5]


def test_approval_follows_the_parents():
    talk = Talk()
    one, two = talk.update(0, 0.0), talk.update(1, 0.0)
    talk.say(2, QUIET, 2.0)
    assert talk.ledger.approves(2, one.id)
    assert talk.ledger.approves(2, two.id), "two tips, and both are news"
    assert not talk.ledger.approves(0, two.id)


def test_gathering_says_what_is_missing():
    talk = Talk()
    updates = [talk.update(member, 0.0).id for member in range(3)]
    parents = talk.ledger.over(0, 2.0, updates)
    missing = talk.ledger.missing(updates, parents)
    assert missing.bit_count() == 1
    joint = talk.say(0, QUIET, 2.0, parents)
    parents = talk.ledger.beside(0, 2.0, joint.id, missing)
    assert parents[0] == joint.id
    assert not talk.ledger.missing(updates, parents)


def test_an_update_may_be_listed_once_a_quorum_closed_above_it():
    talk, close = Talk(), AcknowledgementBody(None, close=True)
    update = talk.update(0, 0.0)
    first = talk.say(0, close, 1.0, (update.id, update.id))
    assert talk.ledger.listable([update.id], (first.id, first.id)) == ()
    second = talk.say(1, close, 1.0, (update.id, update.id))
    assert talk.ledger.listable([update.id], (first.id, second.id)) == (update.id,)
    assert [talk.ledger.closers(member, 1.5, update.id) for member in range(3)] == [1, 1, 0]
    assert [talk.ledger.closers(member, 2.0, update.id) for member in range(3)] == [2, 2, 2]


# ---- rounds ----------------------------------------------------------------------------------------------------------


def test_ten_hospitals_agree_with_counting():
    """Bytes within a hundredth, core-seconds within a tenth: of these the leader adds twice, and the ledger is longer."""
    _, observed = played(10, 3)
    counted = load_of(UNITS, 10, 3)
    assert observed.arrived().mean() == pytest.approx(counted.bytes, rel=0.01)
    assert observed.came["updates"].mean() == pytest.approx(counted.updates_bytes, rel=0.01)
    assert observed.came["openings"].mean() == pytest.approx(counted.openings_bytes, rel=0.01)
    assert observed.core.mean() == pytest.approx(counted.seconds, rel=0.1)
    assert observed.sent().sum() == pytest.approx(observed.arrived().sum(), rel=1e-3)


def test_everybody_says_what_a_round_needs_once():
    world, observed = played(10, 3)
    kinds = Counter(posted.kind for posted in world.ledger.transactions)
    assert {kind: kinds[kind] for kind in (Kind.UPDATE, Kind.PROPOSAL, Kind.SHARE, Kind.VERDICT, Kind.CHECKPOINT)} == {
        Kind.UPDATE: 10,
        Kind.PROPOSAL: 1,
        Kind.SHARE: 7,
        Kind.VERDICT: 10,
        Kind.CHECKPOINT: 10,
    }
    closes = [posted for posted in world.ledger.transactions if getattr(posted.body, "close", False)]
    assert len(closes) == 10
    assert all(hospital.state.adopted for hospital in world.hospitals)
    assert list(observed.phases)[-1] == "finalised"
    assert sum(observed.phases.values()) == pytest.approx(observed.seconds)


def test_four_hospitals_talk_as_four_daemons_do():
    """Those of a round of `medweave demo` post 34 transactions of 12,888 bytes."""
    _, observed = played(4, 1)
    assert 30 <= observed.transactions <= 42
    assert observed.ledger_bytes / observed.transactions == pytest.approx(12_888 / 34, rel=0.05)


def test_the_same_seed_plays_the_same_round():
    one, two, other = (played(8, 2, seed=seed) for seed in (1, 1, 2))
    assert one[0].agenda.trace == two[0].agenda.trace != other[0].agenda.trace


def test_slower_links_take_longer_and_carry_the_same():
    fast, slow = (played(6, 2, network=Network(bandwidth=rate))[1] for rate in (125e6, 12.5e6))
    assert slow.seconds > 2 * fast.seconds
    assert slow.came["openings"].sum() == fast.came["openings"].sum()


def test_who_rests_fetches_the_ledger_the_statement_and_the_model():
    world, observed = played(8, 2, resting=4)
    resting = observed.arrived()[8:]
    assert resting == pytest.approx(resting[0])
    expected = sizes.model_file_bytes() + sizes.statement_bytes(8, 2, 6, 8) + observed.ledger_bytes * 11 / 12
    assert resting[0] == pytest.approx(expected)
    assert observed.came["updates"][8:].sum() == 0
    assert len(world.hospitals) == 8


def test_acknowledgements_grow_with_the_members_and_not_their_square():
    """Forty members: one for each update would be 1,600."""
    _, observed = played(40, 13)
    alone = transactions_singly(UNITS, 40)
    assert alone > 40 * 40
    assert observed.transactions < 0.75 * alone
    assert transactions_singly(UNITS, 10) == played(10, 3)[1].transactions, "few members acknowledge each by itself"


def test_a_round_that_does_not_end_is_no_measurement(monkeypatch):
    """Nobody ever sees that collecting has ended: the deadline comes."""
    monkeypatch.setattr(RoundState, "slot", property(lambda _state: -1))
    with pytest.raises(NotMeasured, match="4 simulated hospitals did not end their round"):
        played(4, 1)


# ---- sizes -----------------------------------------------------------------------------------------------------------


def test_a_statement_grows_by_what_it_lists():
    assert sizes.statement_bytes(2, 2, 2, 2) == sizes._statement(2, 2, 2, 2)
    assert sizes.statement_bytes(9, 3, 6, 9) == sizes._statement(9, 3, 6, 9)


def test_the_model_has_four_bytes_a_parameter():
    assert 4 * 529_347 < sizes.model_file_bytes() < 4 * 529_347 + 4096


def test_bounds_are_lifted_for_a_while():
    with sizes.bounds_lifted(1000):
        assert ShareBody(bytes(32), 999).member == 999
    with pytest.raises(MalformedTransaction):
        ShareBody(bytes(32), 999)
    with sizes.bounds_lifted(10):
        assert bodies.MAX_MEMBERS == 256
