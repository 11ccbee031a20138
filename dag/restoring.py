"""A ledger that was put back from an older copy: its member may have said more than the copy holds.

Two transactions of one issuer with one sequence number prove equivocation, and a restored member does not know which
numbers it used after the copy was made. Numbers need not follow each other without a gap (docs/spec/ledger.md), so it goes
on far above any that it can have reached: at the microseconds since 1970. Nobody signs a million transactions a second, so
a later restore is again above everything said in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dag.fields import U53

if TYPE_CHECKING:
    from dag.store.port import LedgerStore

AHEAD: Final = 2**32
"""So far above every number the copy knows at least, should the clock be wrong."""

_SKIPPED: Final = "skipped"


def skip_sequences(store: LedgerStore, issuer: bytes, now: float) -> int:
    """Note durably that no smaller sequence number is used by this ledger's own member any more.

    Args:
        store: The restored ledger's store, opened for writing; also a new one, where no ledger was in the backup.
        issuer: The member's address, 20 bytes. Others' numbers count for nothing: one of them may have used the largest.
        now: Seconds since 1970.

    Returns:
        The least number from now on, at most 2**53 - 1.
    """
    known = max(store.next_sequence(issuer), least_sequence(store))
    least = min(max(int(now * 1_000_000), known + AHEAD), U53)
    store.set_meta(_SKIPPED, b"%d" % least)
    return least


def least_sequence(store: LedgerStore) -> int:
    """The least sequence number that the ledger's own member may use; 0 in a ledger that was never restored."""
    return int(store.meta(_SKIPPED) or b"0")
