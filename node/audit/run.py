"""The audit: every link of every finalised round up to a model, going on after a link that fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from chain.client import Chain
from node.audit.chainside import UNREADABLE, read_history
from node.audit.checks import (
    cards as datacards,
)
from node.audit.checks import (
    ceremony,
    envelope,
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
from node.audit.errors import MalformedBlock, UnseenCreation
from node.audit.evidence import Handed, Several
from node.audit.history import LiveHistory
from node.audit.membership import changes
from node.audit.notes import Notebook
from node.audit.reader import Reader
from node.audit.report import Report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from node.audit.chainside import ChainFacts, Finalised
    from node.audit.evidence import Evidence
    from node.audit.history import History
    from node.audit.notes import Doubt, Link
    from node.images.card import DataCard
    from node.rounds.plan import Plan

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told (what is being done, steps done, steps in all)."""


@dataclass(frozen=True)
class Scope:
    """What of a history is examined; by default all rounds that led to the model."""

    rounds: bool = True
    """Whether rounds are examined; without, only chain, lineage and seeds are."""
    only: int | None = None
    """The one round that is examined; None for all."""


def audit(
    source: Chain | History,
    evidence: Evidence,
    model: bytes | None,
    *,
    model_file: bytes | None = None,
    cards: Sequence[DataCard] = (),
    scope: Scope | None = None,
    doubts: Sequence[Doubt] = (),
    progress: Progress | None = None,
    keep: Callable[[str, bytes], None] | None = None,
) -> Report:
    """Check how a model came to be, from the chain and the blobs alone.

    Args:
        source: A client that only reads, or another history of the chain.
        evidence: Where blobs come from (`open_evidence`).
        model: Hash (32 bytes) of the model; None for the newest one, or with `Scope.only` that round's.
        model_file: The model's file, where there is one to be checked against the hash.
        cards: Data cards that hospitals show, to be checked against their digests on chain.
        scope: What is examined.
        doubts: What was found about the history before it was read; noted against the link `chain`.
        progress: Told (what is being done, steps done, steps in all).
        keep: Told name and bytes of all that the checks needed (`Reader`).

    Returns:
        The report; whatever is wrong or missing is a finding in it, never an exception.
    """
    history: History = LiveHistory(source) if isinstance(source, Chain) else source
    book = Notebook()
    link = book.link("chain", None)
    for doubt in doubts:
        link.note(doubt.status, doubt.subject, doubt.detail)
    try:
        facts = read_history(history)
    except UNREADABLE as error:
        _note_unreadable(history, error, link)
        book.close(link, "")
        return Report(model, (), tuple(book.findings), timings=book.timings)
    book.close(link, _chain_in_short(facts))
    sources = Several([Handed(card.to_bytes() for card in cards), evidence]) if cards else evidence
    means = _Means(Reader(sources, keep), book, scope or Scope(), progress or _silent, tuple(cards))
    return _examine(facts, means, model, model_file)


def examine(
    facts: ChainFacts,
    evidence: Evidence,
    model: bytes | None,
    *,
    model_file: bytes | None = None,
    scope: Scope | None = None,
    progress: Progress | None = None,
) -> Report:
    """`audit` for a chain that was read before; asks no endpoint."""
    book = Notebook()
    link = book.link("chain", None)
    book.close(link, _chain_in_short(facts))
    return _examine(facts, _Means(Reader(evidence), book, scope or Scope(), progress or _silent), model, model_file)


def _note_unreadable(history: History, error: Exception, link: Link) -> None:
    """What cannot be read is false where a block hash stood for it, and unknown where an endpoint did."""
    where = history.deployment.rounds
    if isinstance(error, MalformedBlock):
        link.falsified(error.where, error.problem)
    elif isinstance(error, UnseenCreation):
        link.unchecked(error.where, str(error))
    elif history.proven:
        link.falsified(where, str(error))
    else:
        link.unchecked(where, str(error))


@dataclass(frozen=True)
class _Means:
    """What an audit works with."""

    reader: Reader
    book: Notebook
    scope: Scope
    progress: Progress
    cards: tuple[DataCard, ...] = ()


def _chain_in_short(facts: ChainFacts) -> str:
    return f"{len(facts.view.members)} members, {len(facts.view.rounds)} rounds"


def _examine(facts: ChainFacts, means: _Means, model: bytes | None, model_file: bytes | None) -> Report:
    wanted = _wanted(facts, model, means.scope)
    if wanted is not None:
        return _Audit(facts, means).run(wanted, model_file)
    book = means.book
    link = book.link("lineage", None)
    link.unchecked("", _nothing(means.scope))
    book.close(link, "")
    return Report(None, (), tuple(book.findings), timings=book.timings)


def _wanted(facts: ChainFacts, model: bytes | None, scope: Scope) -> bytes | None:
    """The model that is audited; None where there is none."""
    if scope.only is not None:
        made = facts.finalised.get(scope.only)
        return None if made is None else made.row.model
    return model if model is not None else facts.view.head


def _nothing(scope: Scope) -> str:
    if scope.only is None:
        return "the chain records no model yet"
    return f"round {scope.only} was not finalised"


class _Audit:
    """One audit under way."""

    def __init__(self, facts: ChainFacts, means: _Means) -> None:
        self._facts = facts
        self._reader = means.reader
        self._book = means.book
        self._scope = means.scope
        self._progress = means.progress
        self._cards = means.cards
        self._tally = datacards.Tally()

    def run(self, model: bytes, model_file: bytes | None) -> Report:
        """All links, first those of the whole lineage, then round by round, then the model file."""
        last = self._lineage(model)
        rounds = self._chosen(last)
        for change in changes(self._facts, rounds):
            self._book.remark(change)
        plan_of_model: Plan | None = None
        for done, number in enumerate(rounds):
            self._progress(f"round {number}", 100 * done, 100 * len(rounds))
            plan_of_model = self._round(self._facts.finalised[number], _part(self._progress, done, len(rounds)))
        self._known_cards()
        if model_file is not None:
            link = self._book.link("model", None)
            modelfile.check(model, model_file, plan_of_model, link)
            self._book.close(link, f"{len(model_file)} bytes, sha2-256 as recorded", model.hex())
        return Report(
            model, rounds, tuple(self._book.findings), tuple(self._book.notes), timings=dict(self._book.timings)
        )

    def _known_cards(self) -> None:
        """The cards that were given with the question, and what all rounds together say of cards."""
        if self._cards:
            link = self._book.link("cards", None)
            datacards.check_known(self._facts, self._cards, link)
            self._book.close(link, f"{len(self._cards)} data cards were shown, each was on chain")
        for remark in self._tally.remarks():
            self._book.remark(remark)

    def _lineage(self, model: bytes) -> int:
        """Parents and seeds; the round that made the model, 0 where there is none."""
        link = self._book.link("lineage", None)
        made = lineage.check(self._facts, model, self._reader, link)
        self._book.close(link, f"{len(made)} rounds back to the genesis model", model.hex())
        last = max(made, default=0) if self._scope.only is None else self._scope.only
        link = self._book.link("leader", None)
        leader.check_seeds(self._facts, last, link)
        self._book.close(link, f"seeds of {last} rounds recomputed")
        return last

    def _chosen(self, last: int) -> tuple[int, ...]:
        """The rounds to be examined, ascending."""
        if not self._scope.rounds:
            return ()
        if self._scope.only is not None:
            return (self._scope.only,)
        return tuple(number for number in self._facts.finalised if number <= last)

    def _round(self, here: Finalised, progress: Progress) -> Plan | None:
        """Every link of one round."""
        number, book = here.number, self._book
        case = Dossier(self._facts, here, self._reader, progress)
        link = book.link("statement", number)
        case.predicate = statement.check(case, link)
        book.close(link, "agrees with the chain", (here.row.statement or b"").hex())
        link = book.link("envelope", number)
        signers = envelope.check(case, link)
        if signers or not link.clean:
            book.close(link, f"{signers} members signed the statement")
        link = book.link("plan", number)
        case.plan = plan.check(case, link)
        case.layout = None if case.plan is None else plan.layout(case.plan, link)
        book.close(link, "agrees with the chain", here.row.plan.hex())
        link = book.link("key", number)
        case.joint = key.check(case, link)
        summed = case.joint is None or here.epoch is None or ceremony.check(case, case.joint, here.epoch, link)
        book.close(link, f"the key of epoch {here.row.epoch}")
        if not summed:
            book.remark(f"key epoch {here.row.epoch}: no public key shares at hand; its sum rests on the confirmations")
        link = book.link("segment", number)
        case.ledger = segment.check(case, link)
        book.close(link, f"{len(case.ledger.transactions) if case.ledger else 0} signed transactions")
        link = book.link("leader", number)
        leader.check(case, link)
        book.close(link, "proposed these roots in its turn", here.row.leader or "")
        link = book.link("updates", number)
        updates.check(case, link)
        book.close(link, f"{len(case.predicate.updates) if case.predicate else 0} updates")
        link = book.link("cards", number)
        held = datacards.check(case, self._tally, link)
        if held or not link.clean:
            book.close(link, f"{held} updates declare the images of the data cards on chain")
        self._sums(case)
        link = book.link("openings", number)
        openings.check(case, link)
        book.close(link, f"{len(case.predicate.openers) if case.predicate else 0} members opened")
        link = book.link("verdicts", number)
        counted = verdicts.check(case, link)
        book.close(link, f"{len(counted)} verdicts")
        link = book.link("outcome", number)
        outcome.check(case, link)
        book.close(link, f"{len(here.signed.signers) if here.signed else 0} signatures recovered")
        self._remark(case, verdicts.contradicting(case.plan, counted) if case.plan else 0)
        return case.plan

    def _sums(self, case: Dossier) -> None:
        """The groups and their encrypted sums."""
        link = self._book.link("groups", case.here.number)
        case.reveals = groups.check_reveals(case, link)
        groups.check(case, link)
        count = len(case.predicate.groups) if case.predicate else 0
        cut = f" in {case.sections} sections" if (case.sections or 1) > 1 else ""
        self._book.close(link, f"{count} groups{cut}, drawn by {len(case.reveals or ())} reveals")
        link = self._book.link("sums", case.here.number)
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


def _part(progress: Progress, done: int, total: int) -> Progress:
    """Progress within one of several equal parts."""
    return lambda what, step, steps: progress(what, 100 * done + 100 * step // max(1, steps), 100 * total)


def _silent(_what: str, _done: int, _total: int) -> None:
    """Report no progress."""
