from __future__ import annotations

import dataclasses

import pytest
from eth_utils.crypto import keccak

from chain.connection import Connection
from chain.errors import BadArgument, ContractReverted
from chain.events import ModelRecorded, Proposed, RoundAborted, RoundFinalised, RoundOpened
from chain.records import ModelRecord, RoundStatus
from tests.chain.support import Consortium, digest

ZERO = bytes(32)


def sign(consortium: Consortium, outcome: object, members: tuple[int, ...] = (0, 2, 3)) -> dict[int, bytes]:
    return {index: consortium.client(index).rounds.sign_outcome(outcome) for index in members}


def test_a_round_from_open_to_model(consortium: Consortium) -> None:
    base = consortium.start_lineage()
    chain = consortium.client(1)
    seed = chain.rounds.seed()
    assert seed == keccak(digest("consortium"))
    start = chain.block_number() + 1
    number = consortium.open_and_propose(base, leader=1)
    opened = chain.rounds.get(number)
    assert (opened.status, opened.base, opened.model, opened.epoch) == (RoundStatus.PROPOSED, base, base, 1)
    assert (opened.collect_by - opened.opened_at, opened.finalise_by - opened.opened_at) == (60, 300)
    outcome = consortium.outcome(number, base, digest("model"), leader=1)
    receipt = consortium.client(2).rounds.finalise(outcome, sign(consortium, outcome))
    ended = chain.rounds.get(number)
    assert (ended.status, ended.base, ended.model) == (RoundStatus.FINALISED, base, digest("model"))
    assert chain.models.head() == digest("model")
    assert chain.models.exists(base)
    assert chain.models.get(digest("model")) == ModelRecord(
        parent=base,
        plan=digest("plan"),
        updates_root=digest("updates"),
        sums_root=digest("sums"),
        proposal=digest("proposal"),
        statement=digest("statement"),
        leader=consortium.accounts[1].address,
        round=number,
        timestamp=chain.now(),
    )
    following = keccak(seed + digest("material") + number.to_bytes(32, "big"))
    assert chain.rounds.seed() == following
    events = chain.events(start)
    assert [type(event) for event in events] == [RoundOpened, Proposed, ModelRecorded, RoundFinalised]
    assert events[0] == RoundOpened(
        block=start,
        log_index=0,
        tx=events[0].tx,
        round=number,
        epoch=1,
        plan=digest("plan"),
        base=base,
        seed=seed,
        opener=consortium.accounts[1].address,
        collect_by=opened.collect_by,
        finalise_by=opened.finalise_by,
    )
    assert events[3] == RoundFinalised(
        block=receipt.block,
        log_index=1,
        tx=receipt.tx,
        round=number,
        model=digest("model"),
        leader=consortium.accounts[1].address,
        base=base,
        proposal=digest("proposal"),
        statement=digest("statement"),
        signers=0b1101,
        seed=following,
    )


def test_a_round_that_accepts_nothing(consortium: Consortium) -> None:
    base = consortium.start_lineage()
    number = consortium.open_and_propose(base, leader=0)
    outcome = consortium.outcome(number, base, base, leader=0)
    chain = consortium.client(0)
    start = chain.block_number() + 1
    chain.rounds.finalise(outcome, sign(consortium, outcome))
    assert [type(event) for event in chain.events(start)] == [RoundFinalised]
    assert chain.models.head() == base
    assert chain.rounds.get(number).status is RoundStatus.FINALISED


def test_abort_carries_the_base_over(consortium: Consortium) -> None:
    base = consortium.start_lineage()
    chain = consortium.client(0)
    chain.rounds.open(digest("plan"), base, 60, 300)
    with pytest.raises(ContractReverted) as caught:
        chain.rounds.abort(1)
    assert caught.value.name == "RoundNotExpired"
    Connection(consortium.url).request("evm_increaseTime", 301)
    seed = chain.rounds.seed()
    receipt = chain.rounds.abort(1)
    following = keccak(seed + ZERO + (1).to_bytes(32, "big"))
    aborted = RoundAborted(block=receipt.block, log_index=0, tx=receipt.tx, round=1, seed=following)
    assert chain.events(receipt.block) == [aborted]
    chain.rounds.open(digest("plan"), base, 60, 300)
    assert chain.rounds.current() == 2


def test_refusals_carry_the_contracts_words(consortium: Consortium) -> None:
    base = consortium.start_lineage()
    chain = consortium.client(0)
    with pytest.raises(ContractReverted, match="not the newest model") as caught:
        chain.rounds.open(digest("plan"), digest("old"), 60, 300)
    assert (caught.value.call, caught.value.name) == ("TrainingRounds.open", "WrongBase")
    assert caught.value.values == {"base": digest("old"), "head": base}
    with pytest.raises(ContractReverted) as caught:
        chain.models.get(digest("unknown"))
    assert (caught.value.name, caught.value.values) == ("UnknownModel", {"model": digest("unknown")})


def test_a_quorum_is_needed(consortium: Consortium) -> None:
    base = consortium.start_lineage()
    number = consortium.open_and_propose(base, leader=1)
    outcome = consortium.outcome(number, base, digest("model"), leader=1)
    rounds = consortium.client(0).rounds
    with pytest.raises(ContractReverted) as caught:
        rounds.finalise(outcome, sign(consortium, outcome, (0, 1)))
    assert (caught.value.name, caught.value.values) == ("NoQuorum", {"signed": 2, "quorum": 3})
    other = dataclasses.replace(outcome, model=digest("another"))
    mixed = sign(consortium, outcome, (0, 1)) | sign(consortium, other, (2,))
    with pytest.raises(ContractReverted) as caught:
        rounds.finalise(outcome, mixed)
    assert caught.value.name == "BadSignature"
    assert caught.value.values == {"index": 2, "member": consortium.accounts[2].address}
    with pytest.raises(BadArgument, match=r"signatures\[3\]"):
        rounds.finalise(outcome, {3: b"short"})


def test_a_round_stays_within_its_gas(consortium: Consortium) -> None:
    """CHN-3's 400 k are for ten members; four leave room for a leader's first proposal."""
    base = consortium.start_lineage()
    chain = consortium.client(0)
    gas = chain.rounds.open(digest("plan"), base, 60, 300).gas_used
    gas += chain.rounds.propose(1, digest("proposal"), digest("updates"), digest("sums")).gas_used
    outcome = consortium.outcome(1, base, digest("model"), leader=0)
    gas += chain.rounds.finalise(outcome, sign(consortium, outcome)).gas_used
    assert gas < 400_000
