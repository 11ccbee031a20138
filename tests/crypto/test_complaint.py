"""A bad share names its dealer to everybody, a slander its author; a disclosed dealing clears its dealer or convicts it."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.bindings import crypto_box_beforenm, crypto_box_seal, crypto_scalarmult

from crypto import boxproof
from crypto.boxproof import PROOF_BYTES, ephemeral, prove, reveal
from crypto.ceremony import Dealer, receive
from crypto.complaint import Disclosure, ShareComplaint, complain, disclose, verify_complaint, verify_disclosure
from crypto.errors import BadProof, BadShare, CeremonyFault, CryptoError, MalformedBytes, UnfoundedComplaint
from crypto.modular import modulus
from crypto.parameters import MINIMAL
from crypto.randomness import Stream
from crypto.secrets import BoxKey
from crypto.shamir import CHECKS, check_values, masked, share, value_at
from crypto.wire import write_polynomials
from tests.crypto.support import cached

PRIMES = MINIMAL.chunk_primes


class Forger(Dealer):
    """Deals like an honest member, but lets `bend` change the plain shares or the sealed blobs before it commits."""

    bend = staticmethod(lambda plain, receiver: plain)
    twist = staticmethod(lambda blob, receiver: blob)

    def _sealed(self, receiver, plaintext):
        return self.twist(super()._sealed(receiver, self.bend(plaintext, receiver)), receiver)


def forger(bend=None, twist=None):
    """Member 1's dishonest dealing of the cached ceremony of four."""
    net = cached(MINIMAL, 4, 3)
    kind = type("Bent", (Forger,), {k: staticmethod(f) for k, f in (("bend", bend), ("twist", twist)) if f})
    return kind.resume(net.terms, 1, b"f" * 32)


def off_by_one(plain, receiver):
    """Receiver 3's share with one coefficient changed."""
    return plain if receiver != 3 else (int.from_bytes(plain[:8], "little") ^ 1).to_bytes(8, "little") + plain[8:]


BAD_DEALINGS = {
    "share off the polynomial": {"bend": off_by_one},
    "mask off the polynomial": {"bend": lambda p, k: p if k != 3 else p[:-40] + bytes(8) + p[-32:]},
    "another content contribution": {"bend": lambda p, k: p if k != 3 else p[:-32] + bytes(32)},
    "coefficients not reduced": {"bend": lambda p, k: p if k != 3 else b"\xff" * 8 + p[8:]},
    "too short": {"bend": lambda p, k: p if k != 3 else p[8:]},
    "nothing in the box": {"bend": lambda p, k: p if k != 3 else b""},
    "sealed to another": {"twist": lambda b, k: b if k != 3 else crypto_box_seal(b"x" * len(b), b"\x09" + bytes(31))},
    "text altered": {"twist": lambda b, k: b if k != 3 else b[:-1] + bytes([b[-1] ^ 1])},
    "no box": {"twist": lambda b, k: b if k != 3 else b"too short"},
    "ephemeral key of low order": {"twist": lambda b, k: b if k != 3 else bytes(32) + b[32:]},
    "ephemeral key off the curve": {"twist": lambda b, k: b if k != 3 else b"\x02" + bytes(31) + b[32:]},
}


def receive_share(dealer, receiver):
    net, dealing = cached(MINIMAL, 4, 3), dealer.dealing()
    return receive(
        dealing.header,
        dealing.public,
        dealing.shares[receiver],
        net.boxes[receiver],
        terms=net.terms,
        commitment=dealer.commitment,
        dealer=1,
        receiver=receiver,
    )


def judge(complaint, dealer, receiver=3):
    dealing = dealer.dealing()
    verify_complaint(
        complaint,
        dealing.header,
        dealing.shares[receiver],
        terms=dealer.terms,
        commitment=dealer.commitment,
    )


@pytest.mark.parametrize("name", BAD_DEALINGS)
def test_a_bad_share_convicts_its_dealer_before_everybody(name):
    """Only its receiver sees the fault; its complaint shows it to all, and gives away nothing but this box."""
    net, dealer = cached(MINIMAL, 4, 3), forger(**BAD_DEALINGS[name])
    for honest in (0, 1, 2):
        receive_share(dealer, honest)
    with pytest.raises(BadShare, match="dealer 1"):
        receive_share(dealer, 3)
    complaint = complain(net.terms, 1, 3, dealer.dealing().shares[3], net.boxes[3])
    again = ShareComplaint.from_bytes(complaint.to_bytes())
    assert again == complaint == complain(net.terms, 1, 3, dealer.dealing().shares[3], net.boxes[3])
    judge(again, dealer)
    assert net.boxes[3].private not in complaint.to_bytes()


def test_a_good_share_cannot_be_complained_about():
    net, honest = cached(MINIMAL, 4, 3), cached(MINIMAL, 4, 3).dealers[1]
    true = complain(net.terms, 1, 3, honest.dealing().shares[3], net.boxes[3])
    with pytest.raises(UnfoundedComplaint, match="in order") as caught:
        judge(true, honest)
    assert caught.value.complainer == 3
    other = complain(net.terms, 1, 3, honest.dealing().shares[3], BoxKey(b"o" * 32))
    proofs = (b"", other.proof, true.proof[:32] + bytes(64), bytes(PROOF_BYTES), b"\xff" * PROOF_BYTES)
    for proof in proofs:
        with pytest.raises(UnfoundedComplaint):
            judge(replace(true, proof=proof), honest)


@pytest.mark.parametrize(
    "change",
    [{"terms": bytes(32)}, {"complainer": 2}, {"complainer": 77}, {"dealer": 200}],
    ids=["another ceremony", "another receiver", "no member", "no dealer"],
)
def test_a_complaint_is_bound_to_its_ceremony_and_parties(change):
    net, dealer = cached(MINIMAL, 4, 3), forger(bend=off_by_one)
    complaint = complain(net.terms, 1, 3, dealer.dealing().shares[3], net.boxes[3])
    with pytest.raises(UnfoundedComplaint):
        judge(replace(complaint, **change), dealer)


def test_another_blob_than_the_published_share_is_no_evidence():
    net, dealer = cached(MINIMAL, 4, 3), cached(MINIMAL, 4, 3).dealers[1]
    blob = crypto_box_seal(b"forged by the receiver", net.boxes[3].public)
    complaint = complain(net.terms, 1, 3, blob, net.boxes[3])
    with pytest.raises(UnfoundedComplaint, match="not the share"):
        verify_complaint(complaint, dealer.dealing().header, blob, terms=net.terms, commitment=dealer.commitment)


def test_a_faulty_header_names_its_dealer_instead():
    net, dealer = cached(MINIMAL, 4, 3), forger(bend=off_by_one)
    complaint = complain(net.terms, 1, 3, dealer.dealing().shares[3], net.boxes[3])
    with pytest.raises(CeremonyFault) as caught:
        verify_complaint(
            complaint, dealer.dealing().header, dealer.dealing().shares[3], terms=net.terms, commitment=bytes(32)
        )
    assert caught.value.dealer == 1


@given(st.binary(max_size=200))
def test_noise_is_no_complaint_and_no_disclosure(data):
    for parse in (ShareComplaint.from_bytes, Disclosure.from_bytes):
        with pytest.raises(MalformedBytes):
            parse(data)


@cache
def sample() -> tuple[bytes, bytes]:
    net, dealer = cached(MINIMAL, 4, 3), forger(bend=off_by_one)
    complaint = complain(net.terms, 1, 3, dealer.dealing().shares[3], net.boxes[3])
    return complaint.to_bytes(), disclose(net.dealers[1]).to_bytes()


@pytest.mark.parametrize("which", [0, 1])
def test_two_thousand_mutations_convict_nobody(which):
    """A changed complaint is refused or names its own fault; nothing else happens."""
    net, dealer, rng = cached(MINIMAL, 4, 3), forger(bend=off_by_one), random.Random(which)
    good, refused = sample()[which], 0
    for _ in range(2000):
        data = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        if bytes(data) == good:
            continue
        try:
            if which:
                Disclosure.from_bytes(bytes(data))
            else:
                judge(ShareComplaint.from_bytes(bytes(data)), dealer)
        except CryptoError:
            refused += 1
            continue
        assert which, "a changed complaint was upheld"
        with pytest.raises(CeremonyFault):
            verify_disclosure(bytes(data), terms=net.terms, commitment=net.dealers[1].commitment, dealer=1)
    assert refused > 1000


# ---- disclosures -----------------------------------------------------------------------------------------------------


def test_an_honest_dealer_is_cleared_by_its_seed():
    net = cached(MINIMAL, 4, 3)
    disclosure = disclose(net.dealers[1])
    assert Disclosure.from_bytes(disclosure.to_bytes()) == disclosure
    assert disclosure.seed.hex() not in repr(disclosure)
    verify_disclosure(disclosure.to_bytes(), terms=net.terms, commitment=net.dealers[1].commitment, dealer=1)


class WrongPublicShare(Dealer):
    """Publishes a b_i that is not -(a·s_i + e_i) of the secret it shares; every share is in order."""

    def _public_share(self, secret):
        return super()._public_share(np.roll(secret, 1))


def test_a_dealer_whose_public_share_is_no_match_is_convicted_by_its_silence_or_its_seed():
    net = cached(MINIMAL, 4, 3)
    liar = WrongPublicShare.resume(net.terms, 1, b"w" * 32)
    for k in range(4):
        receive_share(liar, k)
    shown = {
        "its seed": disclose(liar).to_bytes(),
        "another seed": Disclosure(net.terms.digest, 1, bytes(32)).to_bytes(),
        "another dealer": disclose(net.dealers[0]).to_bytes(),
        "nothing": b"",
    }
    for data in shown.values():
        with pytest.raises(CeremonyFault, match="dealer 1"):
            verify_disclosure(data, terms=net.terms, commitment=liar.commitment, dealer=1)


# ---- shares on one polynomial -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("members", "threshold"), [(1, 1), (2, 1), (5, 3), (64, 43), (64, 64)])
def test_honest_shares_lie_on_the_published_polynomial(members, threshold):
    secret = masked(np.zeros((2, 16), np.uint64), PRIMES, Stream(b"m" * 32))
    rows = share(secret, threshold, members, PRIMES, Stream(b"s" * 32))
    values = np.stack([check_values(row, PRIMES, b"c" * 32) for row in rows[:threshold]])
    for k, row in enumerate(rows):
        assert np.array_equal(check_values(row, PRIMES, b"c" * 32), value_at(values, k, PRIMES))


def test_one_changed_coefficient_of_any_share_is_seen_by_somebody():
    """Shares of degree T instead of T-1, too: whatever the dealer publishes, at most T of the N values can fit."""
    secret = masked(np.zeros((2, 16), np.uint64), PRIMES, Stream(b"m" * 32))
    for rows in (share(secret, 3, 5, PRIMES, Stream(b"s" * 32)), share(secret, 4, 5, PRIMES, Stream(b"s" * 32))):
        bent = rows.copy()
        bent[4, 1, 7] = modulus(PRIMES[1]).add(bent[4, 1, 7:8], np.array([1], np.uint64))[0]
        values = np.stack([check_values(row, PRIMES, b"c" * 32) for row in bent[:3]])
        assert not np.array_equal(check_values(bent[4], PRIMES, b"c" * 32), value_at(values, 4, PRIMES))


def test_the_published_values_are_masked():
    """With other masks the same secret publishes other values; their difference to a guess of the secret says nothing."""
    secret = np.zeros((2, 16), np.uint64)
    seen = set()
    for k in range(50):
        rows = share(masked(secret, PRIMES, Stream(bytes([k]) * 32)), 1, 1, PRIMES, Stream(b"s" * 32))
        seen.add(check_values(rows[0], PRIMES, b"c" * 32).tobytes())
    assert len(seen) == 50
    assert rows.shape == (1, 2, 16 + CHECKS)


# ---- proofs of what a box held ----------------------------------------------------------------------------------------


def test_a_revealed_box_is_what_libsodium_opens():
    for k in range(30):
        box = BoxKey.generate()
        blob = crypto_box_seal(bytes([k]) * k, box.public)
        proof = prove(box, blob, b"context")
        shared = boxproof._u(proof[:32])
        assert shared == crypto_scalarmult(box.private, blob[:32])
        assert boxproof._hsalsa20(shared) == crypto_box_beforenm(blob[:32], box.private)
        assert reveal(proof, box.public, blob, b"context") == bytes([k]) * k


def test_a_proof_is_bound_to_context_box_and_receiver():
    box, other = BoxKey.generate(), BoxKey.generate()
    blob = crypto_box_seal(b"text", box.public)
    proof = prove(box, blob, b"context")
    for arguments in (
        (proof, box.public, blob, b"another"),
        (proof, other.public, blob, b"context"),
        (proof, box.public, crypto_box_seal(b"text", box.public), b"context"),
        (prove(other, blob, b"context"), box.public, blob, b"context"),
        (proof[:-1], box.public, blob, b"context"),
        (proof, b"short", blob, b"context"),
    ):
        with pytest.raises(BadProof):
            reveal(*arguments)


@pytest.mark.parametrize("u", [0, 1, 2**255 - 19 - 1, 2**255 - 19, 2**255 - 18, 2])
def test_useless_ephemeral_keys_are_named(u):
    with pytest.raises(BadProof):
        ephemeral(u.to_bytes(32, "little") + bytes(40))


def test_write_polynomials_and_masks_agree_in_length():
    plain = []
    forger(bend=lambda p, k: plain.append(p) or p).dealing()
    rows = np.zeros((2, MINIMAL.ring + CHECKS), np.uint64)
    assert {len(p) for p in plain} == {len(write_polynomials(rows)) + 32}
