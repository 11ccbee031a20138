"""One key epoch as a member holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crypto.keys import JointKey, MemberKey


@dataclass(eq=False)
class EpochKeys:
    """The secret and the public result of a key ceremony.

    A refresh replaces `member` while rounds go on: read it once where several steps must use one share.
    """

    epoch: int
    member: MemberKey = field(repr=False)
    joint: JointKey
    joint_cid: str
    """CID of the joint key's bytes in the blob store."""
