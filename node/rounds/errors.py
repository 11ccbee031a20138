"""What can be wrong with a statement's envelope; `node.errors` holds the rest of a round's errors.

LyingPeer
└── BadEnvelope             the bytes are no envelope that convinces
    ├── MalformedEnvelope       not the canonical form, another payload type, a payload that is no statement
    ├── UnknownSigner           a key that is no member's
    ├── DuplicateSigner         one member twice
    ├── BadStatementSignature   bytes that are no signature, or another key's
    └── BelowQuorum             too few members signed
"""

from __future__ import annotations

from node.errors import LyingPeer


class BadEnvelope(LyingPeer):
    """An envelope does not show that a quorum signed its statement; `evidence` names what is wrong with it."""


class MalformedEnvelope(BadEnvelope):
    """The bytes are not the canonical form of an envelope of ours.

    Args:
        field: Where the first fault is.
        problem: What was found and what was expected.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"envelope: {field}: {problem}", field=field)


class UnknownSigner(BadEnvelope):
    """A signature under a key that is no member's.

    Args:
        keyid: The address it names, as text.
        members: How many members there were.
    """

    def __init__(self, keyid: str, members: int) -> None:
        super().__init__(f"envelope: signer {keyid} is none of the {members} members of that round", keyid=keyid)


class DuplicateSigner(BadEnvelope):
    """One member stands under a statement twice.

    Args:
        keyid: Its address, as text.
    """

    def __init__(self, keyid: str) -> None:
        super().__init__(f"envelope: signer {keyid} is listed twice; each member counts once", keyid=keyid)


class BadStatementSignature(BadEnvelope):
    """Bytes that are no signature of the statement by the member they are listed under.

    Args:
        keyid: The address they are listed under, as text.
        problem: What is wrong with them.
    """

    def __init__(self, keyid: str, problem: str) -> None:
        super().__init__(f"envelope: signature of {keyid}: {problem}", keyid=keyid)


class BelowQuorum(BadEnvelope):
    """Too few members signed.

    Args:
        found: How many did.
        quorum: How many must.
    """

    def __init__(self, found: int, quorum: int) -> None:
        super().__init__(
            f"envelope: {found} members signed the statement, a quorum is {quorum}",
            found=str(found),
            quorum=str(quorum),
        )
