"""The audit: every link of every finalised round up to a model, going on after a link that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.audit.chainside import UNREADABLE, read_chain
from node.audit.checks import (
    ceremony,
    groups,
    key,
    leader,
    lineage,
    modelfile,
    openings,
    outcome,
    plan,
    segment,
    statement,
    sums,
    updates,
    verdicts,
)
from node.audit.dossier import Dossier
from node.audit.notes import Link, Notebook
from node.audit.reader import Reader
from node.audit.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from chain.client import Chain
    from node.audit.chainside import ChainFacts, Finalised
    from node.audit.evidence import Evidence
    from node.rounds.plan import Plan


def audit(
    chain: Chain,
    evidence: Evidence,
    model: bytes | None,
    *,
    model_file: bytes | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Check how a model came to be, from the chain and the blobs alone.

    Args:
        chain: A client that only reads.
        evidence: Where blobs come from (`open_evidence`).
        model: Hash (32 bytes) of the model; None for the newest one.
        model_file: The model's file, where there is one to be checked against the hash.
        progress: Told (what is being done, steps done, steps in all).

    Returns:
        The report; whatever is wrong or missing is a finding in it, never an exception.
    """
    try:
        facts = read_chain(chain)
    except UNREADABLE as error:
        book, link = Notebook(), Link("chain", None)
        link.unchecked(chain.deployment.rounds, str(error))
        book.close(link, "")
        return Report(model, (), tuple(book.findings))
    return examine(facts, evidence, model, model_file=model_file, progress=progress)


def examine(
    facts: ChainFacts,
    evidence: Evidence,
    model: bytes | None,
    *,
    model_file: bytes | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """`audit` for a chain that was read before; asks no endpoint."""
    book, link = Notebook(), Link("chain", None)
    book.close(link, f"{len(facts.view.hospitals)} members, {len(facts.view.rounds)} rounds")
    wanted = model if model is not None else facts.view.head
    if wanted is None:
        link = Link("lineage", None)
        link.unchecked("", "the chain records no model yet")
        book.close(link, "")
        return Report(None, (), tuple(book.findings))
    return _Audit(facts, Reader(evidence), book, progress or _silent).run(wanted, model_file)


class _Audit:
    """One audit under way."""

    def __init__(
        self, facts: ChainFacts, reader: Reader, book: Notebook, progress: Callable[[str, int, int], None]
    ) -> None:
        self._facts = facts
        self._reader = reader
        self._book = book
        self._progress = progress

    def run(self, model: bytes, model_file: bytes | None) -> Report:
        """All links, first those of the whole lineage, then round by round, then the model file."""
        link = Link("lineage", None)
        made = lineage.check(self._facts, model, self._reader, link)
        self._book.close(link, f"{len(made)} rounds back to the genesis model", model.hex())
        last = max(made, default=0)
        rounds = tuple(number for number in self._facts.finalised if number <= last)
        link = Link("leader", None)
        leader.check_seeds(self._facts, last, link)
        self._book.close(link, f"seeds of {last} rounds recomputed")
        plan_of_model: Plan | None = None
        for done, number in enumerate(rounds):
            self._progress(f"round {number}", done, len(rounds))
            plan_of_model = self._round(self._facts.finalised[number])
        if model_file is not None:
            link = Link("model", None)
            modelfile.check(model, model_file, plan_of_model, link)
            self._book.close(link, f"{len(model_file)} bytes, sha2-256 as recorded", model.hex())
        return Report(model, rounds, tuple(self._book.findings), tuple(self._book.notes))

    def _round(self, here: Finalised) -> Plan | None:
        """Every link of one round."""
        number, book = here.number, self._book
        case = Dossier(self._facts, here, self._reader, self._progress)
        link = Link("statement", number)
        case.predicate = statement.check(case, link)
        book.close(link, "agrees with the chain", (here.row.statement or b"").hex())
        link = Link("plan", number)
        case.plan = plan.check(case, link)
        case.layout = None if case.plan is None else plan.layout(case.plan, link)
        book.close(link, "agrees with the chain", here.row.plan.hex())
        link = Link("key", number)
        case.joint = key.check(case, link)
        summed = case.joint is None or here.epoch is None or ceremony.check(case, case.joint, here.epoch, link)
        book.close(link, f"the key of epoch {here.row.epoch}")
        if not summed:
            book.remark(f"key epoch {here.row.epoch}: no public key shares at hand; its sum rests on the confirmations")
        link = Link("segment", number)
        case.ledger = segment.check(case, link)
        book.close(link, f"{len(case.ledger.transactions) if case.ledger else 0} signed transactions")
        link = Link("leader", number)
        leader.check(case, link)
        book.close(link, "proposed these roots in its turn", here.row.leader or "")
        link = Link("updates", number)
        updates.check(case, link)
        book.close(link, f"{len(case.predicate.updates) if case.predicate else 0} updates")
        self._sums(case)
        link = Link("openings", number)
        openings.check(case, link)
        book.close(link, f"{len(case.predicate.openers) if case.predicate else 0} members opened")
        link = Link("verdicts", number)
        counted = verdicts.check(case, link)
        book.close(link, f"{len(counted)} verdicts")
        link = Link("outcome", number)
        outcome.check(case, link)
        book.close(link, f"{len(here.signed.signers) if here.signed else 0} signatures recovered")
        self._remark(case, verdicts.contradicting(case.plan, counted) if case.plan else 0)
        return case.plan

    def _sums(self, case: Dossier) -> None:
        """The groups and their encrypted sums."""
        link = Link("groups", case.here.number)
        case.reveals = groups.check_reveals(case, link)
        groups.check(case, link)
        count = len(case.predicate.groups) if case.predicate else 0
        self._book.close(link, f"{count} groups, drawn by {len(case.reveals or ())} reveals")
        link = Link("sums", case.here.number)
        sums.check(case, link)
        self._book.close(link, f"{count} sums recomputed, byte for byte the same")

    def _remark(self, case: Dossier, contradicting: int) -> None:
        """What a reader should know although nothing is wrong."""
        number, remark = case.here.number, self._book.remark
        if case.joint is not None and not case.joint.params.secure:
            remark(f"key epoch {case.joint.epoch} uses parameter set {case.joint.params.name}, which protects nothing")
        if case.plan is not None and case.plan.min_group == 1:
            remark(f"round {number}: the plan has min_group 1, members could open single hospitals' updates")
        elif case.predicate is not None:
            tolerated = case.predicate.colluders_tolerated
            remark(f"round {number}: single updates stay hidden from up to {tolerated} colluding members of a group")
        if case.ledger is not None and (unused := groups.unused_reveals(case.ledger)):
            remark(f"round {number}: the leader did not use {unused} of the reveals in its proposal's past cone")
        if contradicting:
            remark(f"round {number}: {contradicting} votes contradict their own scores; by the rules they count")


def _silent(_what: str, _done: int, _total: int) -> None:
    """Report no progress."""
