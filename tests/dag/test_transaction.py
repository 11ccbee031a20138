"""One canonical byte form: round trips, golden vectors, an independent encoder, hostile bytes."""

import json
from contextlib import suppress
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import coincurve
import dag_cbor
import pytest
from eth_account import Account
from hypothesis import example, given, settings
from hypothesis import strategies as st
from multiformats import CID, multihash

from dag import codec
from dag.bodies import (
    BODIES,
    AcknowledgementBody,
    Body,
    Kind,
    ProposalBody,
    UpdateBody,
    VerdictBody,
    commit,
    proposal_roots,
)
from dag.equivocation import EquivocationProof, contradiction
from dag.errors import BadSignature, MalformedIdentifier, MalformedTransaction
from dag.ids import (
    DAG_CBOR,
    DAG_PB,
    NO_ISSUER,
    RAW,
    blob_link,
    cid_bytes,
    cid_of,
    cid_text,
    parse_cid,
    sha256,
    tx_id_of,
)
from dag.transaction import MAX_BYTES, Transaction, Unsigned, address_of, genesis, sign, signing_digest
from tests.dag.support import CONSORTIUM, blob, key, post, proposal_body, sample_body, update_body

VECTORS = Path(__file__).parent.parent / "vectors" / "dag" / "transactions.json"
KINDS = [kind for kind in Kind if kind is not Kind.GENESIS]
PARENTS = (sha256(b"one"), sha256(b"two"))
HALF = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
ORDER = 2 * HALF + 1


def samples() -> dict[str, Transaction]:
    made = {kind.value: post(PARENTS, sample_body(kind), sequence=number) for number, kind in enumerate(KINDS)}
    return {"genesis": genesis(CONSORTIUM, 31337, b"r" * 20)} | made


def digests(size: int = 32) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


def ppm(low: int = 0) -> st.SearchStrategy[int]:
    return st.integers(low, 10**6)


CIDS = st.builds(lambda codec_, digest: cid_text(cid_bytes(codec_, digest)), st.sampled_from([RAW, DAG_PB]), digests())
ID_SETS = st.sets(digests(), max_size=6).map(lambda ids: tuple(sorted(ids)))


@st.composite
def proposals(draw) -> ProposalBody:
    updates = draw(st.sets(digests(), min_size=1, max_size=8).map(lambda ids: tuple(sorted(ids))))
    groups = tuple((position,) for position in range(len(updates)))
    sums = tuple(draw(st.lists(CIDS, min_size=len(groups), max_size=len(groups))))
    openers = tuple(sorted(draw(st.sets(st.integers(0, 255), min_size=1, max_size=6))))
    return ProposalBody(
        updates, draw(ID_SETS), groups, sums, openers, draw(st.integers(0, 255)), *proposal_roots(updates, sums)
    )


@st.composite
def verdicts(draw) -> VerdictBody:
    size = draw(st.integers(1, 8))
    scores = draw(st.tuples(*[ppm()] * size))
    votes = draw(st.tuples(*[st.booleans()] * size))
    rows = st.tuples(*[ppm()] * size)
    pointing = draw(st.one_of(st.just(((), ())), st.tuples(rows, rows)))
    return VerdictBody(draw(digests()), scores, draw(ppm()), votes, draw(st.integers(1, 2**32 - 1)), *pointing)


BODY_STRATEGY = st.one_of(
    st.builds(
        UpdateBody,
        ppm(1),
        st.integers(1, 2**32 - 1),
        st.integers(1, 2**16 - 1),
        digests(),
        digests(16),
        digests(),
    ),
    st.builds(AcknowledgementBody, st.none() | digests()),
    st.just(AcknowledgementBody(None, close=True)),
    proposals(),
    st.builds(BODIES[Kind.SHARE], digests(), st.integers(0, 255)),
    verdicts(),
    st.builds(BODIES[Kind.CHECKPOINT], digests(), digests(), digests(), digests(65), digests(65), digests()),
)


@given(
    body=BODY_STRATEGY,
    parents=st.tuples(digests(), digests()),
    epoch=st.integers(1, 2**53 - 1),
    round_=st.integers(1, 2**53 - 1),
    sequence=st.integers(0, 2**53 - 1),
    payload=CIDS,
)
@settings(max_examples=150, deadline=None)
def test_decoding_returns_what_was_encoded(body: Body, parents, epoch, round_, sequence, payload):
    payload = payload if body.carries_payload else None
    signed = sign(Unsigned(body.kind, CONSORTIUM, epoch, round_, sequence, parents, payload, body), key(1))
    decoded = Transaction.decode(signed.encode())
    assert decoded == signed
    assert decoded.id == signed.id == sha256(signed.encode())
    assert decoded.issuer == address_of(key(1))
    assert dag_cbor.encode(dag_cbor.decode(signed.raw)) == signed.raw


# -- golden vectors: made once by this package, checked here by dag-cbor, multiformats and eth-account --------------


def golden() -> dict[str, dict[str, str]]:
    return json.loads(VECTORS.read_text())


def plain(value: object) -> object:
    """Our value as the independent encoder wants it."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return value


def independent_map(transaction: Transaction) -> dict[str, object]:
    """The transaction built from its attributes alone, with multiformats' CIDs."""
    body = {field.name: plain(getattr(transaction.body, field.name)) for field in fields(transaction.body)}
    for name in ("alignment_ppm", "descent_ppm"):
        if body.get(name) == []:
            del body[name]  # nothing stated is left out
    if "sums" in body:
        body["sums"] = [CID.decode(cid) for cid in body["sums"]]
    return {
        "format": 1,
        "kind": transaction.kind.value,
        "consortium": transaction.consortium,
        "epoch": transaction.epoch,
        "round": transaction.round,
        "sequence": transaction.sequence,
        "parents": [CID("base32", 1, "dag-cbor", multihash.wrap(tx_id, "sha2-256")) for tx_id in transaction.parents],
        "payload": None if transaction.payload is None else CID.decode(transaction.payload),
        "body": body,
    }


@pytest.mark.parametrize("name", list(Kind))
def test_golden_vectors_do_not_change(name):
    vector, transaction = golden()[name], samples()[name]
    assert transaction.raw.hex() == vector["bytes"]
    assert cid_of(transaction.id) == vector["cid"]
    assert transaction.issuer.hex() == vector["issuer"]


@pytest.mark.parametrize("name", list(Kind))
def test_an_independent_implementation_agrees(name):
    vector = golden()[name]
    raw = bytes.fromhex(vector["bytes"])
    transaction = Transaction.decode(raw)
    unsigned = independent_map(transaction)
    assert dag_cbor.encode(unsigned | {"signature": transaction.signature}) == raw
    assert str(CID("base32", 1, "dag-cbor", multihash.digest(raw, "sha2-256"))) == vector["cid"]
    if name == Kind.GENESIS:
        return
    digest = sha256(b"medweave/transaction/1\x00" + dag_cbor.encode(unsigned))
    r, s, v = transaction.signature[:32], transaction.signature[32:64], transaction.signature[64]
    recovered = Account._recover_hash(digest, vrs=(v + 27, int.from_bytes(r, "big"), int.from_bytes(s, "big")))
    assert bytes.fromhex(recovered[2:]) == bytes.fromhex(vector["issuer"])


def test_where_sums_point_is_left_out_of_the_bytes_where_it_is_not_stated():
    """So that verdicts of rounds that do not ask for it keep the form they always had."""
    plain_verdict = sample_body(Kind.VERDICT)
    stated = replace(plain_verdict, alignment_ppm=(500_000, 620_000), descent_ppm=(510_000, 490_000))
    assert not {"alignment_ppm", "descent_ppm"} & set(plain_verdict.to_map())
    names = ("scores_ppm", "accept", "alignment_ppm", "descent_ppm")
    content = {**stated.to_map(), **{name: list(stated.to_map()[name]) for name in names}}
    assert VerdictBody.from_map(content) == stated
    lists = {name: list(plain_verdict.to_map()[name]) for name in ("scores_ppm", "accept")}
    assert VerdictBody.from_map({**plain_verdict.to_map(), **lists}) == plain_verdict
    for name in ("alignment_ppm", "descent_ppm"):
        with pytest.raises(MalformedTransaction, match=f"{name}: empty"):
            VerdictBody.from_map({**content, name: []})
        with pytest.raises(MalformedTransaction, match="or neither"):
            VerdictBody.from_map({key: value for key, value in content.items() if key != name})
        for wrong in ((500_000,), (500_000, 1_000_001), (500_000, -1)):
            with pytest.raises(MalformedTransaction, match=name):
                replace(stated, **{name: wrong})


# -- signatures ------------------------------------------------------------------------------------------------------


def resigned(transaction: Transaction, signature: bytes) -> Transaction:
    return replace(transaction, signature=signature)


def test_the_second_form_of_a_signature_is_refused():
    good = post(PARENTS, update_body())
    s = int.from_bytes(good.signature[32:64], "big")
    high = good.signature[:32] + (ORDER - s).to_bytes(32, "big") + bytes([good.signature[64] ^ 1])
    with pytest.raises(BadSignature, match="high s"):
        assert resigned(good, high).issuer is None


@pytest.mark.parametrize(
    "signature",
    [bytes(65), b"\xff" * 32 + b"\x01" * 32 + b"\x00", b"\x01" * 64 + b"\x02", b"\x01" * 64 + b"\x1b"],
)
def test_impossible_signatures_are_refused(signature):
    with pytest.raises(BadSignature):
        assert resigned(post(PARENTS, update_body()), signature).issuer is None


def test_rare_recovery_ids_are_refused_even_where_a_key_recovers():
    """V = 2 is right for one signature in 2^127; accepting it would give such a transaction a second form."""
    good = post(PARENTS, update_body())
    recovers = 0
    for r in range(1, 20):
        signature = r.to_bytes(32, "big") + (1).to_bytes(32, "big") + b"\x02"
        with suppress(Exception):
            coincurve.PublicKey.from_signature_and_message(signature, signing_digest(good), hasher=None)
            recovers += 1
        with pytest.raises(BadSignature, match="expected 0 or 1"):
            assert resigned(good, signature).issuer is None
    assert recovers


def test_changing_any_signed_field_changes_the_issuer():
    good = post(PARENTS, update_body())
    changes = [
        {"consortium": sha256(b"other")},
        {"epoch": 2},
        {"round": 2},
        {"sequence": 7},
        {"parents": PARENTS[::-1]},
        {"payload": blob("other")},
        {"body": update_body(samples=99)},
    ]
    for change in changes:
        changed = replace(good, **change)
        assert changed.id != good.id
        assert signing_digest(changed) != signing_digest(good)
        with suppress(BadSignature):
            assert changed.issuer != good.issuer


def test_genesis_is_derived_not_signed():
    first = genesis(CONSORTIUM, 1, b"r" * 20)
    assert first.issuer == NO_ISSUER
    assert first.id == genesis(CONSORTIUM, 1, b"r" * 20).id != genesis(CONSORTIUM, 2, b"r" * 20).id
    with pytest.raises(MalformedTransaction, match="genesis"):
        sign(first, key(0))


def test_transactions_are_frozen():
    with pytest.raises(FrozenInstanceError):
        post(PARENTS, update_body()).round = 2


def test_commitment():
    assert commit(b"x" * 32) == sha256(b"medweave/reveal" + b"x" * 32)


# -- hostile bytes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_flipped_bit_is_refused_or_makes_another_transaction(kind):
    good = post(PARENTS, sample_body(kind))
    for position in range(len(good.raw)):
        for bit in (0, 7):
            changed = bytearray(good.raw)
            changed[position] ^= 1 << bit
            try:
                other = Transaction.decode(bytes(changed))
                assert other.id != good.id
                assert other.issuer != good.issuer
            except (MalformedTransaction, BadSignature):
                continue


@given(st.binary(max_size=200))
@example(bytes.fromhex("d81c81d81d00"))  # a list that holds itself
@example(bytes.fromhex("d8234128"))  # a broken regular expression
@example(bytes.fromhex("9bffffffffffffffff"))  # a list of 2^64 entries
@example(b"\x81" * 100)  # deep nesting
@example(bytes.fromhex("a1616b9f01ff"))  # indefinite length
@example(b"")
def test_junk_is_refused_politely(raw):
    with pytest.raises(MalformedTransaction):
        Transaction.decode(raw)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=70) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(kind=st.sampled_from(KINDS), data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_field_of_any_other_value_is_refused_by_name(kind, data):
    content = codec.decode(post(PARENTS, sample_body(kind)).raw, MAX_BYTES)
    inside = data.draw(st.booleans())
    target = content["body"] if inside else content
    name = data.draw(st.sampled_from(sorted(target)))
    before, target[name] = target[name], data.draw(VALUES)
    raw = codec.encode(content)
    try:
        decoded = Transaction.decode(raw)
    except MalformedTransaction as error:
        at = error.field.split("[")[0].split(".")
        assert at[0] in {name, "body", "bytes", "signature"} | (
            {"payload", "parents", "epoch"} if name == "kind" else set()
        )
    else:
        assert decoded.raw == raw
        assert type(target[name]) is type(before) or kind is Kind.ACKNOWLEDGEMENT


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("format", True),
        ("kind", "bribe"),
        ("kind", []),
        ("consortium", b"short"),
        ("epoch", 0),
        ("round", -1),
        ("sequence", True),
        ("sequence", 2**53),
        ("parents", []),
        ("parents", [1, 2]),
        ("payload", b"bytes"),
        ("payload", codec.link(cid_bytes(DAG_CBOR, sha256(b"a transaction is no blob")))),
        ("payload", codec.link(b"\x00" * 36)),
        ("body", []),
        ("signature", b""),
    ],
)
def test_named_fields(field, value):
    content = codec.decode(post(PARENTS, update_body()).raw, MAX_BYTES)
    with pytest.raises(MalformedTransaction) as caught:
        Transaction.decode(codec.encode(content | {field: value}))
    assert caught.value.field.startswith(field)


def test_parents_are_links_to_transactions():
    content = codec.decode(post(PARENTS, update_body()).raw, MAX_BYTES)
    content["parents"][1] = codec.link(cid_bytes(RAW, PARENTS[1]))
    with pytest.raises(MalformedTransaction) as caught:
        Transaction.decode(codec.encode(content))
    assert caught.value.field == "parents[1]"


def test_one_value_has_one_byte_form():
    raw = post(PARENTS, update_body(), sequence=5).raw
    longer_integer = raw.replace(b"hsequence\x05", b"hsequence\x18\x05")
    other_order = raw.replace(b"dkindfupdate", b"").replace(b"\xaa", b"\xaadkindfupdate", 1)
    for changed in (longer_integer, other_order, raw + b"\x00"):
        assert changed != raw
        with pytest.raises(MalformedTransaction, match="canonical"):
            Transaction.decode(changed)


def test_spare_and_missing_fields():
    content = codec.decode(post(PARENTS, update_body()).raw, MAX_BYTES)
    with pytest.raises(MalformedTransaction, match="no such field"):
        Transaction.decode(codec.encode(content | {"tip": 1}))
    del content["round"]
    with pytest.raises(MalformedTransaction, match="missing"):
        Transaction.decode(codec.encode(content))


def test_size_is_bounded():
    with pytest.raises(MalformedTransaction, match="at most"):
        Transaction.decode(b"\x00" * (MAX_BYTES + 1))
    updates = tuple(sorted(sha256(bytes([n])) for n in range(256)))
    largest = post(PARENTS, proposal_body(updates, updates, tuple((n,) for n in range(256)), openers=tuple(range(256))))
    assert len(largest.encode()) < MAX_BYTES


def test_payload_where_it_belongs():
    with pytest.raises(MalformedTransaction) as caught:
        post(PARENTS, AcknowledgementBody(None), payload=blob("x"))
    assert caught.value.field == "payload"
    with pytest.raises(MalformedTransaction) as caught:
        replace(post(PARENTS, update_body()), payload=None)
    assert caught.value.field == "payload"


# -- identifiers -------------------------------------------------------------------------------------------------------


@given(digest=digests(), codec_=st.sampled_from([RAW, DAG_PB, DAG_CBOR]))
def test_cids_agree_with_multiformats(digest, codec_):
    text = cid_text(cid_bytes(codec_, digest))
    theirs = CID.decode(text)
    assert theirs.raw_digest == digest
    assert bytes(theirs) == cid_bytes(codec_, digest)
    assert str(theirs) == text
    assert parse_cid(text) == (codec_, digest)


@given(st.text(max_size=70) | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=58, max_size=58).map("b".__add__))
def test_texts_that_are_no_cids(text):
    try:
        codec_, digest = parse_cid(text)
    except MalformedIdentifier:
        return
    assert cid_text(cid_bytes(codec_, digest)) == text


def test_cids_of_the_wrong_sort():
    tx = cid_of(PARENTS[0])
    assert tx_id_of(tx) == PARENTS[0]
    with pytest.raises(MalformedIdentifier, match="blob"):
        blob_link(tx)
    with pytest.raises(MalformedIdentifier, match="dag-cbor"):
        tx_id_of(blob("x"))
    for text in (tx.upper(), tx[:-1], tx[:-1] + "z", "Qm" + tx[2:]):
        with pytest.raises(MalformedIdentifier):
            parse_cid(text)
    with pytest.raises(MalformedIdentifier):
        cid_of(b"short")
    with pytest.raises(MalformedIdentifier):
        cid_bytes(0x00, PARENTS[0])


# -- proofs of equivocation ----------------------------------------------------------------------------------------------


def test_a_second_close_of_a_round_is_equivocation():
    one, two = (post(PARENTS, AcknowledgementBody(None, close=True), sequence=number) for number in (1, 2))
    assert contradiction(one, two) == "second close for the same round"
    assert EquivocationProof.decode(EquivocationProof.of(one, two).encode()).issuer == address_of(key(0))


def test_nothing_closes_and_reveals_at_once():
    with pytest.raises(MalformedTransaction, match="both close and reveal"):
        AcknowledgementBody(bytes(32), close=True)
    with pytest.raises(MalformedTransaction, match="true or false"):
        AcknowledgementBody(None, close=1)


def test_proofs_convince_third_parties_only_of_contradictions():
    one, two = post(PARENTS, update_body()), post(PARENTS[::-1], update_body())
    proof = EquivocationProof.of(two, one)
    assert EquivocationProof.decode(proof.encode()) == proof
    assert proof == EquivocationProof.of(one, two)
    assert proof.issuer == address_of(key(0))
    one_round_later = post(PARENTS, AcknowledgementBody(None, close=True), sequence=1, round_=2)
    innocent = [
        (one, one),
        (one, post(PARENTS, update_body(), member=1)),
        (one, post(PARENTS, update_body(), sequence=1, round_=2)),
        (one, post(PARENTS, AcknowledgementBody(None), sequence=1)),
        (post(PARENTS, AcknowledgementBody(None, close=True)), post(PARENTS, AcknowledgementBody(None), sequence=1)),
        (post(PARENTS, AcknowledgementBody(None, close=True)), one_round_later),
    ]
    for pair in innocent:
        with pytest.raises(MalformedTransaction):
            EquivocationProof.decode(EquivocationProof.of(*pair).encode())
    with pytest.raises(MalformedTransaction):
        EquivocationProof.decode(codec.encode({"first": 1, "second": 2}))
    with pytest.raises(MalformedTransaction):
        EquivocationProof(proof.second, proof.first).verify()
