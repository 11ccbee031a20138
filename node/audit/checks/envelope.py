"""The statement's envelope, where one is at hand: a quorum of the round's members signed these very bytes (DSSE).

It adds no trust for a reader of the chain, whose outcome a quorum signed too; it convinces those who have no chain. So where
no place has one nothing is amiss.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from node.rounds.dsse import Envelope, verify_envelope
from node.rounds.errors import BadEnvelope

if TYPE_CHECKING:
    from node.audit.dossier import Dossier
    from node.audit.notes import Link


def check(dossier: Dossier, link: Link) -> int:
    """Verify the round's envelope and that it holds the statement the chain names.

    Returns:
        How many members signed it; 0 where no place has one.
    """
    here = dossier.here
    data = dossier.reader.envelope(here.number)
    if data is None:
        return 0
    name = f"envelope of round {here.number}"
    try:
        verify_envelope(data, here.seats.keys(), here.quorum)
    except BadEnvelope as error:
        link.falsified(name, str(error))
        return 0
    envelope = Envelope.from_bytes(data)
    stated = hashlib.sha256(envelope.payload).digest()
    link.equal(name, "the digest of the statement in it", stated, here.row.statement or b"")
    return len(envelope.signatures)
