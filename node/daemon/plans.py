"""The plans of all rounds, and from them the terms the ledger's rules need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.parameters import parameter_set
from dag.rules import Context, Member, RoundTerms
from node.consortium.view import address_bytes
from node.errors import MedweaveError, PeerProblem
from node.learning.errors import LearningError
from node.rounds.plan import Plan
from node.sealing.quantising import plan_layout
from node.storage import raw_cid

if TYPE_CHECKING:
    from chain.deployment import Deployment
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.storage.source import BlobSource


class PlanBook:
    """Reads plans by digest, once each.

    Args:
        deployment: The contracts.
        blobs: Where plans are.
        allow_minimal: Accept the insecure `minimal` parameters: tests only.
    """

    def __init__(self, deployment: Deployment, blobs: BlobSource, *, allow_minimal: bool) -> None:
        self._deployment = deployment
        self._blobs = blobs
        self._allow_minimal = allow_minimal
        self._plans: dict[bytes, Plan] = {}
        self._terms: dict[int, RoundTerms] = {}
        self._read: dict[int, tuple[int, bytes]] = {}
        self._context: tuple[ConsortiumView, dict[int, tuple[int, bytes]], Context] | None = None

    def plan(self, digest: bytes) -> Plan:
        """A plan by its digest.

        Raises:
            BadPlan: The bytes are no plan.
            StorageError: It cannot be had.
        """
        if digest not in self._plans:
            self._plans[digest] = Plan.from_bytes(self._blobs.obtain(raw_cid(digest)))
        return self._plans[digest]

    def read_all(self, view: ConsortiumView) -> tuple[str, ...]:
        """Read the plans of rounds not read yet; what could not be read is returned, a line each.

        A chain that went back may open a round again otherwise, or not at all: terms of what it took back are dropped.
        """
        said = {row.round: (row.epoch, row.plan) for row in view.rounds.values()}
        for number in [number for number, read in self._read.items() if said.get(number) != read]:
            del self._read[number], self._terms[number]
        problems = []
        for row in view.rounds.values():
            if row.round in self._terms:
                continue
            try:
                self._terms[row.round] = self._terms_of(row)
                self._read[row.round] = said[row.round]
            except (MedweaveError, CryptoError, LearningError) as error:
                problems.append(f"plan of round {row.round}: {error}")
        return tuple(problems)

    def size(self, view: ConsortiumView, round_number: int) -> int:
        """Number of model parameters in a round.

        Raises:
            PeerProblem: The chain has told of no such round yet.
        """
        if round_number not in view.rounds:
            raise PeerProblem(f"round {round_number} is not known here yet")
        plan = self.plan(view.rounds[round_number].plan)
        return plan_layout(plan.architecture, len(plan.classes), plan.value_range).size

    def context(self, view: ConsortiumView) -> Context:
        """What the ledger's rules need to know, as of `view`."""
        if self._context is None or self._context[0] is not view or self._context[1] != self._read:
            self._context = (view, dict(self._read), self._build(view))
        return self._context[2]

    def _terms_of(self, row: RoundView) -> RoundTerms:
        plan = self.plan(row.plan)
        return RoundTerms(
            epoch=row.epoch,
            threshold=plan.threshold_for(len(row.standing.members)),
            parameter_set=parameter_set(plan.parameter_set, allow_minimal=self._allow_minimal).id,
            cap=max(row.sizes[seat] for seat in row.standing.members),
            max_slots=plan.epochs,
            min_group=plan.min_group,
            sections=plan.sections,
            layout=plan_layout(plan.architecture, len(plan.classes), plan.value_range).digest,
            pow_bits=plan.pow_bits,
            roster={
                address_bytes(row.standing.accounts[seat]): Member(seat, row.sizes[seat])
                for seat in sorted(row.standing.members)
            },
        )

    def _build(self, view: ConsortiumView) -> Context:
        members = {address: Member(seat, view.hospitals[seat].data_size) for address, seat in view.seats.items()}
        return Context(
            consortium=self._deployment.consortium,
            chain_id=self._deployment.chain_id,
            registry=address_bytes(self._deployment.registry),
            members=members,
            quorum=view.quorum,
            rounds=dict(self._terms),
        )
