"""`medweave audit consistency` and `equivocations`: whether two were shown one history, and who contradicted itself."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dag.bodies import Kind
from dag.equivocation import EquivocationProof
from dag.errors import LedgerError
from dag.proofs.checkpoint import log_witnesses, parse_log_head, verify_quorum
from dag.proofs.proof import LogGrowth
from dag.proofs.roundlog import RoundLog
from dag.store.archive import Archive
from dag.store.snapshot import Snapshot
from dag.transaction import Transaction
from node.audit.bundle.form import Bundle
from node.audit.bundle.rounds import facts_of, records_of, transactions_of
from node.audit.consistency import LogView, compare
from node.audit.equivocations import Collected, collect
from node.cli.audit_output import Output, output_options
from node.cli.ledger_proofs import read_note
from node.cli.ledger_sources import Source, read_members
from node.cli.ledger_verify import ARCHIVE, SQLITE
from node.consortium.view import address_bytes
from node.errors import BadInput

if TYPE_CHECKING:
    from node.audit.chainside import ChainFacts

ZIP = b"PK\x03\x04"
_plain = click.Path(path_type=Path, dir_okay=False)


@dataclass
class Found:
    """What one source holds of the ledger."""

    transactions: list[Transaction] = field(default_factory=list)
    proofs: list[EquivocationProof] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    names: dict[bytes, str] = field(default_factory=dict)


@click.command("consistency")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--members", type=_plain, help="List of members (`medweave ledger members`), for ledgers and checkpoints."
)
@click.option("--proof", type=_plain, help="Proof between two checkpoints (`medweave ledger prove --since`).")
@output_options(page=False)
def consistency(*, a: str, b: str, members: Path | None, proof: Path | None, output: Output) -> int:
    """Tell whether the log of finalised rounds in A is the beginning of B's, or the other way round.

    A and B are each a bundle, a hospital's directory, a ledger file or an exported one, a node's address, or a checkpoint (a
    signed head of the log). Of a difference the round is named: then two were shown different histories.

    Exit codes: 0 consistent; 1 not; 2 cannot be told from these two; 3 a source cannot be read.
    """
    result = compare(_view(a, members), _view(b, members), _path(proof))
    click.echo(json.dumps(result.to_json(), indent=2) if output.as_json else result.to_text())
    return result.exit_code


@click.command("equivocations")
@click.argument("sources", metavar="SOURCE…", nargs=-1, required=True)
@click.option("--members", type=_plain, help="List of members, for their names.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Directory to write the proofs into.")
@output_options(page=False)
def equivocations(*, sources: tuple[str, ...], members: Path | None, out: Path | None, output: Output) -> int:
    """Find members that contradicted themselves, within each SOURCE and between them, and verify the proofs kept there.

    A source is a bundle, a hospital's directory, a ledger file or an exported one, a node's address, or a proof. Each proof is
    two transactions signed by one member that no honest member signs both; it convinces whoever knows the member's address.

    Exit codes: 0 nobody did; 1 somebody did; 2 something could not be read; 3 a source is none.
    """
    found = Found()
    for text in sources:
        _gather(text, found)
    names = {witness.address: witness.name for witness in read_members(members).members} if members else {}
    collected = collect(found.transactions, found.proofs, found.names | names)
    collected = replace(collected, unread=(*collected.unread, *found.unread))
    if out is not None:
        _write(collected, out)
    _print(collected, as_json=output.as_json)
    return collected.exit_code


def _view(text: str, members: Path | None) -> LogView:
    """The log in one source.

    Raises:
        BadInput: It is none, or its members are not known.
    """
    path = Path(text)
    head = _head(path)
    if head.startswith(ZIP):
        with Bundle(path) as bundle:
            facts = facts_of(bundle)
            return LogView.of(text, facts.deployment.consortium, records_of(bundle, facts))
    if head and head != SQLITE and ARCHIVE not in head:
        return _checkpoint(path, members)
    with ExitStack() as stack:
        if ARCHIVE in head:
            found = Found()
            _read_archive(path, found)
            snapshot = Snapshot.of_transactions(found.transactions, text, read_members(members) if members else None)
        else:
            snapshot = stack.enter_context(_source(text, members).snapshot(quiet=True))
        if not snapshot.members_known:
            raise BadInput(f"{text}: who is a member is not known: give --members FILE")
        log = RoundLog.read(snapshot.tangle, snapshot.transactions(Kind.CHECKPOINT), snapshot.members)
        return LogView.of(text, snapshot.members.consortium, tuple(one.record for one in log.rounds))


def _checkpoint(path: Path, members: Path | None) -> LogView:
    """A signed head of the log, believed if a quorum signed it."""
    note = read_note(path)
    if members is None:
        raise BadInput(f"{path}: give --members FILE: a checkpoint is worth what its signatures are")
    known = read_members(members)
    try:
        head = parse_log_head(note.text, known.consortium)
        verify_quorum(head.origin, log_witnesses(note, known), known)
    except LedgerError as error:
        raise BadInput(f"{path}: {error}") from None
    return LogView(str(path), known.consortium, head.size, head.root)


def _path(proof: Path | None) -> tuple[bytes, ...]:
    """The digests of a proof of growth; none where no file was named."""
    if proof is None:
        return ()
    try:
        return LogGrowth.parse(proof.read_bytes()).path
    except (OSError, LedgerError) as error:
        raise BadInput(f"{proof}: no proof that a log grew: {error}") from None


def _gather(text: str, found: Found) -> None:
    """Take in what a source holds."""
    path = Path(text)
    head = _head(path)
    if head.startswith(ZIP):
        with Bundle(path) as bundle:
            facts = facts_of(bundle)
            found.names |= _names(facts)
            found.transactions += transactions_of(bundle, facts)
    elif ARCHIVE in head:
        _read_archive(path, found)
    elif head and head != SQLITE:
        found.proofs.append(_proof(path))
    else:
        source = _source(text, None)
        with source.snapshot(quiet=True) as snapshot:
            found.transactions += snapshot.transactions()
            found.names |= {witness.address: witness.name for witness in snapshot.members.members}
        if source.url is None:
            with source.store() as store:
                found.proofs += (EquivocationProof.decode(raw) for raw in store.evidence())


def _proof(path: Path) -> EquivocationProof:
    try:
        return EquivocationProof.decode(path.read_bytes())
    except (OSError, LedgerError) as error:
        raise BadInput(f"{path}: neither a bundle, a ledger, nor a proof of equivocation: {error}") from None


def _read_archive(path: Path, found: Found) -> None:
    """An exported ledger; of a damaged one what comes before the damage."""
    try:
        with path.open("rb") as stream:
            for block in Archive(stream).blocks():
                if block.raw[:1] == b"\xa2":
                    found.proofs.append(EquivocationProof.decode(block.raw))
                else:
                    found.transactions.append(Transaction.decode(block.raw))
    except LedgerError as error:
        found.unread.append(f"{path}: {error}")


def _names(facts: ChainFacts) -> dict[bytes, str]:
    named = {address_bytes(hospital.account): hospital.name for hospital in facts.view.hospitals}
    return named | {account: facts.view.hospitals[seat].name for account, seat in facts.view.seats.items()}


def _source(text: str, members: Path | None) -> Source:
    """A ledger to be read as `medweave ledger` does."""
    path = Path(text)
    if text.startswith(("http://", "https://")):
        return Source(None, None, text, members, None, None)
    if path.is_dir():
        return Source(path, None, None, members, None, None)
    return Source(None, path, None, members, None, None)


def _head(path: Path) -> bytes:
    """The first bytes of a file; nothing for what is none."""
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as stream:
            return stream.read(len(SQLITE))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from None


def _write(collected: Collected, out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        for one in collected.equivocations:
            name = f"{one.proof.issuer.hex()}-{one.proof.first.id.hex()[:16]}-{one.proof.second.id.hex()[:16]}.proof"
            (out / name).write_bytes(one.proof.encode())
    except OSError as error:
        raise BadInput(f"{out}: cannot be written: {error.strerror or error}") from None


def _print(collected: Collected, *, as_json: bool) -> None:
    if as_json:
        content = {
            "transactions": collected.transactions,
            "equivocations": [one.to_json() for one in collected.equivocations],
            "unread": list(collected.unread),
        }
        click.echo(json.dumps(content, indent=2))
        return
    for one in collected.equivocations:
        row = one.to_json()
        known = "proof kept" if one.kept else "found here"
        click.echo(f"round {row['round']}: {row['member']} {row['name']}: {row['why']} ({known})")
        click.echo(f"    {row['first']}\n    {row['second']}")
    for problem in collected.unread:
        click.echo(f"not read: {problem}")
    members = len({one.proof.issuer for one in collected.equivocations})
    click.echo(
        f"equivocations: {len(collected.equivocations)} by {members} members, in {collected.transactions} transactions"
    )
