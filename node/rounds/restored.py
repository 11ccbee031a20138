"""What a node restored from a backup must not do: speak in a round in which it may have spoken before.

Its journal and ledger are from before the loss. In a round that was open since, it may have posted an update, released
openings, signed a statement: a second, different one would be equivocation, and two partitions opened would betray an
update. No round that begins after its first start has this trouble. So it sits out every round that the chain knows at
that start, and takes part from the next one on. (Sequence numbers: `dag.restoring`.)

A directory that was put back by other means says nothing of it. Its node notices when a peer brings a transaction of its own
that it does not know (`forgot`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from node.rounds.journal import Journal

REASON: Final = "this hospital was restored from a backup and does not know what it said in it"

_NAME: Final = "restored"
_NO_ROUND: Final = 0


def mark_restored(journal: Journal, at: str) -> None:
    """Note in a restored journal that its owner has forgotten something; what updates lost before is let go.

    Args:
        journal: The restored journal, or a new one where the backup held none.
        at: When, RFC 3339, for people.
    """
    before: dict[str, Any] = journal.recall(_NO_ROUND, _NAME) or {}
    journal.remember(_NO_ROUND, _NAME, {"at": at, "settled": False, "through": before.get("through", 0)})
    journal.forget_lost()


def last_forgotten(journal: Journal, newest: int) -> int:
    """The last round that this node sits out for having been restored; 0 if it never was.

    Args:
        journal: The node's journal.
        newest: The newest round that the chain tells of, at this start of the node.
    """
    known: dict[str, Any] | None = journal.recall(_NO_ROUND, _NAME)
    if known is None:
        return 0
    if not known["settled"]:
        known |= {"settled": True, "through": max(int(known["through"]), newest)}
        journal.remember(_NO_ROUND, _NAME, known)
    return int(known["through"])


def forgot(journal: Journal, number: int) -> None:
    """Note that this node has said something in a round that it does not remember: it sits that one out, restored or not.

    Args:
        journal: The node's journal.
        number: The round.
    """
    known: dict[str, Any] = journal.recall(_NO_ROUND, _NAME) or {"at": "", "settled": True, "through": 0}
    journal.remember(_NO_ROUND, _NAME, known | {"through": max(int(known["through"]), number)})
