"""`medweave ledger verify`: a whole ledger, or a file that proves one thing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dag.checking import Finding, State, check_archive, check_file, check_snapshot
from dag.errors import LedgerError
from dag.ids import cid_of
from dag.proofs.checkpoint import RoundRecord, log_witnesses, parse_log_head, round_witnesses, verify_quorum
from dag.proofs.notes import Note
from dag.proofs.proof import CONSISTENCY_HEADER, MAX_FILE_BYTES, PROOF_HEADER, LogGrowth, TransactionProof
from node.audit.evidence import open_evidence
from node.cli.ledger_sources import Source, members_of, progress_bar, read_members, source_options, view_of
from node.config import TESTING_VARIABLE
from node.daemon.plans import PlanBook
from node.errors import BadInput
from node.storage import BlobUnavailable, MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from dag.proofs.witnesses import Witnesses
    from dag.rules import Context
    from node.audit.evidence import Evidence
    from node.consortium.view import ConsortiumView

SQLITE = b"SQLite format 3\x00"
ARCHIVE = b"\xa2eroots"
"""Header of a CAR, after its length: a map of two whose first key is `roots`."""
_MARKS = {State.VERIFIED: "ok  ", State.FALSE: "BAD ", State.UNCHECKED: "?   "}


@click.command("verify")
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@source_options
@click.option(
    "--blobs", multiple=True, help="With --rpc: where the rounds' plans are; default: the home's. Repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(source: Source, path: Path | None, blobs: tuple[str, ...], *, as_json: bool) -> int:
    """Check FILE: a proof, a checkpoint, a ledger or an exported ledger; without FILE, the ledger of --home, --file or --url.

    A proof or checkpoint needs the members (--members FILE), and nothing else. Of a ledger everything is checked that can be:
    ids, signatures, seals and parents from the file alone; who is a member, quorums and every rule on references, reveals,
    proposals and roots with --members; epochs, weights and plans with --rpc. What was not checked is said.

    Exit codes: 0 nothing checked is false; 1 something is; 3 the file cannot be read.
    """
    head = _head(path) if path else SQLITE
    if path is not None and head != SQLITE and ARCHIVE not in head:
        return _verify_proof(source, path, as_json=as_json)
    if path is not None and head == SQLITE:
        source = Source(source.home, path, None, source.members, source.rpc, source.contracts)
    return _verify_ledger(source, path if ARCHIVE in head else None, blobs, as_json=as_json)


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(len(SQLITE))
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from None


def _verify_proof(source: Source, file: Path, *, as_json: bool) -> int:
    if file.stat().st_size > MAX_FILE_BYTES:
        raise BadInput(f"{file}: larger than {MAX_FILE_BYTES} bytes: no proof or checkpoint")
    if source.members is not None:
        members = read_members(source.members)
    elif source.rpc or source.home:
        members = members_of(source.chain())
    else:
        raise click.UsageError(
            "give --members FILE (`medweave ledger members` writes it): proofs are checked against it"
        )
    try:
        content = _proven(file.read_bytes(), members)
    except LedgerError as error:
        content = {"verdict": str(State.FALSE), "reason": str(error)}
    if as_json:
        click.echo(json.dumps(content, indent=2))
    else:
        for name, value in content.items():
            click.echo(f"{name:<12} {(', '.join(value) if isinstance(value, list) else value) or '-'}")
    return 0 if content["verdict"] == State.VERIFIED else 1


def _proven(raw: bytes, members: Witnesses) -> dict[str, Any]:
    """What a proof or checkpoint shows, once it is verified. Raises LedgerError."""
    kinds: tuple[tuple[str, Callable[[bytes, Witnesses], dict[str, Any]]], ...] = (
        (PROOF_HEADER, _transaction_proof),
        (CONSISTENCY_HEADER, _growth_proof),
    )
    check = next((check for header, check in kinds if raw.startswith(f"{header}\n".encode())), _checkpoint)
    return check(raw, members) | {"verdict": str(State.VERIFIED)}


def _transaction_proof(raw: bytes, members: Witnesses) -> dict[str, Any]:
    proof = TransactionProof.parse(raw)
    proof.verify(members)
    tx, record = proof.transaction, proof.record
    return {
        "proves": "a transaction",
        "transaction": cid_of(tx.id),
        "kind": str(tx.kind),
        "round": tx.round,
        "issuer": f"0x{tx.issuer.hex()}",
        "hospital": members.by_address[tx.issuer].name,
        "payload": tx.payload,
        "proposal": cid_of(record.proposal),
        "model": record.model.hex(),
        "signed by": [witness.name for witness in round_witnesses(proof.note, members)],
        "log": proof.log and parse_log_head(proof.log.note.text, members.consortium).size,
        "witnesses": [witness.name for witness in log_witnesses(proof.log.note, members)] if proof.log else [],
    }


def _growth_proof(raw: bytes, members: Witnesses) -> dict[str, Any]:
    grown = LogGrowth.parse(raw)
    grown.verify(members)
    sizes = [parse_log_head(note.text, members.consortium).size for note in (grown.old, grown.new)]
    return {
        "proves": "that the log only grew",
        "from": sizes[0],
        "to": sizes[1],
        "witnesses": [witness.name for witness in log_witnesses(grown.new, members)],
    }


def _checkpoint(raw: bytes, members: Witnesses) -> dict[str, Any]:
    note = Note.parse(raw)
    if "/round/" in note.text.partition("\n")[0]:
        record, signed = RoundRecord.parse(note.text), round_witnesses(note, members)
        if record.consortium != members.consortium:
            raise BadInput(f"a checkpoint of consortium {record.consortium.hex()}, not of the members'")
        origin, size = record.head.origin, record.size
    else:
        head, signed = parse_log_head(note.text, members.consortium), log_witnesses(note, members)
        origin, size = head.origin, head.size
    verify_quorum(origin, signed, members)
    return {"proves": "a checkpoint", "origin": origin, "size": size, "witnesses": [witness.name for witness in signed]}


def _verify_ledger(source: Source, archive: Path | None, blobs: tuple[str, ...], *, as_json: bool) -> int:
    context, _, problems = chain_context(source, blobs) if source.rpc else (None, None, ())
    members = source.witnesses()
    with progress_bar(quiet=as_json) as report:
        if archive is not None:
            with archive.open("rb") as stream:
                findings = check_archive(stream, members, context, report)
        elif source.url is not None:
            with source.snapshot(quiet=as_json, chain=False) as snapshot:
                findings = check_snapshot(snapshot, (), context, report)
        else:
            with source.store() as store:
                findings = check_file(store, members, context, report)
    findings += tuple(Finding("plans", State.UNCHECKED, 0, (problem,)) for problem in problems)
    false = any(finding.state is State.FALSE for finding in findings)
    verdict = State.FALSE if false else State.VERIFIED
    if as_json:
        content = {"verdict": str(verdict), "findings": [finding.to_json() for finding in findings]}
        click.echo(json.dumps(content, indent=2))
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.state]}{finding.check:<15} {finding.count}")
            for problem in finding.problems:
                click.echo(f"      {problem}")
        open_ = [finding.check for finding in findings if finding.state is State.UNCHECKED]
        click.echo(f"ledger: {verdict}" + (f" (not checked: {', '.join(open_)})" if open_ else ""))
    return 1 if false else 0


def chain_context(source: Source, blobs: tuple[str, ...]) -> tuple[Context | None, ConsortiumView, tuple[str, ...]]:
    """What chain and plans say about the ledger's rounds; no context, but the reasons, where a plan is missing.

    Args:
        source: Names the chain.
        blobs: Where plans are besides the home.
    """
    chain = source.chain()
    view = view_of(chain)
    places = [*blobs, *([str(source.home)] if source.home else [])]
    if not places and view.rounds:
        return None, view, ("the rounds' plans are blobs: say where with --blobs DIR|URL",)
    evidence = _Blobs(open_evidence(places) if view.rounds else None)
    book = PlanBook(chain.deployment, evidence, allow_minimal=os.environ.get(TESTING_VARIABLE) == "1")
    problems = book.read_all(view)
    return None if problems else book.context(view), view, problems


class _Blobs:
    """Evidence as a source of blobs; what was found is kept in memory."""

    def __init__(self, evidence: Evidence | None) -> None:
        self._evidence = evidence
        self.store = MemoryStore()

    def obtain(self, cid: str, first: str | None = None) -> bytes:  # noqa: ARG002  (the protocol's; places are fixed)
        """See `node.storage.source.BlobSource`."""
        seen = self._evidence.look(cid) if self._evidence else None
        if seen is None or seen.data is None:
            raise BlobUnavailable(cid, ())
        self.store.put(seen.data)
        return seen.data
