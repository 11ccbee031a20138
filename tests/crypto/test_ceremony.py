"""CRY-1, CRY-2, CRY-5: the key ceremony, its faults and its self-test."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crypto.ceremony import Dealer, Dealing, DealingHeader, ReceivedShare, Terms, finish, receive
from crypto.errors import (
    BadShare,
    CeremonyFault,
    IncompleteCeremony,
    MalformedBytes,
    SelfTestFailed,
    WrongCommitment,
)
from crypto.keys import JointKey, MemberKey
from crypto.opening import partial
from crypto.parameters import MINIMAL, STANDARD
from crypto.randomness import common_polynomial
from crypto.secrets import BoxKey
from crypto.selftest import check_self_test, self_test_ciphertext, self_test_subsets, self_test_vector
from tests.crypto import reference
from tests.crypto.support import CONSORTIUM, Network, cached, network


def take(net: Network, dealer: int, receiver: int, **changes) -> ReceivedShare:
    """Receive one dealing, with some arguments exchanged."""
    dealing = net.dealers[dealer].dealing()
    given_: dict = {
        "header": dealing.header,
        "public_blob": dealing.public,
        "sealed_share_blob": dealing.shares[receiver],
        "box_secret": net.boxes[receiver],
        "terms": net.terms,
        "commitment": net.dealers[dealer].commitment,
        "dealer": dealer,
        "receiver": receiver,
    } | changes
    return receive(
        given_.pop("header"),
        given_.pop("public_blob"),
        given_.pop("sealed_share_blob"),
        given_.pop("box_secret"),
        **given_,
    )


def test_start_draws_fresh_secrets_and_commits():
    boxes = [BoxKey.generate().public for _ in range(3)]
    dealer, commitment = Dealer.start(MINIMAL, CONSORTIUM, 1, 0, 3, 2, boxes)
    other, other_commitment = Dealer.start(MINIMAL, CONSORTIUM, 1, 0, 3, 2, boxes)
    assert commitment == dealer.dealing().header.commitment != other_commitment
    assert dealer.secret_bytes() != other.secret_bytes()
    with pytest.raises(MalformedBytes, match=r"boxKeys\.length"):
        Dealer.start(MINIMAL, CONSORTIUM, 1, 0, 4, 2, boxes)


def test_a_crashed_dealer_resumes_with_the_same_bytes():
    dealer = cached(MINIMAL, 4, 3).dealers[1]
    again = Dealer.resume(dealer.terms, 1, dealer.secret_bytes())
    assert again.dealing() == dealer.dealing()


def test_public_share_is_b_equals_minus_as_plus_e():
    net = cached(MINIMAL, 4, 3)
    params, (joint_secret, q) = MINIMAL, (net.secret.tolist(), MINIMAL.primes[0])
    a = common_polynomial(CONSORTIUM, 1, params)[0].tolist()
    masked = reference.product(a, joint_secret, q)
    errors = [-(int(b) + m) % q for b, m in zip(net.joint.b[0], masked, strict=True)]
    errors = [e - q if e > q // 2 else e for e in errors]
    assert max(map(abs, errors)) <= 4 * 21
    assert 5 < np.std(errors) < 8  # four members: 2 · 3.24


def test_shares_interpolate_to_the_joint_secret():
    net = cached(MINIMAL, 4, 3)
    for row, prime in enumerate(MINIMAL.chunk_primes):
        shares = {k: net.members[k].sigma[row].tolist() for k in (0, 2, 3)}
        assert reference.interpolate(shares, prime) == [int(v) % prime for v in net.secret]


def test_common_polynomial_is_recomputable_from_its_description():
    a = common_polynomial(CONSORTIUM, 7, STANDARD)
    start = b"medweave/common polynomial/1" + STANDARD.id + CONSORTIUM + (7).to_bytes(8, "big") + b"\x02"
    raw = hashlib.shake_256(start).digest(8 * 100)
    words = [int.from_bytes(raw[i : i + 8], "little") % 2**60 for i in range(0, 800, 8)]
    assert [w for w in words if w < STANDARD.primes[2]][:90] == a[2, :90].tolist()
    assert not np.array_equal(a, common_polynomial(CONSORTIUM, 8, STANDARD))


def test_member_keys_share_the_content_key_and_pair_keys_agree():
    members = cached(MINIMAL, 4, 3).members
    assert len({m.content.key for m in members}) == 1
    assert len({m.smudge for m in members}) == 4
    for i in range(4):
        for j in range(4):
            assert members[i].pairs[j] == (members[j].pairs[i] if i != j else bytes(32))
    assert len({members[i].pairs[j] for i in range(4) for j in range(i)}) == 6


def test_keys_survive_their_bytes():
    net = cached(MINIMAL, 4, 3)
    joint = JointKey.from_bytes(net.joint.to_bytes(), allow_minimal=True)
    assert joint == net.joint
    assert hash(joint) == hash(net.joint)
    member = MemberKey.from_secret_bytes(net.members[2].secret_bytes(), allow_minimal=True)
    assert member.secret_bytes() == net.members[2].secret_bytes()
    member.verify_belongs(joint)
    with pytest.raises(MalformedBytes):
        member.verify_belongs(replace(joint, threshold=2))
    with pytest.raises(MalformedBytes):
        member.verify_belongs(replace(joint, epoch=2))


FAULTS = {
    "another header": (WrongCommitment, lambda d: {"header": replace(d.header, content=bytes(32))}),
    "another commitment": (WrongCommitment, lambda d: {"commitment": bytes(32)}),
    "another dealer's header": (CeremonyFault, lambda d: {"header": replace(d.header, dealer=0)}),
    "another ceremony": (CeremonyFault, lambda d: {"header": replace(d.header, terms=bytes(32))}),
    "altered public share": (WrongCommitment, lambda d: {"public_blob": bytes(8) + d.public[8:]}),
    "altered sealed share": (BadShare, lambda d: {"sealed_share_blob": d.shares[0][:-1] + b"\0"}),
    "somebody else's share": (BadShare, lambda d: {"sealed_share_blob": d.shares[3]}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_names_its_dealer(name: str):
    net = cached(MINIMAL, 4, 3)
    error, change = FAULTS[name]
    with pytest.raises(error, match="dealer 1") as caught:
        take(net, 1, 0, **change(net.dealers[1].dealing()))
    assert caught.value.dealer == 1


def forged(net: Network, public: bytes, shares: list[bytes], content: bytes | None = None, count: int = 4) -> dict:
    """What a dealer that lies consistently from the start would publish."""
    honest = net.dealers[1].dealing()
    header = replace(
        honest.header,
        public=hashlib.sha256(public).digest(),
        shares=tuple(hashlib.sha256(s).digest() for s in shares)[:count],
        content=content or honest.header.content,
    )
    return {
        "header": header,
        "public_blob": public,
        "sealed_share_blob": shares[0],
        "commitment": header.commitment,
    }


def test_a_dishonest_dealer_is_named_even_if_its_digests_agree():
    net = cached(MINIMAL, 4, 3)
    honest = net.dealers[1].dealing()
    shares = list(honest.shares)
    with pytest.raises(CeremonyFault, match="not below"):
        take(net, 1, 0, **forged(net, b"\xff" * len(honest.public), shares))
    with pytest.raises(CeremonyFault, match="length"):
        take(net, 1, 0, **forged(net, honest.public[8:], shares))
    with pytest.raises(BadShare, match="does not open"):
        take(net, 1, 0, **forged(net, honest.public, [bytes(200), *shares[1:]]))
    with pytest.raises(BadShare, match="only 10 bytes"):
        take(net, 1, 0, **forged(net, honest.public, [bytes(10), *shares[1:]]))
    with pytest.raises(BadShare, match="content contribution"):
        take(net, 1, 0, **forged(net, honest.public, shares, content=bytes(32)))
    with pytest.raises(CeremonyFault, match="3 shares for 4"):
        take(net, 1, 0, **forged(net, honest.public, shares, count=3))


def test_receiving_with_a_foreign_box_key_is_our_own_mistake():
    net = cached(MINIMAL, 4, 3)
    with pytest.raises(MalformedBytes, match="boxKey"):
        take(net, 1, 0, box_secret=net.boxes[2])


def test_finishing_needs_every_dealer_once():
    net = cached(MINIMAL, 4, 3)
    received = [take(net, dealer, 0) for dealer in range(4)]
    with pytest.raises(IncompleteCeremony, match=r"missing: \[2\]"):
        finish([item for item in received if item.dealer != 2])
    with pytest.raises(IncompleteCeremony):
        finish([*received, received[0]])
    with pytest.raises(IncompleteCeremony):
        finish([])
    with pytest.raises(IncompleteCeremony, match="different"):
        finish([*received[:3], take(net, 3, 1)])
    again, joint = finish(received[::-1])
    assert again.secret_bytes() == net.members[0].secret_bytes()
    assert joint == net.joint


BOX_KEYS = tuple(bytes([9, k]) + bytes(30) for k in range(3))
BAD_TERMS = {
    "consortium": {"consortium": b"short"},
    "epoch": {"epoch": 0},
    "threshold": {"threshold": 4},
    "boxKeys": {"box_keys": (BOX_KEYS[0], BOX_KEYS[0], BOX_KEYS[1])},
    "boxKeys[1]": {"box_keys": (BOX_KEYS[0], b"short", BOX_KEYS[1])},
    "boxKeys[2]": {"box_keys": (BOX_KEYS[0], BOX_KEYS[1], bytes(32))},
    "members": {"box_keys": tuple(bytes([9, k]) + bytes(30) for k in range(65))},
}


@pytest.mark.parametrize("field", BAD_TERMS)
def test_terms_are_checked(field: str):
    good = {"params": MINIMAL, "consortium": CONSORTIUM, "epoch": 1, "threshold": 2, "box_keys": BOX_KEYS}
    Terms(**good)
    with pytest.raises(MalformedBytes) as caught:
        Terms(**(good | BAD_TERMS[field]))
    assert caught.value.field == f"terms.{field}"


@given(st.integers(1, 64).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_self_test_subsets_cover_everybody(shape: tuple[int, int]):
    members, threshold = shape
    subsets = self_test_subsets(members, threshold)
    assert {k for subset in subsets for k in subset} == set(range(members))
    assert all(len(set(subset)) == threshold for subset in subsets)
    assert len(subsets) >= 2 or members == threshold


def self_test(net: Network) -> list[dict[int, bytes]]:
    ciphertext = self_test_ciphertext(net.joint)
    return [net.partials(ciphertext, subset) for subset in self_test_subsets(net.terms.members, net.terms.threshold)]


@pytest.mark.parametrize(("params", "members", "threshold"), [(MINIMAL, 4, 3), (MINIMAL, 3, 3), (STANDARD, 5, 2)])
def test_self_test_passes_after_an_honest_ceremony(params, members: int, threshold: int):
    net = cached(params, members, threshold)
    check_self_test(net.joint, self_test(net))
    assert self_test_ciphertext(net.joint) == self_test_ciphertext(
        JointKey.from_bytes(net.joint.to_bytes(), allow_minimal=True)
    )
    assert int(np.abs(self_test_vector(net.joint)).max()) > 0.9 * params.field_limit


def test_self_test_finds_an_inconsistent_share():
    """A dealer that gave member 3 a wrong share is found, and only by the subset that member 3 is in."""
    net = network(MINIMAL, 4, 3, seed=3)
    wrong = net.members[3].sigma.copy()
    wrong[0, 0] ^= np.uint64(1)
    bent = replace(net, members=(*net.members[:3], replace(net.members[3], sigma=wrong)))
    with pytest.raises(SelfTestFailed, match=r"\[1, 2, 3\]") as caught:
        check_self_test(bent.joint, self_test(bent))
    assert caught.value.openers == (1, 2, 3)


def test_self_test_finds_a_wrong_joint_key_and_missing_or_damaged_openings():
    net = cached(MINIMAL, 4, 3)
    openings = self_test(net)
    with pytest.raises(SelfTestFailed, match="not opened"):
        check_self_test(net.joint, openings[:1])
    with pytest.raises(SelfTestFailed, match="magic"):
        check_self_test(net.joint, [openings[0], {**openings[1], 2: b"nonsense" * 20}])
    other = replace(net.joint, b=np.zeros_like(net.joint.b))
    ciphertext = self_test_ciphertext(other)
    with pytest.raises(SelfTestFailed):
        check_self_test(
            other, [{k: partial(net.members[k], s, ciphertext) for k in s} for s in self_test_subsets(4, 3)]
        )


@settings(deadline=None)
@given(st.binary(min_size=0, max_size=300))
def test_headers_from_noise_are_refused(data: bytes):
    with pytest.raises(MalformedBytes):
        DealingHeader.from_bytes(data)


def test_header_survives_its_bytes_and_stays_small():
    header = cached(MINIMAL, 4, 3).dealers[0].dealing().header
    assert DealingHeader.from_bytes(header.to_bytes()) == header
    assert len(replace(header, shares=(bytes(32),) * 64).to_bytes()) < 1 << 16
    assert isinstance(cached(MINIMAL, 4, 3).dealers[0].dealing(), Dealing)
