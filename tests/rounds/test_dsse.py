"""Statements under signature: what a quorum signed convinces, and every way of forging it is named."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import LyingPeer
from node.rounds.dsse import (
    MAX_ENVELOPE_BYTES,
    Endorsement,
    Envelope,
    Signature,
    gather_envelope,
    pae,
    sign_statement,
    verify_envelope,
    verify_signature,
)
from node.rounds.errors import (
    BadEnvelope,
    BadStatementSignature,
    BelowQuorum,
    DuplicateSigner,
    MalformedEnvelope,
    UnknownSigner,
)
from node.rounds.statement import Statement
from node.storage import raw_cid
from tests.rounds import independent_dsse
from tests.rounds.support import ADDRESSES, KEYS, QUORUM

MEMBERS = frozenset(ADDRESSES)
ORDER = independent_dsse.N


@pytest.fixture(scope="session")
def statement(played) -> Statement:
    return Statement.from_bytes(played.nodes[0].blobs.obtain(raw_cid(played.chain.endings[1].statement)))


def signed(statement: Statement, *members: int) -> list[Signature]:
    return [Signature(ADDRESSES[m], sign_statement(statement.to_bytes(), KEYS[m])) for m in members]


def envelope(statement: Statement, *members: int) -> bytes:
    return Envelope.of(statement, signed(statement, *members)).to_bytes()


def changed(data: bytes, change) -> bytes:
    content = json.loads(data)
    change(content)
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


# ---- what holds ------------------------------------------------------------------------------------------------------


def test_the_encoding_is_that_of_the_specification():
    """The example of DSSE's protocol.md."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", b"") == "DSSEv1 2 é 0 ".encode()


def test_a_quorum_convinces(statement):
    verify_envelope(envelope(statement, 0, 1, 2), MEMBERS, QUORUM)
    verify_envelope(envelope(statement, 3, 1, 2, 0), MEMBERS, QUORUM)


def test_the_bytes_follow_from_the_signatures_in_any_order(statement):
    assert envelope(statement, 0, 1, 2) == envelope(statement, 2, 0, 1)
    assert Envelope.from_bytes(envelope(statement, 2, 0)).statement() == statement


def test_an_independent_implementation_finds_the_same_signers(statement):
    """ECDSA, recovery and encoding written from the standards: each signature verifies under a plain public key too."""
    found = independent_dsse.signers(envelope(statement, 0, 2, 3))
    assert found == {"0x" + ADDRESSES[m].hex() for m in (0, 2, 3)}
    forged = changed(envelope(statement, 0), lambda c: c.update(payload=base64.b64encode(b"{}").decode()))
    assert independent_dsse.signers(forged) & {"0x" + a.hex() for a in ADDRESSES} == set()


def test_members_sign_what_they_finalise(played, statement):
    """Each checkpoint of a played round carries its member's signature under the very statement the chain names."""
    node = played.nodes[0]
    points = [c for c in node.runner.state.checkpoints if c.statement == statement.digest]
    assert len({c.issuer for c in points}) >= played.quorum
    for point in points:
        verify_signature(statement.to_bytes(), Signature(played.addresses[point.issuer], point.statement_signature))


# ---- what does not ---------------------------------------------------------------------------------------------------


def first_signature(**fields):
    return lambda content: content["signatures"][0].update(fields)


def high(signature: bytes) -> bytes:
    s = ORDER - int.from_bytes(signature[32:64], "big")
    return signature[:32] + s.to_bytes(32, "big") + bytes([signature[64] ^ 1])


def test_a_stranger_is_named(statement):
    with pytest.raises(UnknownSigner, match=ADDRESSES[3].hex()) as caught:
        verify_envelope(envelope(statement, 0, 1, 2, 3), MEMBERS - {ADDRESSES[3]}, QUORUM)
    assert caught.value.evidence["keyid"] == "0x" + ADDRESSES[3].hex()


def test_a_signature_under_anothers_name_is_found(statement):
    mine = signed(statement, 0, 1, 2)
    stolen = replace(mine[0], signer=ADDRESSES[3])
    with pytest.raises(BadStatementSignature, match="it is by 0x" + ADDRESSES[0].hex()):
        verify_envelope(Envelope.of(statement, [*mine, stolen]).to_bytes(), MEMBERS, QUORUM)


def test_a_signature_under_another_statement_is_found(statement):
    other = Statement.of(statement.predicate.model_copy(update={"software": "medweave 99"}))
    rows = [*signed(statement, 0, 1), *signed(other, 2)]
    with pytest.raises(BadStatementSignature):
        verify_envelope(Envelope.of(statement, rows).to_bytes(), MEMBERS, QUORUM)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: b"",
        lambda s: s[:64],
        lambda s: s + b"\0",
        lambda s: bytes(65),
        lambda s: b"\xff" * 64 + b"\0",
        lambda s: s[:64] + bytes([s[64] + 27]),
        lambda s: s[:64] + bytes([s[64] ^ 1]),
        lambda s: s[:64] + b"\x02",
        high,
        lambda s: bytes([s[0] ^ 1]) + s[1:],
    ],
    ids=["empty", "short", "long", "zero", "ones", "v-27", "other-v", "v-2", "high-s", "flipped"],
)
def test_a_spoilt_signature_is_found_and_its_signer_named(statement, spoil):
    one, *rest = sorted(signed(statement, 0, 1, 2, 3), key=lambda s: s.signer)
    rows = [replace(one, value=spoil(one.value)), *rest]
    with pytest.raises(BadStatementSignature, match=one.signer.hex()):
        verify_envelope(Envelope.of(statement, rows).to_bytes(), MEMBERS, QUORUM)


def test_a_member_counts_once(statement):
    rows = signed(statement, 0, 0, 0)
    with pytest.raises(DuplicateSigner, match=ADDRESSES[0].hex()):
        verify_envelope(Envelope.of(statement, rows).to_bytes(), MEMBERS, QUORUM)


def test_too_few_do_not_convince(statement):
    with pytest.raises(BelowQuorum, match="2 members signed the statement, a quorum is 3"):
        verify_envelope(envelope(statement, 0, 1), MEMBERS, QUORUM)


MALFORMED = {
    "bytes": b"",
    "brackets": b"[" * 100_000,
    "array": b"[]",
    "binary": b"\xff\xfe",
    "spare key": lambda c: c.update(note="x"),
    "no payload": lambda c: c.pop("payload"),
    "no signatures": lambda c: c.update(signatures=[]),
    "payload type": lambda c: c.update(payloadType="application/json"),
    "payload alphabet": lambda c: c.update(payload=c["payload"][:-4] + "-_=="),
    "payload padding": lambda c: c.update(payload="QUI"),
    "payload spare bits": lambda c: c.update(payload="QUJ="),
    "keyid in capitals": first_signature(keyid="0x" + "AB" * 20),
    "keyid short": first_signature(keyid="0x12"),
    "signature a number": first_signature(sig=7),
    "signature endless": first_signature(sig="A" * 92),
    "order": lambda c: c["signatures"].reverse(),
    "too many": lambda c: c.update(signatures=c["signatures"] * 100),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_not_the_canonical_form_is_refused(statement, name):
    what = MALFORMED[name]
    data = what if isinstance(what, bytes) else changed(envelope(statement, 0, 1, 2), what)
    with pytest.raises(MalformedEnvelope, match="envelope: "):
        verify_envelope(data, MEMBERS, QUORUM)


@pytest.mark.parametrize("respell", [lambda d: d + b"\n", lambda d: d.replace(b",", b", "), lambda d: b" " + d])
def test_white_space_is_another_form(statement, respell):
    with pytest.raises(MalformedEnvelope):
        verify_envelope(respell(envelope(statement, 0, 1, 2)), MEMBERS, QUORUM)


def test_an_envelope_beyond_all_bounds_is_not_read():
    with pytest.raises(MalformedEnvelope, match="at most"):
        Envelope.from_bytes(b" " * (MAX_ENVELOPE_BYTES + 1))


@pytest.mark.parametrize("payload", [b"", b"{}", b"no json"])
def test_signatures_under_something_else_than_a_statement_are_worth_nothing(payload):
    rows = tuple(
        sorted(
            (Signature(a, sign_statement(payload, k)) for a, k in zip(ADDRESSES, KEYS, strict=True)),
            key=lambda s: s.signer,
        )
    )
    with pytest.raises(MalformedEnvelope, match="payload"):
        verify_envelope(Envelope(payload, rows).to_bytes(), MEMBERS, QUORUM)


def test_a_statement_in_another_spelling_is_refused(statement):
    """The same JSON with white space has another digest: what is on chain is one spelling."""
    payload = json.dumps(json.loads(statement.to_bytes())).encode()
    rows = tuple(
        sorted(
            (Signature(a, sign_statement(payload, k)) for a, k in zip(ADDRESSES, KEYS, strict=True)),
            key=lambda s: s.signer,
        )
    )
    with pytest.raises(MalformedEnvelope, match="canonical"):
        verify_envelope(Envelope(payload, rows).to_bytes(), MEMBERS, QUORUM)


@given(at=st.integers(0, 10**6), bit=st.integers(0, 7))
@settings(max_examples=150, deadline=None)
def test_a_flipped_bit_anywhere_is_found(statement, at, bit):
    data = bytearray(envelope(statement, 0, 1, 2))
    data[at % len(data)] ^= 1 << bit
    with pytest.raises(BadEnvelope):
        verify_envelope(bytes(data), MEMBERS, QUORUM)


def test_every_error_is_a_liars(statement):
    """A node that is given a bad envelope treats it as any other lie of a peer."""
    assert issubclass(BadEnvelope, LyingPeer)


# ---- put together from checkpoints -----------------------------------------------------------------------------------


def endorsement(statement: Statement, member: int, name: str = "") -> Endorsement:
    transaction = hashlib.sha256(f"{member}{name}".encode()).digest()
    return Endorsement(transaction, *signed(statement, member))


def test_it_holds_the_signers_the_chain_names_and_no_others(statement):
    """Whoever has more checkpoints than another derives the same bytes."""
    every = [endorsement(statement, m) for m in range(4)]
    signers = [ADDRESSES[m] for m in (1, 2, 3)]
    expected = envelope(statement, 1, 2, 3)
    for have in (every, every[1:], every[::-1]):
        found, whole = gather_envelope(statement, have, signers, QUORUM)
        assert whole
        assert found.to_bytes() == expected


def test_a_missing_signer_leaves_it_unfinished(statement):
    """The last checkpoint is still on its way: what is at hand convinces, and is known not to be all."""
    have = [endorsement(statement, m) for m in (0, 1, 2)]
    found, whole = gather_envelope(statement, have, ADDRESSES, QUORUM)
    assert not whole
    verify_envelope(found.to_bytes(), MEMBERS, QUORUM)


def test_signers_who_never_signed_the_statement_are_replaced_by_those_who_did(statement):
    """A lying finaliser sent a signature whose checkpoint nobody has; the others' checkpoints make a quorum all the same."""
    have = [endorsement(statement, m) for m in (0, 1, 2)]
    found, whole = gather_envelope(statement, have, [ADDRESSES[m] for m in (0, 1, 3)], QUORUM)
    assert not whole
    assert {s.signer for s in found.signatures} == {ADDRESSES[m] for m in (0, 1, 2)}


def test_invalid_signatures_are_passed_over(statement):
    bad = Endorsement(bytes(32), Signature(ADDRESSES[0], bytes(65)))
    found, whole = gather_envelope(
        statement, [bad, *(endorsement(statement, m) for m in range(3))], ADDRESSES[:3], QUORUM
    )
    assert whole
    assert found.to_bytes() == envelope(statement, 0, 1, 2)
    with pytest.raises(BelowQuorum):
        gather_envelope(statement, [bad, *(endorsement(statement, m) for m in (1, 2))], ADDRESSES[:3], QUORUM)
