"""Proactive refresh: new shares of the same joint key (Herzberg, Jarecki, Krawczyk and Yung, CRYPTO 1995).

Each member deals a sharing of zero; the shares' sum is added to every member's share. The joint secret and public key
stay, and so does everything sealed; but shares of different generations do not fit together. A thief must therefore
collect T shares within one generation, and what it took before a refresh is worthless after it, if members erase it.

    refresh_terms(joint, generation, box_keys)   each member announced a fresh X25519 key for this refresh alone
    Refresher.resume(terms, index, seed)         deals zero: publish the header and the sealed shares
    receive_zero(...)                            each receiver, for each dealer; faults name the dealer, as in a ceremony
    finish_refresh(member, box, received)        the member's key of the next generation; then the self-test again

The check values of a ceremony's dealing serve here too: their polynomial must vanish at zero (a masking column shares zero as
well), so a dealer that shares anything but zero, which would change the joint secret, is seen by everybody.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crypto.ceremony import Dealer, pair_key, read_share, smudging_key, unseal, verify_header
from crypto.dealing import DealingHeader, Terms
from crypto.errors import BadShare, IncompleteCeremony, MalformedBytes
from crypto.keys import JointKey, MemberKey
from crypto.modular import Words
from crypto.ring import add
from crypto.secrets import BoxKey, Secret
from crypto.shamir import CHECKS
from crypto.wire import want_int


def refresh_terms(joint: JointKey, generation: int, box_keys: Sequence[bytes]) -> Terms:
    """What all members agree on before a refresh.

    Args:
        joint: the joint key whose shares are refreshed.
        generation: the generation that is made, ≥ 1.
        box_keys: N X25519 public keys, made for this refresh and destroyed after it: otherwise whoever stole one earlier
            reads the zero shares and follows the refresh.

    Raises:
        MalformedBytes: a key or number is out of bounds, or T = 1: a refresh then changes nothing.
    """
    want_int(joint.threshold, 2, joint.members, "refresh.threshold")
    want_int(len(box_keys), joint.members, joint.members, "refresh.boxKeys.length")
    want_int(generation, 1, 1 << 16, "refresh.generation")
    return Terms(
        joint.params, joint.consortium, joint.epoch, joint.threshold, tuple(box_keys), generation, joint.digest
    )


@dataclass(frozen=True, repr=False, eq=False)
class Refresher(Dealer):
    """One member while it deals zero. Its public blob is empty; destroy the seed when the refresh is over."""

    def _contents(self) -> tuple[bytes, Words]:
        params = self.terms.params
        return b"", np.zeros((len(params.chunk_primes), params.ring + CHECKS), np.uint64)


@dataclass(frozen=True, repr=False, eq=False)
class ZeroShare(Secret):
    """What one receiver holds after checking one dealing of a refresh."""

    terms: Terms
    """The refresh's terms."""
    dealer: int
    """Who dealt it."""
    receiver: int
    """Who received it."""
    share: Words
    """The receiver's share of zero, uint64 [L, n]."""


def receive_zero(
    header: DealingHeader,
    sealed_share: bytes,
    box: BoxKey,
    *,
    terms: Terms,
    commitment: bytes,
    dealer: int,
    receiver: int,
) -> ZeroShare:
    """Check one dealing of a refresh and open this receiver's share; arguments as in :func:`crypto.ceremony.receive`.

    Raises:
        BadShare, CeremonyFault: the dealer is at fault; :mod:`crypto.complaint` shows it to everybody.
        MalformedBytes: ``box`` is not the key announced for ``receiver``, or these are not the terms of a refresh.
    """
    want_int(receiver, 0, terms.members - 1, "receiver")
    want_int(terms.generation, 1, 1 << 16, "terms.generation")
    if box.public != terms.box_keys[receiver]:
        raise MalformedBytes("boxKey", f"this is not the key announced for member {receiver}")
    verify_header(header, terms, commitment, dealer)
    if hashlib.sha256(sealed_share).digest() != header.shares[receiver]:
        raise BadShare(
            dealer, f"the share for member {receiver} does not have the digest its header names: fetch it again"
        )
    value, _ = read_share(unseal(sealed_share, box, dealer, receiver), header, terms, receiver)
    return ZeroShare(terms, dealer, receiver, value)


def finish_refresh(member: MemberKey, box: BoxKey, received: Sequence[ZeroShare]) -> MemberKey:
    """This member's key of the next generation.

    Args:
        member: its key of the generation before; erase it once the self-test of the new one has passed.
        box: the key it announced for this refresh; erase it too.
        received: shares of at least T dealers. All members must use the same dealers: agree on them first.

    Raises:
        IncompleteCeremony: too few or twice the same dealer, or shares of another refresh, receiver or generation.
    """
    if not received:
        raise IncompleteCeremony("no dealing of a refresh was received")
    terms = received[0].terms
    if any(item.terms != terms or item.receiver != member.index for item in received):
        raise IncompleteCeremony("the received shares are of different refreshes or receivers")
    mine = (member.params.id, member.consortium, member.epoch, member.members, member.threshold, member.generation + 1)
    if mine != (terms.params.id, terms.consortium, terms.epoch, terms.members, terms.threshold, terms.generation):
        raise IncompleteCeremony(f"this refresh does not follow generation {member.generation} of epoch {member.epoch}")
    dealers = {item.dealer for item in received}
    if len(dealers) != len(received) or len(dealers) < member.threshold:
        raise IncompleteCeremony(f"dealings of {member.threshold} different members at least are needed")
    sigma = member.sigma
    for item in received:
        sigma = add(sigma, item.share, member.params.chunk_primes)
    own = pair_key(terms, box, member.index, member.index)
    pairs = tuple(
        bytes(32) if other == member.index else pair_key(terms, box, other, member.index)
        for other in range(member.members)
    )
    return MemberKey(
        member.params,
        member.consortium,
        member.epoch,
        member.index,
        member.members,
        member.threshold,
        sigma,
        member.content,
        smudging_key(sigma, own),
        pairs,
        terms.generation,
    )
