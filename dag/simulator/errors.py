# ruff: noqa: N818  (an error is named after what went wrong, without a suffix)
"""Every error of the simulator.

    SimulationError
    ├── BadScenario            a setting that no run can have
    └── PropertyBroken         the oracle found the ledger wanting; carries who and what
        ├── Diverged           two honest nodes disagree about what is confirmed or who is convicted
        ├── ConfirmedLost      what an honest node once held for confirmed is gone
        ├── Reordered          the order below an anchored proposal changed or differs
        ├── InvalidAttached    something that the rules refuse is in an honest ledger
        ├── Unsettled          what honest members posted is not confirmed in the end
        └── Unbounded          a buffer grew beyond its limit

Messages name the node, the virtual time where it matters, and ids; the scenario and its seed repeat the run.
"""

from __future__ import annotations


class SimulationError(Exception):
    """Base of every error in this package."""


class BadScenario(SimulationError):
    """A setting that no run can have.

    Attributes:
        field: which setting.
        reason: what was found and what was expected.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class PropertyBroken(SimulationError):
    """Something that must hold after every run does not.

    Attributes:
        node: name of the node where it was found.
        reason: what was found there and what was expected.
        ids: transaction ids (32 bytes each) that show it.
    """

    def __init__(self, node: str, reason: str, ids: tuple[bytes, ...] = ()) -> None:
        named = ", ".join(f"{tx_id.hex()[:16]}…" for tx_id in ids[:4])
        super().__init__(f"node {node}: {reason}" + (f" ({len(ids)}: {named})" if ids else ""))
        self.node = node
        self.reason = reason
        self.ids = ids


class Diverged(PropertyBroken):
    """Two honest nodes do not hold the same transactions for confirmed, or the same members for convicted."""


class ConfirmedLost(PropertyBroken):
    """A transaction that an honest node once held for confirmed is not attached or not confirmed any more."""


class Reordered(PropertyBroken):
    """The order of transactions up to an anchored proposal is not what it was, or not the same on two nodes."""


class InvalidAttached(PropertyBroken):
    """An honest node attached a transaction that the rules refuse."""


class Unsettled(PropertyBroken):
    """Transactions of honest members were not confirmed although time enough was given."""


class Unbounded(PropertyBroken):
    """A buffer held more than its limit allows."""
