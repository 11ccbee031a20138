"""Each attack in a whole network: real keys, ledgers, training and verdicts; one of five lies, the others finish the round."""

from __future__ import annotations

import pytest
from simnet import SimNet

from dag.bodies import Kind, UpdateBody
from node.attacks.acts import Liar
from node.attacks.spec import KINDS, parse_attack
from node.rounds import blame
from node.rounds.statement import Statement
from node.storage import raw_cid

LIAR = 1


def network(kind: str, seed: int = 0, members: int = 5, sections: int = 1) -> SimNet:
    fields = {"defence": "suspicion", "clip_norm": "1", "tolerance": "0.3", "sections": sections}
    net = SimNet(members, 4, min_group=2, seed=seed, **fields)
    net.acts[LIAR] = Liar(parse_attack(f"{kind}@{LIAR + 1}", members)).carry_out
    return net


def statement_of(net: SimNet, number: int):
    return Statement.from_bytes(net.nodes[0].blobs.obtain(raw_cid(net.chain.endings[number].statement))).predicate


def listed(net: SimNet, predicate) -> list[int]:
    return [net.addresses.index(bytes.fromhex(update.issuer[2:])) for update in predicate.updates]


@pytest.mark.slow
@pytest.mark.parametrize("sections", [1, 2])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lying-leader"])
def test_the_round_finalises_and_the_honest_agree(kind, sections):
    net = network(kind, sections=sections)
    number = net.open_round()
    ending = net.run(number)
    assert ending is not None
    assert ending.finalised
    honest = [node for node in net.nodes if node.index != LIAR]
    assert len({node.journal.model(ending.model)[2] for node in honest}) == 1
    assert set(listed(net, statement_of(net, number))) >= {node.index for node in honest}


def test_garbage_is_left_out_by_name():
    net = network("malformed-ciphertext")
    number = net.open_round()
    assert net.run(number).finalised
    assert LIAR not in listed(net, statement_of(net, number))
    for node in net.nodes:
        if node.index != LIAR:
            (row,) = node.journal.recall(number, "left_out")
            assert row["member"] == LIAR


@pytest.mark.parametrize("sections", [1, 2])
def test_a_leader_that_groups_as_it_likes_is_refused_and_passed_over(sections):
    seed = next(seed for seed in range(40) if _leads(seed))
    net = network("lying-leader", seed, sections=sections)
    number = net.open_round()
    assert net.run(number).finalised
    assert statement_of(net, number).leader != "0x" + net.addresses[LIAR].hex()
    refused = [reason for node in net.nodes if node.index != LIAR for reason in node.runner.state.refused.values()]
    assert any("groups are not those" in reason for reason in refused)


def _leads(seed: int) -> bool:
    net = network("lying-leader", seed)
    net.open_round()
    return net.chain.rounds[1].ranking[0] == LIAR


def test_who_declares_more_images_than_it_registered_weighs_no_more():
    net, honest = network("inflated-size"), SimNet(5, 4, min_group=2)
    for each in (net, honest):
        assert each.run(each.open_round()).finalised
    weights = [
        {seat: update.weight_ppm for seat, update in zip(listed(each, p), p.updates, strict=True)}
        for each, p in ((net, statement_of(net, 1)), (honest, statement_of(honest, 1)))
    ]
    most = max(len(part) for part in net.parts)
    assert weights[0][LIAR] == 10**6 * len(net.parts[LIAR]) // most
    assert all(weights[0][seat] == weights[1][seat] for seat in range(5) if seat != LIAR)


def test_a_parasite_chain_is_one_members_own():
    net = network("parasite-chain")
    number = net.open_round()
    assert net.run(number).finalised
    own = [
        tx
        for kind in Kind
        if kind is not Kind.GENESIS
        for tx in net.nodes[0].publisher.read(lambda ledger, kind=kind: ledger.transactions(kind, number))
        if tx.issuer == net.addresses[LIAR]
    ]
    assert sum(tx.parents[0] == tx.parents[1] for tx in own) >= 2, "it did build on itself"
    assert any(isinstance(tx.body, UpdateBody) for tx in own)


@pytest.mark.parametrize("sections", [1, 2])
def test_an_update_beyond_the_bound_is_refused_and_its_maker_left_out_in_time(sections):
    net = network("scaled:1000000", sections=sections)
    for _ in range(10):
        number = net.open_round()
        assert net.run(number).finalised
        predicate = statement_of(net, number)
        seats = listed(net, predicate)
        summed = {seats[position] for group in predicate.groups for position in group.updates}
        for group in predicate.groups:
            assert group.accepted == (LIAR not in {seats[position] for position in group.updates})
        if LIAR not in summed:
            break
    assert summed == {0, 2, 3, 4}
    assert len(seats) == 5


def test_who_opens_wrongly_is_found_and_asked_no_more():
    """The round is finished without it; which sets of openers failed names it to every honest member."""
    net = network("wrong-share")
    named = None
    for _ in range(6):
        number = net.open_round()
        assert net.run(number).finalised
        found = [blame.recent_suspects(node.journal, number) for node in net.nodes if node.index != LIAR]
        if any(found):
            named = {blame.named(each) for each in found}
            break
    assert named == {LIAR}
    number = net.open_round()
    assert net.run(number).finalised
    assert LIAR not in statement_of(net, number).openers
