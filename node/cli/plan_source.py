"""Plans as a hospital's directory and chain know them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from chain.votes import PlanDecision
from node.cli.reader import Reader
from node.config import TESTING_VARIABLE
from node.errors import BadInput
from node.images.errors import DataError
from node.membership.book import MotionBook
from node.planning.choice import choose, refusals
from node.planning.first import images_of
from node.rounds.plan import Plan
from node.storage import StorageError, raw_cid
from node.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.consortium.view import ConsortiumView
    from node.home import Home
    from node.membership.motion import Motion
    from node.storage import BlobStore

SHORTEST_PREFIX = 4
"""Hex digits of a digest."""


class PlanShelf:
    """The plans of one hospital, read only.

    Args:
        home: Its directory.
        reader: The chain, where the caller has it already.

    Raises:
        BadInput: A file is missing or wrong.
        ChainError: The chain does not answer.
    """

    def __init__(self, home: Home, reader: Reader | None = None) -> None:
        self.home = home
        self.config = home.config()
        self.reader = reader or Reader.of(home.root, None, None)
        file = home.file(self.config.rounds.plan)
        self.own = Plan.from_toml(file) if file.exists() else None
        self.store: BlobStore = open_store(home.blobs, self.config.storage)

    @property
    def view(self) -> ConsortiumView:
        """What the chain said so far."""
        return self.reader.view

    @property
    def members(self) -> int:
        """Hospitals in the consortium, at least 1."""
        return max(1, len(self.view.members))

    def plan(self, digest: bytes) -> Plan | None:
        """A plan by its digest; None where this hospital's store does not hold it."""
        if self.own is not None and self.own.digest == digest:
            return self.own
        try:
            return Plan.from_bytes(self.store.get(raw_cid(digest)))
        except StorageError:
            return None

    def held(self, digest: bytes) -> Plan:
        """A plan by its digest.

        Raises:
            BadInput: This hospital does not hold it.
        """
        plan = self.plan(digest)
        if plan is None:
            raise BadInput(
                f"plan {digest.hex()[:16]}… is not in this hospital's store yet: its node fetches it from the others as soon as it "
                "is put to the vote or used; is it running?"
            )
        return plan

    def chosen(self) -> Plan | None:
        """The plan in force; None where there is none, or it is not held here yet."""
        digest = choose(self.view, self.own).digest
        return None if digest is None else self.plan(digest)

    def in_force(self) -> tuple[Plan, str]:
        """The plan in force, and where it comes from.

        Raises:
            BadInput: There is none, or it is not held here.
        """
        choice = choose(self.view, self.own)
        if choice.digest is None:
            raise BadInput(f"the plan in force: {choice.words}")
        return self.held(choice.digest), choice.words

    def by_prefix(self, prefix: str) -> tuple[Plan, str]:
        """A plan by the beginning of its digest.

        Raises:
            BadInput: None begins so, or several do, or it is not held here.
        """
        wanted = prefix.lower().removeprefix("0x")
        known = {row["digest"] for row in self.rows()} | {m.vote.plan.hex() for m in self.motions()}  # type: ignore[attr-defined]
        found = [digest for digest in known if digest.startswith(wanted)]
        if len(wanted) < SHORTEST_PREFIX or len(found) != 1:
            raise BadInput(
                f"{prefix!r} is no file, and the beginning of {len(found)} plans' digests: see `medweave plan list` and `pending`"
            )
        return self.held(bytes.fromhex(found[0])), f"plan {found[0]}"

    def motions(self) -> list[Motion]:
        """What is put to the vote about plans, as far as this hospital's node has heard."""
        book = MotionBook(self.home.motions, self.reader.chain.deployment)
        try:
            return [motion for motion in book.live() if isinstance(motion.vote, PlanDecision)]
        finally:
            book.close()

    def rows(self) -> list[dict[str, Any]]:
        """Every plan that the chain names, or this hospital's own, as plain values."""
        choice, view = choose(self.view, self.own), self.view
        digests = dict.fromkeys([row.plan for row in view.rounds.values()])
        digests |= dict.fromkeys(view.plans)
        if self.own is not None:
            digests.setdefault(self.own.digest)
        return [
            {
                "digest": digest.hex(),
                "name": plan.name if (plan := self.plan(digest)) else None,
                "rounds": [row.round for row in view.rounds.values() if row.plan == digest],
                "admitted": digest in view.plans,
                "in_force": digest == choice.digest,
            }
            for digest in digests
        ]

    def refusals(self, plan: Plan, members: int) -> Iterator[str]:
        """Why this hospital would take no part in rounds of a plan, a sentence each."""
        try:
            images = images_of(self.home.file(self.config.data.train))
        except DataError:
            images = None
        allowed = os.environ.get(TESTING_VARIABLE) == "1"
        yield from refusals(plan, self.config.rounds, members, images, allow_minimal=allowed)
