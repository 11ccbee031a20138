"""Rounds of a consortium that has changed: models under another key epoch, whose signatures count, who takes part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chain import events as ev
from node.consortium.view import ConsortiumView, fold
from node.daemon.roster import Seats, consortium_of, electorate, why_not
from node.errors import PolicyRefusal, RoundProblem
from node.rounds.journal import Journal
from node.rounds.ports import Electorate
from node.rounds.state import Members, RoundState
from node.rounds.steps.conclude import finalise
from node.rounds.steps.learn import read_plan
from node.rounds.steps.models import load_model
from node.sealing.keys import EpochKeys
from node.sealing.models import seal_model
from tests.flow.simnet import SimNet
from tests.membership.support import ACCOUNTS, DEPLOYMENT, digest, founded


@pytest.fixture(scope="module")
def net() -> SimNet:
    made = SimNet(4, 3, min_group=2)
    assert made.run(made.open_round()).finalised
    return made


@pytest.fixture(scope="module")
def later(net: SimNet) -> list[EpochKeys]:
    """The members' keys of a second epoch."""
    return [EpochKeys(2, member, joint, "") for member, joint in net._ceremony(4, 3)]


def in_epoch_two(net: SimNet, later: list[EpochKeys], k: int, **changes):
    first = net.nodes[k].ports.keys
    held = {"keys": later[k], "keys_of": lambda epoch: first if epoch == 1 else None}
    return replace(net.nodes[k].ports, **(held | changes))


def test_a_model_of_the_epoch_before_is_sealed_anew_by_all_alike(net: SimNet, later: list[EpochKeys]) -> None:
    head = net.chain.head
    before = load_model(net.nodes[0].ports, head)
    for k in range(3):
        assert np.array_equal(load_model(in_epoch_two(net, later, k), head), before)
    held = [net.nodes[k].journal.model(head) for k in range(3)]
    assert held[0][:2] == (2, 1)
    assert held[0] == held[1] == held[2]


def test_who_has_just_joined_asks_the_others_and_believes_the_hash(net: SimNet, later: list[EpochKeys]) -> None:
    head, giver = net.chain.head, in_epoch_two(net, later, 0)
    vector = load_model(giver, head)
    round_number, cid = net.nodes[0].journal.model(head)[1:]
    another = giver.blobs.store.put(seal_model(later[0].member, 2, round_number, b"another model"))
    lies = [
        (round_number, giver.blobs.store.put(b"garbage")),
        (7, cid),
        (round_number, "no CID"),
        (round_number, another),
    ]
    asked = []

    def others(model: bytes, epoch: int):
        asked.append((model, epoch))
        return [*lies, (round_number, cid)]

    joiner = in_epoch_two(
        net, later, 3, journal=Journal(":memory:"), keys_of=lambda _epoch: None, sealed_elsewhere=others
    )
    assert np.array_equal(load_model(joiner, head), vector)
    assert asked == [(head, 2)]
    assert joiner.journal.model(head) == (2, round_number, cid)
    lost = replace(joiner, journal=Journal(":memory:"), sealed_elsewhere=lambda _model, _epoch: lies)
    with pytest.raises(RoundProblem, match="under epoch 2"):
        load_model(lost, head)


def test_signatures_of_who_has_left_do_not_end_a_round(net: SimNet) -> None:
    node = net.nodes[0]
    state: RoundState = node.runner.state
    everyone = dict(enumerate(net.addresses))
    digest_of = state.endorsed
    assert digest_of is not None
    rotated = {**everyone, 1: bytes(20)}
    for addresses, quorum in (({0: everyone[0], 1: everyone[1]}, 2), (everyone, 5), ({**rotated, 2: bytes(20)}, 3)):
        ports = replace(node.ports, electorate=lambda a=addresses, q=quorum: Electorate(a, q))
        with pytest.raises(RoundProblem, match="present members"):
            finalise(ports, state, digest_of)


def test_no_hospital_trains_under_a_key_that_others_hold(net: SimNet) -> None:
    node = net.nodes[0]
    for holders in ({0, 1, 2}, {0, 1, 2, 3, 4}):
        ports = replace(node.ports, consortium=replace(node.ports.consortium, holders=frozenset(holders)))
        with pytest.raises(PolicyRefusal, match="needs a key of its own"):
            read_plan(ports, node.runner.state)


def test_a_rounds_members_and_their_numbers_in_the_encryption() -> None:
    members = Members(tuple(bytes([k]) * 20 for k in range(5)), 4, 3, frozenset({1, 2}))
    assert (members.seats, members.count) == ({0, 3, 4}, 3)
    assert [members.index(bytes([k]) * 20) for k in range(6)] == [0, None, None, 3, 4, None]


def changed(*events: ev.Event) -> ConsortiumView:
    return fold(founded(), events)


def at(kind, **fields) -> ev.Event:
    return kind(block=9, log_index=0, tx=digest("later"), **fields)


OPENED = at(
    ev.RoundOpened,
    round=1,
    epoch=1,
    plan=digest("plan"),
    base=digest("base"),
    seed=digest("seed"),
    opener=ACCOUNTS[0].address,
    collect_by=1,
    finalise_by=2,
)
REMOVED = at(ev.HospitalRemoved, index=1, account=ACCOUNTS[1].address)
ROTATED = at(
    ev.KeysRotated, index=2, account=ACCOUNTS[2].address, new_account=ACCOUNTS[4].address, box_key=digest("box")
)


def test_a_round_is_seen_as_it_was_opened() -> None:
    view = changed(REMOVED, OPENED, ROTATED)
    consortium = consortium_of(DEPLOYMENT, view, view.rounds[1])
    assert (consortium.members, consortium.quorum, consortium.left) == ((0, 2, 3), 2, {1})
    assert [consortium.position(seat) for seat in (0, 2, 3)] == [0, 1, 2]
    assert consortium.addresses[2] == bytes.fromhex(ACCOUNTS[2].address[2:])
    assert consortium.holders is None, "the chain told of no such epoch"
    now = electorate(view, view.rounds[1])
    assert set(now.addresses) == {0, 2, 3}
    assert now.addresses[2] == bytes.fromhex(ACCOUNTS[4].address[2:])
    assert dict(Seats(lambda: view)) == dict(view.seats)
    assert len(Seats(lambda: view)) == 5


def test_who_sits_a_round_out() -> None:
    view = changed(OPENED, REMOVED, ROTATED)
    assert why_not(view, view.rounds[1], 0) is None
    assert "no member any more" in (why_not(view, view.rounds[1], 1) or "")
    assert "exchanged its account" in (why_not(view, view.rounds[1], 2) or "")
    later = changed(REMOVED, OPENED)
    assert "was no member" in (why_not(later, later.rounds[1], 1) or "")
