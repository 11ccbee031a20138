"""Naming an offender so that every member can check it: complaints about shares, and disclosed dealings.

During the ceremony a receiver whose share is bad opens that one sealed box to everybody (:mod:`crypto.boxproof`); the same
code that made it complain then judges for all. Faults of headers and public shares need no record: all see them.

After a failed self-test nothing was ever sealed under the key, so each dealer may show the seed its whole dealing follows
from. A dealer whose seed gives another dealing than the one it committed to, or that shows none, is the offender; if all
dealings are in order, an opener of the failed subset is. Never disclose a seed while the epoch may still become active.
All of it holds for a refresh as well: the seeds of zero-sharings that were never added to a share in force tell nothing.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from crypto.boxproof import PROOF_BYTES, ephemeral, prove, reveal
from crypto.ceremony import Dealer, read_share, verify_header
from crypto.dealing import DealingHeader, Terms
from crypto.errors import BadProof, BadShare, CeremonyFault, MalformedBytes, UnfoundedComplaint
from crypto.randomness import SEED_BYTES
from crypto.refresh import Refresher
from crypto.secrets import BoxKey
from crypto.wire import decode_record, encode_record, want_bytes, want_int

_COMPLAINT_KEYS: Final = frozenset({"complainer", "dealer", "kind", "proof", "terms", "version"})
_DISCLOSURE_KEYS: Final = frozenset({"dealer", "kind", "seed", "terms", "version"})
_COMPLAINT: Final = "share complaint"
_DISCLOSURE: Final = "disclosure"


@dataclass(frozen=True)
class ShareComplaint:
    """A receiver's complaint about the share that one dealer sealed to it.

    It is authentic if its SHA-256 is what the complainer's account put on chain as evidence.
    """

    terms: bytes
    """Digest of the ceremony's terms."""
    complainer: int
    """Index of the receiver that complains."""
    dealer: int
    """Index of the accused dealer."""
    proof: bytes
    """PROOF_BYTES bytes that open the sealed share; empty where the box's ephemeral key shows the fault by itself."""

    def to_bytes(self) -> bytes:
        """The one canonical byte form (dag-cbor)."""
        return encode_record(
            {
                "complainer": self.complainer,
                "dealer": self.dealer,
                "kind": _COMPLAINT,
                "proof": self.proof,
                "terms": self.terms,
                "version": 1,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "ShareComplaint":
        """The complaint that :meth:`to_bytes` wrote.

        Raises:
            MalformedBytes: not canonical, or a field out of bounds.
        """
        record = decode_record(data, _COMPLAINT_KEYS, "complaint")
        _want_kind(record, _COMPLAINT, "complaint")
        proof = record["proof"]
        if not isinstance(proof, bytes) or len(proof) not in {0, PROOF_BYTES}:
            raise MalformedBytes("complaint.proof", f"expected {PROOF_BYTES} bytes, or none")
        return cls(
            want_bytes(record["terms"], 32, "complaint.terms"),
            want_int(record["complainer"], 0, 255, "complaint.complainer"),
            want_int(record["dealer"], 0, 255, "complaint.dealer"),
            proof,
        )

    @property
    def context(self) -> bytes:
        """What the proof is bound to."""
        return b"share complaint" + self.terms + bytes([self.complainer, self.dealer])


def complain(terms: Terms, dealer: int, receiver: int, sealed_share: bytes, box: BoxKey) -> ShareComplaint:
    """Complain about the sealed share that :func:`crypto.ceremony.receive` refused.

    The box is opened to everybody: do this only once ``receive`` raised, and take no further part in the ceremony.

    Args:
        terms: the agreed terms.
        dealer: the accused.
        receiver: this member.
        sealed_share: the blob with the digest that the dealer's header names.
        box: this member's X25519 key.
    """
    bare = ShareComplaint(terms.digest, receiver, dealer, b"")
    try:
        return ShareComplaint(terms.digest, receiver, dealer, prove(box, sealed_share, bare.context))
    except BadProof:
        return bare


def verify_complaint(
    complaint: ShareComplaint, header: DealingHeader, sealed_share: bytes, *, terms: Terms, commitment: bytes
) -> None:
    """Raise unless the complaint shows that its dealer sealed a bad share.

    Args:
        complaint: what was complained.
        header: the accused dealer's header.
        sealed_share: the blob complained about.
        terms: the agreed terms.
        commitment: what the dealer had committed to.

    Raises:
        UnfoundedComplaint: it does not; the error names the complainer.
        CeremonyFault: the header itself is at fault, so the complaint was not needed; the error names the dealer.
    """
    if complaint.terms != terms.digest:
        raise UnfoundedComplaint(complaint.complainer, "it is about another ceremony")
    if max(complaint.complainer, complaint.dealer) >= terms.members:
        raise UnfoundedComplaint(complaint.complainer, "complainer or accused is no member")
    verify_header(header, terms, commitment, complaint.dealer)
    if hashlib.sha256(sealed_share).digest() != header.shares[complaint.complainer]:
        raise UnfoundedComplaint(complaint.complainer, "this is not the share its dealer published: fetch it again")
    try:
        ephemeral(sealed_share)
    except BadProof:
        return
    receiver = complaint.complainer
    try:
        content = reveal(complaint.proof, terms.box_keys[receiver], sealed_share, complaint.context)
    except BadProof as error:
        raise UnfoundedComplaint(receiver, str(error)) from error
    if content is None:
        return
    try:
        read_share(content, header, terms, receiver)
    except BadShare:
        return
    raise UnfoundedComplaint(receiver, f"the share of dealer {complaint.dealer} is in order")


@dataclass(frozen=True, repr=False)
class Disclosure:
    """The seed of a dealing of an epoch or refresh that will never be active. It opens that dealing to anybody."""

    terms: bytes
    """Digest of the ceremony's terms."""
    dealer: int
    """Index of the dealer."""
    seed: bytes
    """32 bytes from which the whole dealing follows."""

    def to_bytes(self) -> bytes:
        """The one canonical byte form (dag-cbor)."""
        return encode_record(
            {"dealer": self.dealer, "kind": _DISCLOSURE, "seed": self.seed, "terms": self.terms, "version": 1}
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Disclosure":
        """The disclosure that :meth:`to_bytes` wrote.

        Raises:
            MalformedBytes: not canonical, or a field out of bounds.
        """
        record = decode_record(data, _DISCLOSURE_KEYS, "disclosure")
        _want_kind(record, _DISCLOSURE, "disclosure")
        return cls(
            want_bytes(record["terms"], 32, "disclosure.terms"),
            want_int(record["dealer"], 0, 255, "disclosure.dealer"),
            want_bytes(record["seed"], SEED_BYTES, "disclosure.seed"),
        )


def disclose(dealer: Dealer) -> Disclosure:
    """Show the seed of a dealing. Only after a failed self-test, where the epoch or refresh can not become active any more."""
    return Disclosure(dealer.terms.digest, dealer.index, dealer.secret_bytes())


def verify_disclosure(data: bytes, *, terms: Terms, commitment: bytes, dealer: int) -> None:
    """Raise unless the disclosed seed gives exactly the dealing that ``dealer`` had committed to.

    Args:
        data: the disclosure's bytes.
        terms: the agreed terms.
        commitment: what the dealer had committed to.
        dealer: whose disclosure it should be.

    Raises:
        CeremonyFault: it does not: this dealer's dealing was dishonest, or it hides whether it was.
    """
    try:
        found = Disclosure.from_bytes(data)
    except MalformedBytes as error:
        raise CeremonyFault(dealer, f"it disclosed no dealing: {error}") from error
    if (found.terms, found.dealer) != (terms.digest, dealer):
        raise CeremonyFault(dealer, "it disclosed another dealing than its own of this ceremony")
    kind = Refresher if terms.generation else Dealer
    if kind.resume(terms, dealer, found.seed).commitment != commitment:
        raise CeremonyFault(dealer, "its seed does not give the dealing it had committed to")


def _want_kind(record: dict[str, object], kind: str, name: str) -> None:
    want_int(record["version"], 1, 1, f"{name}.version")
    if record["kind"] != kind:
        raise MalformedBytes(f"{name}.kind", f"expected {kind!r}")
