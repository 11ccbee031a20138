"""CHN-4: the contract reads what the ledger's own code signs, and decides faults by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from chain.conduct import Fault
from chain.errors import ContractReverted
from chain.events import FaultAnnulled, FaultRecorded
from chain.standing import Standing, follow, standings
from chain.votes import Finding, Removal
from tests.chain.ledger import Writer, on_record, place
from tests.chain.support import N, digest

if TYPE_CHECKING:
    from chain.client import Chain
    from dag.transaction import Transaction
    from tests.chain.support import Consortium

LEADER = 3


@pytest.fixture
def pens(consortium: Consortium) -> list[Writer]:
    consortium.start_lineage()
    consortium.client(0).rounds.open(digest("plan"), digest("genesis"), 60, 300)
    return [Writer(bytes(account.key), digest("consortium")) for account in consortium.accounts]


def propose(consortium: Consortium, proposal: Transaction) -> Chain:
    chain = consortium.client(LEADER)
    record = on_record(proposal, consortium.accounts[LEADER].address)
    chain.rounds.propose(record.round, record.id, record.updates_root, record.sums_root)
    return chain


def refused(name: str, call: object, *arguments: object) -> None:
    with pytest.raises(ContractReverted) as caught:
        call(*arguments)  # type: ignore[operator]
    assert caught.value.name == name


def past_of(pens: list[Writer]) -> list[Transaction]:
    """Member 0's update, closes of three members, member 0's reveal."""
    update = pens[0].update()
    closes = [pens[0].close(update)]
    closes.append(pens[1].close(closes[-1]))
    closes.append(pens[2].close(closes[-1]))
    return [update, *closes, pens[0].reveal(closes[-1])]


@pytest.mark.parametrize("nonce", [None, bytes(8)])
def test_two_updates_of_a_round_convict_their_issuer(
    consortium: Consortium, pens: list[Writer], nonce: bytes | None
) -> None:
    rounds = consortium.client(0).rounds
    receipt = rounds.prove_equivocation(pens[2].update(nonce=nonce).raw, pens[2].update(nonce=nonce).raw)
    (event,) = consortium.client().events(receipt.block)
    assert isinstance(event, FaultRecorded)
    assert (event.round, event.index, event.fault, event.points, event.reputation) == (1, 2, 0, 100, 0)
    assert (rounds.equivocators(), rounds.faulted(1, Fault.EQUIVOCATION)) == (0b100, 0b100)
    assert [rounds.reputation_of(index) for index in range(N)] == [100, 100, 0, 100]
    assert receipt.gas_used < 250_000


def test_every_contradiction_the_ledger_knows(consortium: Consortium, pens: list[Writer]) -> None:
    rounds = consortium.client(0).rounds
    one = pens[0].update()
    pens[0].sequence -= 1
    rounds.prove_equivocation(one.raw, pens[0].acknowledge(one).raw)
    rounds.prove_equivocation(pens[1].close(one).raw, pens[1].close(one).raw)
    rounds.prove_equivocation(pens[2].share(one.id).raw, pens[2].share(one.id).raw)
    assert rounds.equivocators() == 0b111


def test_what_an_honest_member_signs_convicts_nobody(consortium: Consortium, pens: list[Writer]) -> None:
    rounds, pen = consortium.client(0).rounds, pens[1]
    update = pen.update()
    said = [update, pen.close(update), pen.reveal(update), pen.share(update.id), pen.share(digest("other"))]
    said += [pen.propose((update.id,), update), pen.propose((update.id,), update), pen.acknowledge(update)]
    for at, one in enumerate(said):
        for two in said[at:]:
            refused("NoContradiction", rounds.prove_equivocation, one.raw, two.raw)
    others = [pens[0].update(), pens[0].update()]
    assert others[1].sequence != update.sequence
    for other in others:
        refused("NoContradiction", rounds.prove_equivocation, update.raw, other.raw)
    refused("BadTransaction", rounds.prove_equivocation, update.raw, update.raw[:-1])


def test_a_list_with_something_else_than_updates(consortium: Consortium, pens: list[Writer]) -> None:
    good, bad = pens[0].update(), pens[1].acknowledge(pens[0].update())
    listed = tuple(sorted((good.id, bad.id)))
    proposal = pens[LEADER].propose(listed, good)
    chain = propose(consortium, proposal)
    record = on_record(proposal, consortium.accounts[LEADER].address)
    prove = chain.rounds.prove_wrong_inclusion
    refused("InclusionRight", prove, record, good.raw, place(listed, listed.index(good.id)), 2)
    refused("NotIncluded", prove, record, pens[2].update().raw, place(listed, 0), 2)
    receipt = prove(record, bad.raw, place(listed, listed.index(bad.id)), 2)
    assert chain.rounds.reputation_of(LEADER) == 50
    assert receipt.gas_used < 200_000


def test_an_omitted_update(consortium: Consortium, pens: list[Writer]) -> None:
    past = past_of(pens)
    listed = tuple(sorted(pens[LEADER].update().id for _ in range(3)))
    proposal = pens[LEADER].propose(listed, past[-1])
    chain = propose(consortium, proposal)
    record = on_record(proposal, consortium.accounts[LEADER].address)
    after = sum(leaf < past[0].id for leaf in listed)
    around = [place(listed, at) for at in (after - 1, after) if 0 <= at < len(listed)]
    history = [transaction.raw for transaction in [*past, proposal]]
    refused("NotInPast", chain.rounds.prove_omission, record, history[:2] + history[4:], 3, around)
    receipt = chain.rounds.prove_omission(record, history, 3, around)
    assert chain.rounds.faulted(1, Fault.OMISSION) == 1 << LEADER
    assert chain.rounds.reputation_of(LEADER) == 50
    assert receipt.gas_used < 600_000
    refused("FaultStands", chain.rounds.annul_omission, 1, LEADER)
    chain.rounds.prove_equivocation(pens[2].update().raw, pens[2].update().raw)
    receipt = chain.rounds.annul_omission(1, LEADER)
    (event,) = chain.events(receipt.block)
    assert isinstance(event, FaultAnnulled)
    assert chain.rounds.reputation_of(LEADER) == 100


def test_a_leader_that_repeats_a_list_does_not_answer_for_it(consortium: Consortium, pens: list[Writer]) -> None:
    past = past_of(pens)
    listed = tuple(sorted(pens[LEADER].update().id for _ in range(3)))
    before, again = pens[1].propose(listed, past[0]), pens[LEADER].propose(listed, past[-1])
    first = on_record(before, consortium.accounts[1].address)
    consortium.client(1).rounds.propose(1, first.id, first.updates_root, first.sums_root)
    chain = propose(consortium, again)
    record = on_record(again, consortium.accounts[LEADER].address)
    after = sum(leaf < past[0].id for leaf in listed)
    around = [place(listed, at) for at in (after - 1, after) if 0 <= at < len(listed)]
    history = [transaction.raw for transaction in [*past, again]]
    refused("NotFirst", chain.rounds.prove_omission, record, history, 3, around, [first])
    refused("NotFirst", chain.rounds.prove_omission, record, history, 3, around)


def test_a_history_must_reach_the_leaders_own_proposal(consortium: Consortium, pens: list[Writer]) -> None:
    past = past_of(pens)
    listed = tuple(sorted(pens[LEADER].update().id for _ in range(3)))
    proposal = pens[LEADER].propose(listed, past[0])  # built on the update alone: it knew no close
    chain = propose(consortium, proposal)
    record = on_record(proposal, consortium.accounts[LEADER].address)
    history = [transaction.raw for transaction in [*past, proposal]]
    refused("NotInPast", chain.rounds.prove_omission, record, history, 3, [place(listed, 0)])


def test_standing_follows_the_contract(consortium: Consortium, pens: list[Writer]) -> None:
    """Everything that moves a reputation; the fold from events alone agrees with the contract after every step."""
    chain = consortium.client(0)
    steps = [
        lambda: chain.rounds.record_finding(*found(consortium, Fault.UNREVEALED, 0b1001, 1)),
        lambda: chain.rounds.record_finding(*found(consortium, Fault.WRONG_PROPOSAL, 0b0001, 1)),
        lambda: chain.rounds.prove_equivocation(pens[2].update().raw, pens[2].update().raw),
        lambda: finalised(consortium, 1),
        lambda: chain.rounds.open(digest("plan"), digest("model 1"), 60, 300),
        lambda: chain.rounds.record_finding(*found(consortium, Fault.OUT_OF_TURN, 0b1000, 2)),
        lambda: finalised(consortium, 2),
        lambda: chain.registry.remove(*removed(consortium, 2)),
    ]
    for step in steps:
        step()
        standing = Standing()
        for event in chain.events(consortium.deployment.block):
            standing = follow(standing, event)
        assert list(standing.reputations) == [chain.rounds.reputation_of(index) for index in range(N)]
        assert standing.members == chain.registry.member_set()
    assert standing.reputations == (42, 100, 0, 42)
    opened = standings(chain.events(consortium.deployment.block))
    assert opened[1].reputations == (100, 100, 100, 100)
    assert opened[1].weights == (1, 1, 1, 1)
    assert opened[2].reputations == (41, 100, 0, 91), "faults of a running round count for the next"
    assert opened[2].ranking(chain.rounds.seed())[-1] == 2


def found(consortium: Consortium, fault: Fault, members: int, number: int) -> tuple[Finding, dict[int, bytes]]:
    finding = Finding(round=number, fault=fault, members=members, evidence=digest("evidence"))
    return finding, {index: consortium.client(index).rounds.sign_vote(finding) for index in (0, 1, 2)}


def removed(consortium: Consortium, index: int) -> tuple[Removal, dict[int, bytes]]:
    account = consortium.accounts[index].address
    vote = Removal(account=account, decision=consortium.client().registry.decisions(), deadline=2**40)
    return vote, {other: consortium.client(other).registry.sign_vote(vote) for other in (0, 1, 3)}


def finalised(consortium: Consortium, number: int) -> None:
    chain = consortium.client(1)
    chain.rounds.propose(number, digest("proposal"), digest("updates"), digest("sums"))
    outcome = consortium.outcome(number, chain.models.head(), digest(f"model {number}"), 1)
    chain.rounds.finalise(
        outcome, {index: consortium.client(index).rounds.sign_outcome(outcome) for index in (0, 2, 3)}
    )
