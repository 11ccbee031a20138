from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chain.anvil import dev_account
from chain.client import Chain
from chain.deployment import Deployment, deploy, fund, planned_addresses
from chain.errors import BadArgument, BadDeployment, NotDeployed, RpcRefused, WrongChain
from tests.chain.support import digest

if TYPE_CHECKING:
    from tests.chain.support import Consortium

ADDRESS = st.binary(min_size=20, max_size=20).map(lambda raw: f"0x{raw.hex()}")
DEPLOYMENTS = st.builds(
    Deployment,
    chain_id=st.integers(1, 2**63 - 1),
    consortium=st.binary(min_size=32, max_size=32),
    registry=ADDRESS,
    epochs=ADDRESS,
    rounds=ADDRESS,
    models=ADDRESS,
    block=st.integers(0, 2**63 - 1),
)
EXAMPLE = Deployment(31337, digest("c"), *(f"0x{n:040x}" for n in range(1, 5)), block=1)


@given(deployment=DEPLOYMENTS)
def test_json_round_trip(deployment: Deployment) -> None:
    assert Deployment.from_json(deployment.to_json()) == deployment
    assert Deployment.from_json(deployment.to_json().encode()) == deployment


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chain_id", 0),
        ("chain_id", "31337"),
        ("chain_id", True),
        ("consortium", "0x12"),
        ("consortium", 5),
        ("consortium", "0x" + " " * 64),
        ("registry", "0x12"),
        ("epochs", None),
        ("rounds", ["0x"]),
        ("models", "0x" + "g" * 40),
        ("block", -1),
        ("block", 1.5),
    ],
)
def test_a_bad_field_is_named(field: str, value: object) -> None:
    record = {**json.loads(EXAMPLE.to_json()), field: value}
    with pytest.raises(BadDeployment) as caught:
        Deployment.from_json(json.dumps(record))
    assert caught.value.field == field


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", "{" * 9000, b"[" * 65_536, '{"chain_id": 1}', " " * 70_000, b"\xff\xfe\xff"]
)
def test_other_files_are_refused(text: str | bytes) -> None:
    with pytest.raises(BadDeployment):
        Deployment.from_json(text)


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(BadDeployment, match="exactly the fields"):
        Deployment.from_json(json.dumps({**json.loads(EXAMPLE.to_json()), "extra": 1}))


def test_the_deployment_verifies(consortium: Consortium) -> None:
    consortium.client().verify()


def test_another_chain_is_noticed(consortium: Consortium) -> None:
    elsewhere = dataclasses.replace(consortium.deployment, chain_id=1)
    with pytest.raises(WrongChain, match="serves chain 31337") as caught:
        Chain(consortium.url, elsewhere).verify()
    assert (caught.value.expected, caught.value.found) == (1, 31337)


@pytest.mark.parametrize(
    ("change", "contract"),
    [
        (lambda d: {"registry": d.epochs}, "HospitalRegistry"),
        (lambda _: {"epochs": f"0x{77:040x}"}, "KeyEpochs"),
        (lambda d: {"models": d.registry}, "ModelLedger"),
        (lambda _: {"consortium": digest("another")}, "HospitalRegistry"),
    ],
)
def test_other_code_is_noticed(consortium: Consortium, change: Any, contract: str) -> None:
    changed = dataclasses.replace(consortium.deployment, **change(consortium.deployment))
    with pytest.raises(NotDeployed) as caught:
        Chain(consortium.url, changed).verify()
    assert caught.value.contract == contract


@pytest.mark.parametrize("swapped", ["epochs", "rounds", "models"])
def test_contracts_of_two_deployments_do_not_mix(consortium: Consortium, swapped: str) -> None:
    other = deploy(consortium.url, dev_account(0), digest("consortium"), consortium.hospitals)
    mixed = dataclasses.replace(consortium.deployment, **{swapped: getattr(other, swapped)})
    with pytest.raises(NotDeployed, match="another"):
        Chain(consortium.url, mixed).verify()


def test_a_fresh_account_deploys_to_the_same_addresses_everywhere(consortium: Consortium) -> None:
    deployer = Account.from_key(digest("deployer"))
    planned = planned_addresses(deployer.address)
    fund(consortium.url, dev_account(0), [deployer.address], 1)
    deployment = deploy(consortium.url, deployer, digest("consortium"), consortium.hospitals)
    assert {field: getattr(deployment, field) for field in planned} == planned
    again = deploy(consortium.url, deployer, digest("consortium"), consortium.hospitals)
    assert again.rounds == planned_addresses(deployer.address, 4)["rounds"]
    with pytest.raises(BadArgument, match="nonce"):
        planned_addresses(deployer.address, -1)


def test_fund_gives_each_the_same(consortium: Consortium) -> None:
    receivers = [Account.create().address for _ in range(3)]
    fund(consortium.url, dev_account(1), receivers, "0.5")
    assert [consortium.client().balance(receiver) for receiver in receivers] == [5 * 10**17] * 3


def test_want_of_funds_is_said(consortium: Consortium) -> None:
    poor = Account.create()
    with pytest.raises(RpcRefused, match=r"(?i)insufficient funds"):
        fund(consortium.url, poor, [dev_account(0).address], 1)


@pytest.mark.parametrize("ether", ["much", -1, "nan", "inf"])
def test_amounts_are_checked(consortium: Consortium, ether: object) -> None:
    with pytest.raises(BadArgument, match="ether"):
        fund(consortium.url, dev_account(0), [dev_account(1).address], ether)


def test_deploy_checks_its_arguments(consortium: Consortium) -> None:
    with pytest.raises(BadArgument, match="consortium"):
        deploy(consortium.url, dev_account(0), b"short", consortium.hospitals)
    with pytest.raises(BadArgument, match="hospitals"):
        deploy(consortium.url, dev_account(0), digest("c"), [])
