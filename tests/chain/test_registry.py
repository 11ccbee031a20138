from __future__ import annotations

import pytest

from chain.anvil import dev_account
from chain.client import Chain
from chain.deployment import deploy
from chain.errors import BadArgument, ContractReverted, ReadOnly
from chain.events import HospitalAdmitted, UrlChanged
from chain.records import Hospital
from tests.chain.support import Consortium, N, digest

OUTSIDER = "0x000000000000000000000000000000000000dEaD"


def test_members_are_as_deployed(consortium: Consortium) -> None:
    registry = consortium.client().registry
    assert registry.members() == consortium.hospitals
    assert registry.member_count() == N
    assert registry.quorum() == 3
    assert registry.consortium() == digest("consortium")
    for index, hospital in enumerate(consortium.hospitals):
        assert registry.member_at(index) == hospital
        assert registry.index_of(hospital.account.lower()) == index
        assert registry.is_member(hospital.account)


def test_outsiders(consortium: Consortium) -> None:
    registry = consortium.client().registry
    assert not registry.is_member(OUTSIDER)
    with pytest.raises(ContractReverted) as caught:
        registry.index_of(OUTSIDER)
    assert (caught.value.name, caught.value.values) == ("NotMember", {"account": OUTSIDER})
    assert caught.value.call == "HospitalRegistry.indexOf"
    with pytest.raises(ContractReverted) as caught:
        registry.member_at(N)
    assert (caught.value.name, caught.value.values) == ("NoSuchIndex", {"index": N})


def test_a_member_moves_its_node(consortium: Consortium) -> None:
    chain = consortium.client(1)
    before = chain.block_number()
    receipt = chain.registry.set_url("http://réseau.example:8443")
    assert chain.registry.member_at(1).url == "http://réseau.example:8443"
    account = consortium.accounts[1].address
    assert chain.events(before + 1) == [
        UrlChanged(block=receipt.block, log_index=0, tx=receipt.tx, account=account, url="http://réseau.example:8443")
    ]


def test_a_client_without_account_only_reads(consortium: Consortium) -> None:
    with pytest.raises(ReadOnly, match=r"HospitalRegistry\.setUrl"):
        consortium.client().registry.set_url("x")


def test_long_urls_are_refused_before_they_are_sent(consortium: Consortium) -> None:
    with pytest.raises(BadArgument, match="url"):
        consortium.client(0).registry.set_url("é" * 129)


def test_admissions_are_events(consortium: Consortium) -> None:
    events = consortium.client().events(consortium.deployment.block, consortium.deployment.block)
    admitted = [event for event in events if isinstance(event, HospitalAdmitted)]
    found = [Hospital(e.account, e.box_key, e.data_size, e.name, e.url) for e in admitted]
    assert (found, [e.index for e in admitted]) == (list(consortium.hospitals), list(range(N)))


def test_sixty_four_members_fit_one_deployment(consortium: Consortium) -> None:
    """The most that one parameter set's ciphertext sums allow."""
    hospitals = [
        Hospital(f"0x{index + 1:040x}", digest(str(index)), 1, f"Hospital {index}", f"https://h{index}.example:8443")
        for index in range(64)
    ]
    deployment = deploy(consortium.url, dev_account(0), digest("large"), hospitals)
    chain = Chain(consortium.url, deployment)
    chain.verify()
    assert chain.registry.members() == tuple(hospitals)
    assert chain.registry.quorum() == 43


def test_duplicate_members_are_refused(consortium: Consortium) -> None:
    with pytest.raises(ContractReverted) as caught:
        deploy(consortium.url, dev_account(0), digest("x"), consortium.hospitals[:1] * 2)
    assert caught.value.name == "DuplicateMember"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"account": "0x12"}, "account"),
        ({"account": "0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266"}, "account"),
        ({"box_key": b"short"}, "box_key"),
        ({"data_size": 0}, "data_size"),
        ({"data_size": 2**32}, "data_size"),
        ({"name": ""}, "name"),
        ({"name": "é" * 33}, "name"),
        ({"url": "x" * 257}, "url"),
    ],
)
def test_hospitals_are_checked(change: dict[str, object], field: str) -> None:
    good: dict[str, object] = {"account": OUTSIDER, "box_key": bytes(32), "data_size": 1, "name": "n", "url": ""}
    Hospital(**good)
    with pytest.raises(BadArgument) as caught:
        Hospital(**{**good, **change})
    assert caught.value.field == field
