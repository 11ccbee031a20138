"""The key ceremony of an epoch, without I/O: who sends what is a table in README.md (CRY-1, CRY-2, CRY-5).

    dealer, commitment = Dealer.start(...)          publish the commitment
    dealer.dealing()                                after all commitments: publish header, b_i, sealed shares
    receive(header, public, sealed, box, ...)       each receiver, for each dealer
    finish(received)                                MemberKey (secret) and JointKey (public)

A dealing is a function of the dealer's 32-byte seed and the agreed terms, so a dealer that crashed resumes with the
same bytes. No object of any member ever holds Σ s_i: a dealer knows its own s_i, a receiver one share of each.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import nacl.exceptions
import numpy as np
from nacl.bindings import crypto_box, crypto_box_beforenm, crypto_box_seal_open, crypto_box_seed_keypair

from crypto.dealing import Dealing, DealingHeader, Terms, labelled_digest
from crypto.errors import BadShare, CeremonyFault, IncompleteCeremony, MalformedBytes, WrongCommitment
from crypto.keys import JointKey, MemberKey
from crypto.modular import Words
from crypto.parameters import ParameterSet
from crypto.randomness import SEED_BYTES, Stream, common_polynomial, derive, fresh_seed
from crypto.ring import add, multiply, negate, residues, small_spectrum, spectrum
from crypto.secrets import BoxKey, ContentKey, Secret
from crypto.shamir import CHECKS, check_values, masked, share, value_at
from crypto.wire import read_polynomials, want_bytes, want_int, write_polynomials

__all__ = ["Dealer", "Dealing", "DealingHeader", "ReceivedShare", "Terms", "finish", "receive"]

_SEAL_OVERHEAD: Final = 48


@dataclass(frozen=True, repr=False, eq=False)
class Dealer(Secret):
    """One member while it deals. Keep ``secret_bytes()`` protected until the epoch is active, then destroy it."""

    terms: Terms
    """The agreed terms."""
    index: int
    """This member's index."""
    seed: bytes
    """32 bytes from which the whole dealing follows."""

    @classmethod
    def start(
        cls,
        params: ParameterSet,
        consortium: bytes,
        epoch: int,
        index: int,
        members: int,
        threshold: int,
        box_public_keys: Sequence[bytes],
    ) -> tuple["Dealer", bytes]:
        """Draw this member's secrets and commit to its dealing.

        Args:
            params: parameter set of the epoch.
            consortium: 32-byte consortium id.
            epoch: key epoch number, ≥ 1.
            index: this member, 0 … N-1.
            members: N.
            threshold: T.
            box_public_keys: N X25519 public keys.

        Returns:
            The dealer (secret) and its 32-byte commitment (public).

        Raises:
            MalformedBytes: the terms are out of bounds.
        """
        want_int(len(box_public_keys), members, members, "terms.boxKeys.length")
        dealer = cls.resume(Terms(params, consortium, epoch, threshold, tuple(box_public_keys)), index, fresh_seed())
        return dealer, dealer.commitment

    @classmethod
    def resume(cls, terms: Terms, index: int, secret: bytes) -> "Dealer":
        """The dealer whose ``secret_bytes()`` were kept."""
        want_int(index, 0, terms.members - 1, "dealer.index")
        return cls(terms, index, want_bytes(secret, SEED_BYTES, "dealer.seed"))

    def secret_bytes(self) -> bytes:
        """32 bytes, for :func:`crypto.secrets.protect` only."""
        return self.seed

    @property
    def commitment(self) -> bytes:
        """The 32-byte commitment to :meth:`dealing`."""
        return self._dealing.header.commitment

    def dealing(self) -> Dealing:
        """The dealing; publish it only after all N members have committed. Always the same bytes."""
        return self._dealing

    def _stream(self, purpose: str) -> Stream:
        return Stream(derive(self.seed, purpose, self.terms.digest, bytes([self.index])))

    @cached_property
    def _dealing(self) -> Dealing:
        terms, params = self.terms, self.terms.params
        public, constant = self._contents()
        contribution = derive(self.seed, "content contribution", terms.digest)
        shares = share(constant, terms.threshold, terms.members, params.chunk_primes, self._stream("shamir"))
        sealed = tuple(self._sealed(k, write_polynomials(row) + contribution) for k, row in enumerate(shares))
        header = DealingHeader(
            terms.digest,
            self.index,
            hashlib.sha256(public).digest(),
            labelled_digest("content contribution", contribution),
            tuple(hashlib.sha256(blob).digest() for blob in sealed),
            b"",
        )
        rows = shares[: terms.threshold]
        values = np.stack([check_values(row, params.chunk_primes, header.challenge) for row in rows])
        return Dealing(replace(header, check=write_polynomials(values)), public, sealed)

    def _contents(self) -> tuple[bytes, Words]:
        """The public blob, and what is shared: s_i with its masking columns, uint64 [L, n + CHECKS]."""
        params = self.terms.params
        secret = self._stream("secret").ternary(params.ring)
        constant = masked(residues(secret, params.chunk_primes), params.chunk_primes, self._stream("masks"))
        return write_polynomials(self._public_share(secret)), constant

    def _public_share(self, secret: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Words:
        """b_i = -(a·s_i + e_i)."""
        params = self.terms.params
        a = common_polynomial(self.terms.consortium, self.terms.epoch, params)
        product = multiply(spectrum(a, params.primes), small_spectrum(secret), params.primes)
        errors = residues(self._stream("error").errors(params.ring), params.primes)
        return negate(add(product, errors, params.primes), params.primes)

    def _sealed(self, receiver: int, plaintext: bytes) -> bytes:
        """A libsodium sealed box whose ephemeral key comes from the seed, so that resuming repeats it."""
        public, private = crypto_box_seed_keypair(derive(self.seed, "sealed box", self.terms.digest, bytes([receiver])))
        target = self.terms.box_keys[receiver]
        nonce = hashlib.blake2b(public + target, digest_size=24).digest()
        return public + crypto_box(plaintext, nonce, target, private)


@dataclass(frozen=True, repr=False, eq=False)
class ReceivedShare(Secret):
    """What one receiver holds after checking one dealing."""

    terms: Terms
    """The agreed terms."""
    dealer: int
    """Who dealt it."""
    receiver: int
    """Who received it."""
    header: DealingHeader
    """The dealing's header."""
    b: Words
    """b_i, uint64 [all primes, n]."""
    share: Words
    """The receiver's Shamir share of s_i, uint64 [L, n]."""
    contribution: bytes
    """The dealer's 32 bytes for the content key."""
    pair: bytes
    """32-byte key that only dealer and receiver know."""


def receive(
    header: DealingHeader,
    public_blob: bytes,
    sealed_share_blob: bytes,
    box_secret: BoxKey,
    *,
    terms: Terms,
    commitment: bytes,
    dealer: int,
    receiver: int,
) -> ReceivedShare:
    """Check one dealing and open this receiver's share.

    Args:
        header: the dealer's header.
        public_blob: its b_i.
        sealed_share_blob: the share sealed to this receiver.
        box_secret: this receiver's X25519 key.
        terms: the agreed terms.
        commitment: what this dealer had published in the first phase.
        dealer: whose dealing it should be.
        receiver: this member's index.

    Raises:
        WrongCommitment: header or public blob are not what the dealer committed to.
        BadShare: the sealed share is not what the dealer committed to, does not open, or contradicts the header.
        CeremonyFault: another fault of this dealer. All three name it.
        MalformedBytes: ``box_secret`` is not the key registered for ``receiver``.
    """
    want_int(receiver, 0, terms.members - 1, "receiver")
    if box_secret.public != terms.box_keys[receiver]:
        raise MalformedBytes("boxKey", f"this is not the key registered for member {receiver}")
    verify_header(header, terms, commitment, dealer)
    if hashlib.sha256(sealed_share_blob).digest() != header.shares[receiver]:
        raise BadShare(
            dealer, f"the share for member {receiver} does not have the digest its header names: fetch it again"
        )
    b = read_public(header, public_blob, terms, dealer)
    value, contribution = read_share(unseal(sealed_share_blob, box_secret, dealer, receiver), header, terms, receiver)
    pair = pair_key(terms, box_secret, dealer, receiver)
    return ReceivedShare(terms, dealer, receiver, header, b, value, contribution, pair)


def read_public(header: DealingHeader, public_blob: bytes, terms: Terms, dealer: int) -> Words:
    """b_i from its blob, uint64 [all primes, n].

    Raises:
        WrongCommitment: not the blob the header names.
        CeremonyFault: it is, but it holds no polynomial.
    """
    if hashlib.sha256(public_blob).digest() != header.public:
        raise WrongCommitment(dealer, "the public share does not have the digest its header names: fetch it again")
    params = terms.params
    try:
        b: Words = read_polynomials(memoryview(public_blob), 1, params.primes, params.ring, "publicShare")[0]
    except MalformedBytes as error:
        raise CeremonyFault(dealer, str(error)) from error
    return b


def read_share(plaintext: bytes, header: DealingHeader, terms: Terms, receiver: int) -> tuple[Words, bytes]:
    """The share and the content contribution in an opened box; the same verdict for whoever looks.

    Args:
        plaintext: what the box for ``receiver`` held.
        header: the dealing's header, already checked.
        terms: the agreed terms.
        receiver: for whom the box was.

    Returns:
        uint64 [L, n], and 32 bytes.

    Raises:
        BadShare: malformed, another contribution than the header commits to, or off the dealer's polynomial.
    """
    params, dealer = terms.params, header.dealer
    primes, cut = params.chunk_primes, max(len(plaintext) - SEED_BYTES, 0)
    try:
        row = read_polynomials(memoryview(plaintext)[:cut], 1, primes, params.ring + CHECKS, "share")[0]
        values = _check_rows(header, terms)
    except MalformedBytes as error:
        raise BadShare(dealer, str(error)) from error
    contribution = plaintext[cut:]
    if labelled_digest("content contribution", contribution) != header.content:
        raise BadShare(dealer, f"the content contribution for member {receiver} is not the one its header commits to")
    if not np.array_equal(check_values(row, primes, header.challenge), value_at(values, receiver, primes)):
        raise BadShare(dealer, f"the share for member {receiver} does not lie on the polynomial its header commits to")
    return np.ascontiguousarray(row[:, : params.ring]), contribution


def _check_rows(header: DealingHeader, terms: Terms) -> Words:
    """The published values of members 0 … T-1, uint64 [T, L, CHECKS]."""
    primes = terms.params.chunk_primes
    return read_polynomials(memoryview(header.check), terms.threshold, primes, CHECKS, "dealing.check")


def verify_header(header: DealingHeader, terms: Terms, commitment: bytes, dealer: int) -> None:
    """Raise unless a header is ``dealer``'s own, for these terms, and what it had committed to.

    Raises:
        WrongCommitment: it opens another commitment.
        CeremonyFault: another fault. Both name the dealer.
    """
    if header.dealer != dealer:
        raise CeremonyFault(dealer, f"its header says it is from member {header.dealer}")
    if header.terms != terms.digest:
        raise CeremonyFault(dealer, "its header is for other terms: epoch, members, threshold or parameter set differ")
    if header.commitment != commitment:
        raise WrongCommitment(
            dealer, f"its header opens {header.commitment.hex()}, it had committed to {commitment.hex()}"
        )
    if len(header.shares) != terms.members:
        raise CeremonyFault(dealer, f"{len(header.shares)} shares for {terms.members} members")
    try:
        values = _check_rows(header, terms)
    except MalformedBytes as error:
        raise CeremonyFault(dealer, str(error)) from error
    if terms.generation and value_at(values, -1, terms.params.chunk_primes).any():
        raise CeremonyFault(dealer, "a refresh shares zero, and this dealer shares something else")


def unseal(blob: bytes, box_secret: BoxKey, dealer: int, receiver: int) -> bytes:
    """What a dealer's sealed box for this receiver holds.

    Raises:
        BadShare: it does not open; the error names the dealer.
    """
    if len(blob) < _SEAL_OVERHEAD + SEED_BYTES:
        raise BadShare(dealer, f"the share for member {receiver} is only {len(blob)} bytes long")
    try:
        return crypto_box_seal_open(blob, box_secret.public, box_secret.private)
    except (nacl.exceptions.CryptoError, nacl.exceptions.RuntimeError) as error:
        raise BadShare(dealer, f"the share for member {receiver} does not open with its box key") from error


def pair_key(terms: Terms, box_secret: BoxKey, dealer: int, receiver: int) -> bytes:
    """The same 32 bytes on both sides: X25519 of the two box keys, bound to the terms and the pair."""
    low, high = sorted((dealer, receiver))
    shared = crypto_box_beforenm(terms.box_keys[dealer], box_secret.private)
    return derive(shared, "opening pair", terms.digest, bytes([low, high]))


def finish(received: Sequence[ReceivedShare]) -> tuple[MemberKey, JointKey]:
    """Add up the shares of all dealers.

    Args:
        received: one :class:`ReceivedShare` of every dealer, this member's own dealing included, in any order.

    Returns:
        This member's secret key and the joint public key. The latter is the same for every member.

    Raises:
        IncompleteCeremony: a dealer is missing or twice there, or the shares are of different ceremonies.
    """
    if not received:
        raise IncompleteCeremony("no dealing was received")
    ordered = sorted(received, key=lambda item: item.dealer)
    terms, receiver = ordered[0].terms, ordered[0].receiver
    if any(item.terms != terms or item.receiver != receiver for item in ordered):
        raise IncompleteCeremony("the received shares are of different ceremonies or receivers")
    if [item.dealer for item in ordered] != list(range(terms.members)):
        missing = sorted(set(range(terms.members)) - {item.dealer for item in ordered})
        raise IncompleteCeremony(f"one dealing of each of {terms.members} members is needed; missing: {missing}")
    params = terms.params
    b = _total([item.b for item in ordered], params.primes)
    sigma = _total([item.share for item in ordered], params.chunk_primes)
    transcript = transcript_of([item.header for item in ordered])
    content = labelled_digest("content key", terms.digest, *(item.contribution for item in ordered))
    smudge = smudging_key(sigma, ordered[receiver].pair)
    pairs = tuple(bytes(32) if item.dealer == receiver else item.pair for item in ordered)
    member = MemberKey(
        params,
        terms.consortium,
        terms.epoch,
        receiver,
        terms.members,
        terms.threshold,
        sigma,
        ContentKey(content),
        smudge,
        pairs,
    )
    joint = JointKey(params, terms.consortium, terms.epoch, terms.members, terms.threshold, transcript, b)
    return member, joint


def transcript_of(headers: Sequence[DealingHeader]) -> bytes:
    """SHA-256 over the headers of all dealings, in the dealers' order: which ceremony made a key."""
    return labelled_digest("transcript", *(header.to_bytes() for header in headers))


def smudging_key(sigma: Words, own_pair: bytes) -> bytes:
    """The key of a member's smudging noise: keyed BLAKE2b of its share."""
    return hashlib.blake2b(write_polynomials(sigma), digest_size=32, key=own_pair).digest()


def _total(rows: list[Words], primes: tuple[int, ...]) -> Words:
    total = rows[0]
    for row in rows[1:]:
        total = add(total, row, primes)
    return total
