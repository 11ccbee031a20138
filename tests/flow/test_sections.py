"""Rounds whose plan cuts the model into sections: real keys, ledgers, training and openings, in one process."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from simnet import SimNet, crash_before

from dag.bodies import VerdictBody
from node.attacks.acts import Liar
from node.attacks.spec import parse_attack
from node.demo.plaintext import check
from node.errors import RoundProblem
from node.learning.parameters import model_bytes, model_hash, parse_model
from node.rounds import effects as do
from node.rounds.decision import alignment, without_own
from node.rounds.groups import draw_groups, group_seed
from node.rounds.records import SumManifest, UpdateManifest
from node.rounds.statement import Predicate, Statement
from node.rounds.steps.models import genesis_model
from node.sealing.quantising import plan_layout, step_sizes
from node.storage import raw_cid

K, VALUES = 3, 8192
"""Sections; values a chunk. The network fills eight chunks: of the sections one holds two, the others three."""
CUTS = (0, 2 * VALUES, 5 * VALUES, 60660)


def network(seed: int = 7, **fields) -> SimNet:
    return SimNet(7, 5, **{"min_group": 3, "seed": seed, "defence": "suspicion", "sections": K} | fields)


def predicate_of(net: SimNet, number: int) -> Predicate:
    return Statement.from_bytes(net.nodes[0].blobs.obtain(raw_cid(net.chain.endings[number].statement))).predicate


class Clear:
    """A finalised round's sums and models, added in the clear from what each member quantised."""

    def __init__(self, net: SimNet, number: int) -> None:
        self.net, self.number, self.predicate = net, number, predicate_of(net, number)
        layout = plan_layout(net.plan.architecture, len(net.plan.classes), net.plan.value_range)
        self.steps = step_sizes(layout, net.nodes[0].ports.keys.joint.params, len(net.nodes))
        self.base = parse_model(genesis_model(net.plan)).vector
        self.each = len(self.predicate.groups) // K

    def nodes(self, group: int) -> list:
        """Whose updates a sum holds."""
        updates = [self.predicate.updates[position] for position in self.predicate.groups[group].updates]
        return [self.net.nodes[self.net.addresses.index(bytes.fromhex(update.issuer[2:]))] for update in updates]

    def values(self, group: int) -> slice:
        """Which coordinates a sum is of."""
        section = group // self.each
        return slice(CUTS[section], CUTS[section + 1])

    def total(self, group: int) -> np.ndarray:
        return sum(node.quantised[self.number][self.values(group)] for node in self.nodes(group))

    def weight(self, node) -> int:
        mine = "0x" + self.net.addresses[node.index].hex()
        return next(update.weight_ppm for update in self.predicate.updates if update.issuer == mine)

    def model(self, taken: list[int]) -> np.ndarray:
        """The base with these sums' means: coordinate by coordinate, those of its section."""
        model = self.base.copy()
        for section in range(K):
            here = [group for group in taken if group // self.each == section]
            if here:
                at = self.values(here[0])
                omega = sum(self.weight(node) for group in here for node in self.nodes(group))
                mean = sum(map(self.total, here)).astype(np.float64) * self.steps[at] * (10**6 / omega)
                model[at] = (self.base[at].astype(np.float64) + mean).astype(np.float32)
        return model


@pytest.fixture(scope="module")
def played() -> SimNet:
    """Round 1 is finalised; two groups in each of three sections."""
    net = network()
    assert net.run(net.open_round()).finalised
    return net


@pytest.fixture(scope="module")
def clear(played) -> Clear:
    return Clear(played, 1)


def test_the_model_equals_the_same_integers_added_in_the_clear_by_section(played, clear):
    predicate = clear.predicate
    assert len(predicate.groups) == 2 * K
    vector = clear.model([number for number, group in enumerate(predicate.groups) if group.accepted])
    data = model_bytes(vector, played.plan.architecture, len(played.plan.classes))
    assert model_hash(data).hex() == predicate.model.sha256
    assert all((vector[a:b] != clear.base[a:b]).any() for a, b in itertools.pairwise(CUTS))
    assert len({node.journal.model(bytes.fromhex(predicate.model.sha256))[2] for node in played.nodes}) == 1


def test_each_section_draws_all_members_by_a_seed_of_its_own(played, clear):
    said, found = clear.predicate, [group.updates for group in clear.predicate.groups]
    values = [played.nodes[0].publisher.get(bytes.fromhex(tx_id)).body.reveal for tx_id in said.reveals]
    seed = group_seed(bytes.fromhex(said.seed), bytes.fromhex(said.updates_root), values)
    for section in range(K):
        own = seed if section == 0 else hashlib.sha256(b"medweave/section" + seed + bytes([section])).digest()
        part = tuple(found[2 * section : 2 * section + 2])
        assert part == draw_groups(own, 7, 3)
        assert sorted(position for group in part for position in group) == list(range(7))


def test_no_coordinate_of_an_update_is_in_two_opened_sums(played, clear):
    """So no two opened sums can be subtracted from each other, and no more is opened than without sections."""
    opened = np.zeros((7, CUTS[-1]), np.int64)
    for node in played.nodes:
        (sums,) = node.runner.ports.opened.values()
        for group, total in enumerate(sums):
            assert np.array_equal(total, clear.total(group)), (
                "the sum of that section of its members' updates, and no more"
            )
    for number, group in enumerate(clear.predicate.groups):
        opened[list(group.updates), clear.values(number)] += 1
        chunks = SumManifest.from_bytes(played.nodes[0].blobs.obtain(group.sum)).chunks
        assert len(chunks) == -(-(clear.values(number).stop - clear.values(number).start) // VALUES)
    assert (opened == 1).all()


def test_each_chunk_is_summed_once_a_group_as_without_sections(played, clear):
    blobs = played.nodes[0].blobs
    chunks = [SumManifest.from_bytes(blobs.obtain(group.sum)).chunks for group in clear.predicate.groups]
    whole = len(UpdateManifest.from_bytes(blobs.obtain(clear.predicate.updates[0].manifest)).chunks)
    assert sum(map(len, chunks)) == clear.each * whole == len({cid for cids in chunks for cid in cids})


def test_the_plaintext_check_adds_section_by_section(played, clear, tmp_path):
    homes = {}
    for node, address in zip(played.nodes, played.addresses, strict=True):
        home = homes["0x" + address.hex()] = tmp_path / str(node.index)
        (home / "debug").mkdir(parents=True)
        np.save(home / "debug" / "round-1.npy", node.quantised[1])
    statement = {"predicate": clear.predicate.model_dump(mode="json")}
    assert "bit for bit" in check(played.plan, [statement], homes, allow_minimal=True)
    taken = next(number for number, group in enumerate(clear.predicate.groups) if group.accepted)
    other = clear.nodes(taken)[0].quantised[1].copy()
    other[clear.values(taken).start] += 1000
    np.save(tmp_path / str(clear.nodes(taken)[0].index) / "debug" / "round-1.npy", other)
    with pytest.raises(RoundProblem, match="added in the clear"):
        check(played.plan, [statement], homes, allow_minimal=True)


def verdicts(net: SimNet, clear: Clear) -> dict[int, VerdictBody]:
    """By member, what it says of the sums."""
    named = [bytes.fromhex(verdict.id) for verdict in clear.predicate.verdicts]
    found = [net.nodes[0].publisher.get(tx_id) for tx_id in named]
    return {net.addresses.index(tx.issuer): tx.body for tx in found}


def test_a_sum_is_scored_beside_all_sums_of_the_other_sections(played, clear):
    said = verdicts(played, clear)
    for seat in sorted(said)[:2]:
        learner = played.nodes[seat].ports.learner
        for group, score in enumerate(said[seat].scores_ppm):
            others = [other for other in range(2 * K) if other // clear.each != group // clear.each]
            candidate = clear.model([group, *others])
            assert score == round(learner.score(played.plan, candidate).accuracy * 10**6)


def test_a_sum_is_compared_with_its_section_of_the_members_own_update(played, clear):
    said = verdicts(played, clear)
    for seat in sorted(said)[:3]:
        node = played.nodes[seat]
        own = node.ports.own[1]
        middle = (clear.base + clear.model(list(range(2 * K)))) / np.float32(2)
        falling = node.ports.learner.descent(played.plan, middle)
        for group in range(2 * K):
            at, mine = clear.values(group), node in clear.nodes(group)
            others = without_own(own[at], clear.total(group), clear.steps[at], clear.weight(node) if mine else 0)
            assert said[seat].alignment_ppm[group] == alignment(own[at], others)
            assert said[seat].descent_ppm[group] == alignment(falling[at], others)


def small(**fields) -> SimNet:
    """Five members, two groups in each of two sections."""
    return SimNet(5, 4, **{"min_group": 2, "seed": 2, "defence": "suspicion", "sections": 2} | fields)


@pytest.mark.parametrize("step", [do.ReleaseShare, do.OpenAndScore, do.PostVerdict, do.PostCheckpoint])
def test_a_crash_while_sections_are_opened_is_resumed_from_disk(step):
    net = small()
    number = net.open_round()
    crashed = crash_before(net, number, step)
    ending = net.run(number)
    assert crashed
    assert ending.finalised
    assert len(predicate_of(net, number).groups) == 4
    assert all(node.journal.model(ending.model) is not None for node in net.nodes)


def test_sums_beyond_the_bound_are_refused_in_every_section_and_spoil_no_other_score():
    liar = 1
    net = small(clip_norm="1", tolerance="0.3")
    net.acts[liar] = Liar(parse_attack(f"scaled:1000000@{liar + 1}", 5)).carry_out
    number = net.open_round()
    assert net.run(number).finalised
    predicate = predicate_of(net, number)
    place = [update.issuer for update in predicate.updates].index("0x" + net.addresses[liar].hex())
    assert [group.accepted for group in predicate.groups] == [place not in group.updates for group in predicate.groups]
    assert sum(group.accepted for group in predicate.groups) == 2
