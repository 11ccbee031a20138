"""The key ceremony as far as it is public: the joint key is the sum of the shares that all members committed to (CRY-1)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from crypto.ceremony import DealingHeader, Terms
from crypto.errors import CryptoError, IncompleteCeremony
from crypto.ring import add
from crypto.wire import read_polynomials
from node.storage import raw_cid

if TYPE_CHECKING:
    from crypto.keys import JointKey
    from crypto.modular import Words
    from node.audit.dossier import Dossier
    from node.audit.notes import Link
    from node.consortium.records import EpochView


def check(dossier: Dossier, joint: JointKey, epoch: EpochView, link: Link) -> bool:
    """Add up every member's public share of the joint key again.

    Returns:
        Whether all public shares were at hand. They are needed for nothing else, so their absence is no finding: that
        the joint key is their sum then rests on the members who confirmed it.
    """
    try:
        terms = _terms(joint, epoch)
    except CryptoError as error:
        link.falsified(f"epoch {epoch.epoch}", f"no ceremony is possible with the announced keys: {error}")
        return True
    headers: list[bytes] = []
    total: Words | None = None
    for index in range(len(epoch.members)):
        dealing = _dealing(dossier, terms, epoch, index, link)
        if dealing is None:
            return False
        headers.append(dealing[0])
        total = dealing[1] if total is None else add(total, dealing[1], joint.params.primes)
    name = f"joint key of epoch {epoch.epoch}"
    if total is None or (total != joint.b).any():
        link.falsified(name, "it is not the sum of the members' public shares")
    link.equal(name, "its transcript", joint.transcript, _transcript(headers))
    return True


def _terms(joint: JointKey, epoch: EpochView) -> Terms:
    missing = [index for index, address in enumerate(epoch.members) if address not in epoch.announcements]
    if missing:
        raise IncompleteCeremony(f"members {missing} have announced no key")
    keys = tuple(epoch.announcements[address] for address in epoch.members)
    return Terms(joint.params, joint.consortium, epoch.epoch, epoch.threshold, keys)


def _dealing(dossier: Dossier, terms: Terms, epoch: EpochView, index: int, link: Link) -> tuple[bytes, Words] | None:
    """One member's header and public share, checked; None where they are not at hand or not what was committed to."""
    address = epoch.members[index]
    name = f"dealing of member {index}"
    if address not in epoch.dealings or address not in epoch.commitments:
        link.falsified(name, f"the chain has none in epoch {epoch.epoch}, which it activated")
        return None
    raw = dossier.reader.peek(raw_cid(epoch.dealings[address]), name, link)
    if raw is None:
        return None
    try:
        header = DealingHeader.from_bytes(raw)
    except CryptoError as error:
        link.falsified(name, str(error))
        return None
    link.equal(name, "its dealer", header.dealer, index)
    link.equal(name, "its terms", header.terms, terms.digest)
    link.equal(name, "what it committed to", epoch.commitments[address], header.commitment)
    data = dossier.reader.peek(raw_cid(header.public), f"public share of member {index}", link)
    if data is None:
        return None
    try:
        params = terms.params
        return raw, read_polynomials(memoryview(data), 1, params.primes, params.ring, "publicShare")[0]
    except CryptoError as error:
        link.falsified(name, str(error))
        return None


def _transcript(headers: list[bytes]) -> bytes:
    """sha2-256 of a label and all headers in index order, each after its length (8 bytes, big-endian)."""
    state = hashlib.sha256(b"medweave/transcript/1")
    for header in headers:
        state.update(len(header).to_bytes(8, "big") + header)
    return state.digest()
