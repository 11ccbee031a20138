"""What has been established about one round so far; later checks build on what earlier ones found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.parameters import parameter_set
from node.rounds.sections import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crypto.keys import JointKey
    from crypto.layout import Layout
    from crypto.parameters import ParameterSet
    from dag.bodies import Body, ProposalBody
    from dag.transaction import Transaction
    from node.audit.chainside import ChainFacts, Finalised
    from node.audit.cone import Cone
    from node.audit.notes import Link
    from node.audit.reader import Reader
    from node.rounds.plan import Plan
    from node.rounds.statement import Predicate


@dataclass(frozen=True)
class Ledger:
    """A round's segment, verified: every transaction is signed by a member."""

    transactions: Mapping[bytes, Transaction]
    """By id."""
    issuers: Mapping[bytes, int]
    """Seat of each issuer, by transaction id."""
    cone: Cone
    """The past cone of the round's proposal."""
    proposal: ProposalBody
    """The body of the round's proposal."""

    def body(self, tx_id: bytes) -> Body | None:
        """The body of a transaction, or None where the segment does not hold it."""
        found = self.transactions.get(tx_id)
        return None if found is None else found.body


@dataclass
class Dossier:
    """One round under audit. None means: not established, the finding that says why was noted where it happened."""

    facts: ChainFacts
    here: Finalised
    reader: Reader
    progress: Callable[[str, int, int], None]
    """Told (what is being done, steps done, steps in all)."""
    predicate: Predicate | None = None
    plan: Plan | None = None
    layout: Layout | None = None
    joint: JointKey | None = None
    ledger: Ledger | None = None
    reveals: tuple[bytes, ...] | None = None
    """The values revealed for the group seed, in order of their transactions' ids."""

    @property
    def params(self) -> ParameterSet | None:
        """The key epoch's encryption parameters by the chain; None where this software does not know them."""
        epoch = self.here.epoch
        try:
            return None if epoch is None else parameter_set(epoch.parameter_set, allow_minimal=True)
        except CryptoError:
            return None

    @property
    def sections(self) -> int | None:
        """How many sections the round's updates are summed in; None: more than one are asked for, and it cannot be told how many there are."""
        if self.plan is None or self.plan.sections == 1:
            return 1 if self.plan else None
        if self.layout is None or self.params is None:
            return None
        return len(cut(self.layout.size, self.params.values_per_chunk, self.plan.sections))


def missing(link: Link, **needed: object) -> bool:
    """Whether something a check builds on is None; then that is noted as the reason it was not carried out."""
    absent = [name for name, value in needed.items() if value is None]
    if absent:
        link.unchecked("", f"needs the {' and the '.join(absent)}, which could not be established")
    return bool(absent)
