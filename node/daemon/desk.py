"""What this hospital brings to each of its rounds, and what it hears of the long work in them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from node.daemon.roster import consortium_of, electorate, past_rounds, sealed_at_peers, why_not
from node.errors import RoundProblem
from node.rounds.dsse import sign_statement
from node.rounds.onchain import OnChain
from node.rounds.ports import Policy, Ports
from node.rounds.restored import REASON

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.consortium.records import RoundView
    from node.daemon.parts import Parts
    from node.rounds.suspicion import RoundResult

log = logging.getLogger("medweave")


class Desk:
    """Hands the rounds their ports.

    Args:
        parts: The node.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stopping = False
        self._aside: dict[int, str] = {}
        self._results: dict[bytes, RoundResult] = {}

    def stop(self) -> None:
        """The node ends: long work is cut short the next time it tells how far it is."""
        self._stopping = True

    def ports(self, row: RoundView) -> Ports | None:
        """What this hospital brings to a round; None where it takes no part, or holds no keys of its epoch."""
        parts = self._parts
        reason = why_not(parts.view, row, parts.me)
        if reason is None and row.open and row.round <= parts.last_forgotten:
            reason = REASON
        if reason is None and row.open and row.round in parts.planning.orders.left():
            reason = "it was left, as this hospital's operator asked (`medweave round cancel`)"
        keys = parts.keeper.keys(row.epoch) if reason is None else None
        if keys is None and reason is None:
            reason = f"this hospital holds no keys of epoch {row.epoch}"
        if reason is not None or keys is None:
            if row.open and self._aside.get(row.round) != reason:
                level = logging.INFO if parts.me in row.resting else logging.WARNING
                log.log(level, "round %d: taking no part: %s", row.round, reason)
                self._aside = {row.round: str(reason)}
            return None
        return Ports(
            me=parts.me,
            consortium=consortium_of(parts.chain.deployment, parts.view, row),
            chain=OnChain(parts.chain),
            ledger=parts.publisher,
            blobs=parts.blobs,
            learner=parts.learner,
            keys=keys,
            journal=parts.journal,
            policy=self._policy(),
            secret_for=parts.identity.derive,
            sign_statement=lambda statement: sign_statement(statement, parts.identity.private_key),
            url_of=lambda member: parts.view.hospitals[member].url or None,
            electorate=lambda: electorate(parts.view, row),
            keys_of=parts.keeper.keys,
            sealed_elsewhere=lambda model, epoch: sealed_at_peers(parts.dialer, parts.peers(), model, epoch),
            generation_at=self._generation_at,
            past=lambda: past_rounds(parts.view, row.round),
            results=self._results,
            progress=lambda what, share: self._progress(row.round, what, share),
        )

    def _policy(self) -> Policy:
        config = self._parts.config
        return Policy(
            config.rounds.min_group,
            allow_minimal=self._parts.allow_minimal,
            keep_quantised=self._keep_quantised if config.debug.keep_quantised else None,
        )

    def _progress(self, number: int, what: str, share: float) -> None:
        if self._stopping:
            raise RoundProblem(f"{what} was cut short: this node is stopping")
        if number in self._parts.planning.orders.left():
            raise RoundProblem(f"{what} was cut short: round {number} was left")
        row = self._parts.view.rounds.get(number)
        if row is None or not row.open:
            raise RoundProblem(f"{what} was cut short: round {number} is over")
        conductor = self._parts.conductor
        if conductor is not None and conductor.runners:
            conductor.runners[max(conductor.runners)].progress = (what, share)

    def _keep_quantised(self, round_number: int, values: NDArray[np.int64]) -> None:
        directory = self._parts.home.root / "debug"
        directory.mkdir(exist_ok=True)
        np.save(directory / f"round-{round_number}.npy", values)

    def _generation_at(self, round_number: int, proposal: bytes) -> int | None:
        row = self._parts.view.rounds.get(round_number)
        return next((p.generation for p in row.proposals if p.proposal == proposal), None) if row else None
