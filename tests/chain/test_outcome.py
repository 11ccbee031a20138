"""What members sign: three ways to the same 32 bytes, and one way only to a signature."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import chain
from chain.deployment import Deployment
from chain.errors import BadArgument
from chain.outcome import outcome_digest, recover_outcome_signer, sign_outcome
from chain.records import Outcome
from tests.chain.support import Consortium, digest

HASH = st.binary(min_size=32, max_size=32)
OUTCOMES = st.builds(
    Outcome,
    round=st.integers(0, 2**256 - 1),
    base=HASH,
    model=HASH,
    plan=HASH,
    leader=st.binary(min_size=20, max_size=20).map(lambda raw: f"0x{raw.hex()}"),
    proposal=HASH,
    updates_root=HASH,
    sums_root=HASH,
    statement=HASH,
    seed_material=HASH,
)
DEPLOYMENT = Deployment(31337, digest("c"), *(f"0x{n:040x}" for n in range(1, 5)), block=1)
SIGNER = Account.from_key(digest("signer"))
EXAMPLE = Outcome(7, *(digest(str(n)) for n in range(3)), f"0x{9:040x}", *(digest(str(n)) for n in range(3, 8)))


def by_hand(outcome: Outcome, deployment: Deployment) -> bytes:
    """EIP-712 spelt out, from the standard alone."""
    domain = keccak(
        keccak(text="EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        + keccak(text="Medweave")
        + keccak(text="1")
        + deployment.chain_id.to_bytes(32, "big")
        + bytes.fromhex(deployment.rounds[2:]).rjust(32, b"\0")
    )
    kind = keccak(
        text="Outcome(uint256 round,bytes32 base,bytes32 model,bytes32 plan,address leader,bytes32 proposal,"
        "bytes32 updatesRoot,bytes32 sumsRoot,bytes32 statement,bytes32 seedMaterial)"
    )
    words: list[Any] = list(dataclasses.astuple(outcome))
    words[0] = words[0].to_bytes(32, "big")
    words[4] = bytes.fromhex(words[4][2:]).rjust(32, b"\0")
    return keccak(b"\x19\x01" + domain + keccak(kind + b"".join(words)))


@given(outcome=OUTCOMES)
def test_digest_follows_eip_712(outcome: Outcome) -> None:
    assert outcome_digest(outcome, DEPLOYMENT) == by_hand(outcome, DEPLOYMENT)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(outcome=OUTCOMES)
def test_digest_equals_the_contracts(consortium: Consortium, outcome: Outcome) -> None:
    rounds = consortium.client().rounds
    assert rounds.outcome_digest(outcome) == rounds.contract_outcome_digest(outcome)


def test_golden_digest() -> None:
    """Computed once by `by_hand`."""
    assert (
        outcome_digest(EXAMPLE, DEPLOYMENT).hex() == "068d2a9aade03c241a73f62da7553c97aabf811eec3dc11171e8ee5f1651102f"
    )


def test_the_signer_is_recovered() -> None:
    signature = sign_outcome(EXAMPLE, DEPLOYMENT, SIGNER)
    assert len(signature) == 65
    assert chain.recover_outcome_signer(EXAMPLE, signature, DEPLOYMENT) == SIGNER.address


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Outcome)])
def test_a_signature_covers_every_field(field: str) -> None:
    signature = sign_outcome(EXAMPLE, DEPLOYMENT, SIGNER)
    value = {"round": 8, "leader": f"0x{10:040x}"}.get(field, digest("changed"))
    changed = dataclasses.replace(EXAMPLE, **{field: value})
    assert recover_outcome_signer(changed, signature, DEPLOYMENT) != SIGNER.address


@pytest.mark.parametrize("change", [{"chain_id": 1}, {"rounds": f"0x{99:040x}"}])
def test_a_signature_counts_in_one_place_only(change: dict[str, Any]) -> None:
    signature = sign_outcome(EXAMPLE, DEPLOYMENT, SIGNER)
    elsewhere = dataclasses.replace(DEPLOYMENT, **change)
    assert recover_outcome_signer(EXAMPLE, signature, elsewhere) != SIGNER.address


def test_the_high_s_twin_is_refused() -> None:
    """OpenZeppelin refuses it on chain; who checks off chain must not count it either."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    signature = sign_outcome(EXAMPLE, DEPLOYMENT, SIGNER)
    s = order - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + s.to_bytes(32, "big") + bytes([55 - signature[64]])
    with pytest.raises(BadArgument):
        recover_outcome_signer(EXAMPLE, twin, DEPLOYMENT)


@given(junk=st.binary(max_size=80))
def test_junk_is_no_signature(junk: bytes) -> None:
    with pytest.raises(BadArgument):
        recover_outcome_signer(EXAMPLE, junk, DEPLOYMENT)


@given(junk=st.binary(min_size=64, max_size=64), v=st.sampled_from([27, 28]))
def test_well_formed_junk_is_refused_or_a_strangers(junk: bytes, v: int) -> None:
    try:
        signer = recover_outcome_signer(EXAMPLE, junk[:32] + b"\0" + junk[33:] + bytes([v]), DEPLOYMENT)
    except BadArgument:
        return
    assert signer != SIGNER.address
