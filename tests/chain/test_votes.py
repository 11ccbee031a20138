"""What members decide by vote, on a real chain: digests equal the contract's, and each vote counts once."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from chain.conduct import Fault
from chain.errors import BadArgument, ContractReverted, ReadOnly
from chain.events import DataSizeChanged, HospitalAdmitted, HospitalRemoved, KeysRotated, PlanDecided
from chain.records import Hospital
from chain.votes import Admission, Finding, PlanDecision, Removal, Resizing, Rotation, recover_vote_signer, vote_digest
from tests.chain.support import Consortium, N, digest

if TYPE_CHECKING:
    from chain.votes import Vote

NEWCOMER = Account.from_key(digest("newcomer"))
HOSPITAL = Hospital(NEWCOMER.address, digest("box"), 250, "Hôpital neuf", "https://new.example")
LATER = 2**40


def votes(consortium: Consortium) -> list[Vote]:
    """One of each kind that the registry counts."""
    account = consortium.accounts[3].address
    return [
        Admission(hospital=HOSPITAL, decision=0, deadline=LATER),
        Removal(account=account, decision=0, deadline=LATER),
        Rotation(account=account, new_account=NEWCOMER.address, new_box_key=digest("b"), decision=0, deadline=LATER),
        Resizing(account=account, data_size=7, decision=0, deadline=LATER),
    ]


def agreed(consortium: Consortium, vote: Vote, members: tuple[int, ...] = (0, 1, 2)) -> dict[int, bytes]:
    clients = {index: consortium.client(index) for index in members}
    return {
        index: getattr(client, "rounds" if vote.CONTRACT == "rounds" else "registry").sign_vote(vote)
        for index, client in clients.items()
    }


def test_digests_equal_the_contracts(consortium: Consortium) -> None:
    client = consortium.client()
    for vote in votes(consortium):
        assert client.registry.contract_vote_digest(vote) == vote_digest(vote, consortium.deployment), vote
    plan = PlanDecision(plan=digest("plan"), admitted=False, decision=0, deadline=LATER)
    assert client.rounds.contract_plan_digest(plan) == vote_digest(plan, consortium.deployment)
    finding = Finding(round=3, fault=Fault.BAD_UPDATE, members=5, evidence=digest("evidence"))
    assert client.rounds.contract_finding_digest(finding) == vote_digest(finding, consortium.deployment)


def test_a_digest_follows_eip_712(consortium: Consortium) -> None:
    """The nested one spelt out, from the standard alone."""
    deployment = consortium.deployment
    domain = keccak(
        keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        + keccak(text="Medweave")
        + keccak(text="1")
        + deployment.chain_id.to_bytes(32, "big")
        + bytes.fromhex(deployment.registry[2:]).rjust(32, b"\0")
    )
    hospital = "Hospital(address account,bytes32 boxKey,uint32 dataSize,string name,string url)"
    record = keccak(
        keccak(text=hospital)
        + bytes.fromhex(HOSPITAL.account[2:]).rjust(32, b"\0")
        + HOSPITAL.box_key
        + HOSPITAL.data_size.to_bytes(32, "big")
        + keccak(text=HOSPITAL.name)
        + keccak(text=HOSPITAL.url)
    )
    kind = keccak(text=f"Admission(Hospital hospital,uint256 decision,uint256 deadline){hospital}")
    body = keccak(kind + record + (6).to_bytes(32, "big") + LATER.to_bytes(32, "big"))
    vote = Admission(hospital=HOSPITAL, decision=6, deadline=LATER)
    assert vote_digest(vote, deployment) == keccak(b"\x19\x01" + domain + body)


def test_a_hospital_comes_rotates_its_keys_grows_and_goes(consortium: Consortium) -> None:
    chain = consortium.client(1)
    registry, start = chain.registry, chain.block_number() + 1
    vote = Admission(hospital=HOSPITAL, decision=registry.decisions(), deadline=LATER)
    registry.admit(vote, agreed(consortium, vote))
    assert registry.members() == (*consortium.hospitals, HOSPITAL)
    assert (registry.member_count(), registry.quorum(), registry.index_of(NEWCOMER.address)) == (N + 1, 4, N)
    successor = Account.from_key(digest("successor"))
    rotation = Rotation(
        account=NEWCOMER.address,
        new_account=successor.address,
        new_box_key=digest("new box"),
        decision=registry.decisions(),
        deadline=LATER,
    )
    registry.rotate(rotation, agreed(consortium, rotation, (0, 1, 2, 3)))
    resizing = Resizing(account=successor.address, data_size=9_000, decision=registry.decisions(), deadline=LATER)
    registry.resize(resizing, agreed(consortium, resizing, (0, 1, 2, 3)))
    changed = dataclasses.replace(HOSPITAL, account=successor.address, box_key=digest("new box"), data_size=9_000)
    assert registry.member_at(N) == changed
    removal = Removal(account=successor.address, decision=registry.decisions(), deadline=LATER)
    registry.remove(removal, agreed(consortium, removal, (0, 1, 2, 3)))
    assert registry.member_set() == frozenset(range(N))
    assert not registry.is_member(successor.address)
    assert registry.decisions() == 4
    events = chain.events(start)
    assert [type(event) for event in events] == [HospitalAdmitted, KeysRotated, DataSizeChanged, HospitalRemoved]
    assert [getattr(event, "index", None) for event in events] == [N] * 4


def test_plans_are_admitted_by_a_quorum(consortium: Consortium) -> None:
    base = consortium.start_lineage()
    chain = consortium.client(0)
    assert chain.rounds.is_admitted(digest("plan"))
    decision = PlanDecision(plan=digest("other"), admitted=True, decision=0, deadline=LATER)
    receipt = chain.rounds.decide_plan(decision, agreed(consortium, decision))
    (event,) = chain.events(receipt.block)
    assert isinstance(event, PlanDecided)
    assert (event.plan, event.admitted, event.signers) == (digest("other"), True, 0b111)
    with pytest.raises(ContractReverted) as caught:
        chain.rounds.open(digest("plan"), base, 60, 300)
    assert caught.value.name == "PlanNotAdmitted"
    chain.rounds.open(digest("other"), base, 60, 300)
    assert chain.rounds.plan_decisions() == 1


def test_a_vote_counts_once_and_only_by_its_signers(consortium: Consortium) -> None:
    registry = consortium.client(0).registry
    vote = Resizing(account=consortium.accounts[3].address, data_size=7, decision=0, deadline=LATER)
    signatures = agreed(consortium, vote)
    registry.resize(vote, signatures)
    with pytest.raises(ContractReverted) as caught:
        registry.resize(vote, signatures)
    assert caught.value.name == "BadSignature"
    assert recover_vote_signer(vote, signatures[1], consortium.deployment) == consortium.accounts[1].address


def test_votes_are_checked_before_they_are_signed() -> None:
    with pytest.raises(BadArgument, match="account"):
        Removal(account="0x12", decision=0, deadline=1)
    with pytest.raises(BadArgument, match="data_size"):
        Resizing(account=NEWCOMER.address, data_size=0, decision=0, deadline=1)
    with pytest.raises(BadArgument, match="new_box_key"):
        Rotation(account=NEWCOMER.address, new_account=NEWCOMER.address, new_box_key=b"", decision=0, deadline=1)
    with pytest.raises(BadArgument, match="deadline"):
        Admission(hospital=HOSPITAL, decision=0, deadline=-1)
    with pytest.raises(BadArgument, match="admitted"):
        PlanDecision(plan=digest("p"), admitted=1, decision=0, deadline=1)  # type: ignore[arg-type]
    with pytest.raises(BadArgument, match="fault"):
        Finding(round=1, fault=Fault.EQUIVOCATION, members=1, evidence=digest("e"))


def test_a_reader_cannot_vote(consortium: Consortium) -> None:
    vote = Removal(account=consortium.accounts[3].address, decision=0, deadline=LATER)
    with pytest.raises(ReadOnly):
        consortium.client().registry.sign_vote(vote)
    with pytest.raises(ReadOnly):
        consortium.client().rounds.sign_vote(PlanDecision(plan=digest("p"), admitted=True, decision=0, deadline=1))
