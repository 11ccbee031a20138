"""Starting ceremonies and refreshes on chain, and how long to wait before the next."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from chain.errors import ContractReverted
from crypto.parameters import parameter_set
from node.consortium.view import address_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.client import Chain
    from node.consortium.view import ConsortiumView

CEREMONY_SECONDS = 900
"""Deadline given to a ceremony or refresh that this member opens."""
LONGEST_PATIENCE_TURNS = 200
"""After ceremonies in a row that came to nothing, another one is opened up to this many turns later."""


def open_ceremony(
    chain: Chain,
    parameters: str,
    threshold: int,
    seconds: int = CEREMONY_SECONDS,
    *,
    cohort: int = 0,
    allow_minimal: bool = False,
) -> None:
    """Open a ceremony on chain; one that is running already will do.

    Args:
        chain: The contracts, with a member's account.
        parameters: Name of the parameter set.
        threshold: T.
        seconds: How long it may take, at most a day.
        cohort: How many members, drawn by the contract, are to hold the key; 0: all.
        allow_minimal: Accept the insecure `minimal` parameters: tests only.

    Raises:
        ContractReverted: `BadCohort` where the consortium has no cohorts of this size, with the smallest it has.
    """
    chosen = parameter_set(parameters, allow_minimal=allow_minimal).id + bytes(16)
    deadline = _deadline(chain, seconds)
    if cohort:
        tolerate(lambda: chain.epochs.open_cohort(chosen, threshold, deadline, cohort), "CeremonyRunning")
    else:
        tolerate(lambda: chain.epochs.open(chosen, threshold, deadline), "CeremonyRunning")


def open_refresh(chain: Chain, seconds: int = CEREMONY_SECONDS) -> None:
    """Open a refresh of the active epoch's shares; one that is running already will do.

    Args:
        chain: The contracts, with a member's account.
        seconds: How long it may take, at most a day.

    Raises:
        ContractReverted: `NothingToRefresh` without an active epoch, or where any single member opens sums.
    """
    deadline = _deadline(chain, seconds)
    tolerate(lambda: chain.epochs.refresh(deadline), "CeremonyRunning")


def _deadline(chain: Chain, seconds: int) -> int:
    return max(int(time.time()), chain.now()) + seconds


def patience(view: ConsortiumView) -> int:
    """How many turns to wait after ceremonies in a row that came to nothing: 0, 1, 3, 7 …"""
    failed = 0
    for number in sorted(view.epochs, reverse=True):
        if view.epochs[number].joint_key is not None:
            break
        failed += 1
    return int(min(2 ** min(failed, 30) - 1, LONGEST_PATIENCE_TURNS))


def member_index(view: ConsortiumView, account: str) -> int | None:
    """The seat of a present member's account, or None."""
    seat = view.seats.get(address_bytes(account))
    return seat if seat in view.members and view.hospitals[seat].account == account else None


def tolerate(send: Callable[[], object], *names: str) -> None:
    """Send; a revert that says it was done already, or that somebody was faster, is fine."""
    try:
        send()
    except ContractReverted as error:
        if error.name not in names:
            raise
