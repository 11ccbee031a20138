"""Auditing a bundle: no network and no key; trusted are a block hash and the contracts' addresses, if they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from node.audit.bundle.form import MANIFEST, MODEL, Bundle
from node.audit.bundle.history import ProvenHistory
from node.audit.errors import MalformedBlock
from node.audit.notes import Doubt, Notebook
from node.audit.report import Report
from node.audit.run import audit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chain.deployment import Deployment
    from node.audit.bundle.form import Manifest
    from node.audit.run import Progress, Scope
    from node.images.card import DataCard


@dataclass(frozen=True)
class Trust:
    """What an auditor knows from elsewhere."""

    header: bytes | None = None
    """Hash (32 bytes) of the block up to which the bundle tells the chain."""
    deployment: Deployment | None = None
    """Where the consortium's contracts are."""


def audit_bundle(
    bundle: Bundle,
    trust: Trust,
    *,
    model: bytes | None = None,
    model_file: bytes | None = None,
    cards: Sequence[DataCard] = (),
    scope: Scope | None = None,
    progress: Progress | None = None,
) -> Report:
    """Audit what a bundle holds.

    Args:
        bundle: The file.
        trust: What is known from elsewhere; without header and deployment the result is could-not-check at best.
        model: Hash of the model; None for the one the bundle names.
        model_file: The model's file; None for the bundle's own, where it has one and its model is what is audited.
        cards: Data cards that hospitals show besides those in the bundle.
        scope: What is examined.
        progress: Told (what is being done, steps done, steps in all).

    Returns:
        The report; what is wrong with the bundle's own files is noted against the link `chain`.
    """
    try:
        manifest, blocks = bundle.manifest(), bundle.blocks()
        history = ProvenHistory(manifest.deployment, blocks)
        doubts = tuple(_doubts(manifest, history, trust))
    except MalformedBlock as error:
        return _unreadable(Doubt("falsified", error.where, error.problem))
    about = model in {None, manifest.model} and (scope is None or scope.only is None)
    spoilt, own = _model_file(bundle) if about and model_file is None else ((), model_file)
    return audit(
        history,
        bundle,
        model or manifest.model,
        model_file=own,
        cards=cards,
        scope=scope,
        doubts=(*doubts, *spoilt),
        progress=progress,
    )


def _model_file(bundle: Bundle) -> tuple[tuple[Doubt, ...], bytes | None]:
    try:
        return (), bundle.model_file()
    except MalformedBlock as error:
        return (Doubt("falsified", MODEL, error.problem),), None


def _doubts(manifest: Manifest, history: ProvenHistory, trust: Trust) -> Iterator[Doubt]:
    """What stands between the bundle's chain and what the auditor trusts. Raises MalformedBlock."""
    last = history.blocks[-1].header.number if history.blocks else None
    if history.head != manifest.head or last != manifest.number:
        what = f"block {last} with hash 0x{history.head.hex()}"
        yield Doubt("falsified", MANIFEST, f"names another head than the last block, which is {what}")
    if trust.header is None:
        advice = "give the hash of that block from a source you trust with --header"
        yield Doubt(
            "unchecked", f"block {last}", f"whether 0x{history.head.hex()} is a block of the real chain: {advice}"
        )
    elif trust.header != history.head:
        yield Doubt("falsified", f"block {last}", f"its hash is 0x{history.head.hex()}, not 0x{trust.header.hex()}")
    if trust.deployment is None:
        advice = "give the consortium's own record with --contracts"
        yield Doubt("unchecked", MANIFEST, f"whether these are the consortium's contracts: {advice}")
    elif trust.deployment != manifest.deployment:
        yield Doubt("falsified", MANIFEST, "its deployment record is not the one given")


def _unreadable(doubt: Doubt) -> Report:
    book = Notebook()
    link = book.link("chain", None)
    link.note(doubt.status, doubt.subject, doubt.detail)
    book.close(link, "")
    return Report(None, (), tuple(book.findings), timings=book.timings)
