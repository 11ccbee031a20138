"""`medweave ledger prove` and `cosign`: files that convince without a network, and heads of the log that members sign."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dag.bodies import Kind
from dag.errors import LedgerError
from dag.ids import cid_of
from dag.proofs.checkpoint import log_witnesses
from dag.proofs.notes import Note
from dag.proofs.roundlog import RoundLog
from node.calling.member import member_dialer
from node.cli.ledger_sources import Remote, Source, find, members_of, source_options, view_of
from node.cli.options import password_options, read_password
from node.errors import BadInput, PeerProblem
from node.home import Home, unlock_identity
from node.publishing.witness import Cosigner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dag.store.snapshot import Snapshot
    from node.consortium.view import ConsortiumView
    from node.home import Identity

ASK_SECONDS = 10.0
"""For one member's node."""

_file = click.Path(path_type=Path, dir_okay=False)
_out = click.option("--out", "-o", type=_file, required=True, help="File to write.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("prove")
@click.argument("tx", required=False)
@source_options
@_out
@click.option(
    "--checkpoint", type=_file, help="Head of the log to reach; default: the home's, once a quorum signed it."
)
@click.option("--since", type=_file, help="Instead of TX: an older head, to prove that the log only grew.")
@_json
def prove(
    source: Source, tx: str | None, out: Path, checkpoint: Path | None, since: Path | None, *, as_json: bool
) -> int:
    """Write a proof that a finalised round holds TX, or that the log only grew (--since OLD --checkpoint NEW).

    The proof needs no network, chain or node: `medweave ledger verify FILE --members members.json`.
    """
    if (tx is None) == (since is None) or (since is not None and checkpoint is None):
        raise click.UsageError("give TX, or --since OLD and --checkpoint NEW")
    with _log(source, quiet=as_json) as (snapshot, log):
        if since is not None and checkpoint is not None:
            grown = log.grown(read_note(since), read_note(checkpoint))
            grown.verify(log.witnesses)
            raw, content = grown.render(), {"file": str(out), "log": True}
        else:
            wanted = find(snapshot, tx or "")
            head = read_note(checkpoint) if checkpoint else _held(source, log, wanted)
            proof = log.prove(snapshot.get(wanted), head)
            proof.verify(log.witnesses)
            raw = proof.render()
            content = {"file": str(out), "transaction": cid_of(wanted), "log": proof.log is not None}
    out.write_bytes(raw)
    if as_json:
        click.echo(json.dumps(content | {"bytes": len(raw)}))
    else:
        reach = "and to a witnessed head of the log" if content["log"] else "signed by members' checkpoint transactions"
        click.echo(
            f"{out}: {len(raw):,} bytes, a path to the round's root {reach}" if tx else f"{out}: {len(raw):,} bytes"
        )
    return 0


@click.command("cosign")
@source_options
@password_options
@click.option("--out", "-o", type=_file, help="File to write; standard output where not given.")
@click.option("--rounds", type=click.IntRange(1), help="Sign the head of so many rounds; default: all finalised ones.")
@click.option("--add", multiple=True, type=_file, help="Head that others signed; their signatures are taken over.")
@click.option("--collect", is_flag=True, help="Ask the members' nodes for their signatures under the same head.")
@_json
def cosign(
    source: Source,
    password_file: Path | None,
    password_fd: int | None,
    out: Path | None,
    rounds: int | None,
    add: tuple[Path, ...],
    *,
    collect: bool,
    as_json: bool,
) -> int:
    """Sign the head of the log of finalised rounds as a witness (needs --home, its password and its chain).

    The log is derived from this hospital's own ledger and the chain, and is refused where it does not contain the head that
    was signed last. Nodes serve what their hospital signed: once the others have run this too, --collect gathers a quorum. Or
    pass the file on, and each adds its line with --add, under the same head.
    """
    if source.home is None:
        raise click.UsageError("give --home DIR: a member signs for itself")
    others = [read_note(path) for path in add]
    with _log(source, chain=True) as (_, log):
        identity = unlock_identity(Home(source.home), read_password(password_file, password_fd))
        if identity.address not in log.witnesses.by_address:
            raise BadInput(f"{source.home}: its account 0x{identity.address.hex()} is no member of the consortium")
        found = _collected(source, log, identity) if collect else []
        note = _signed(source.home, log, identity.private_key, rounds, others, found)
    if out is not None:
        out.write_text(note.render(), encoding="utf-8")
    names = [witness.name for witness in log_witnesses(note, log.witnesses)]
    quorum, size = log.witnesses.quorum, log.verified_size(note)
    if as_json:
        content = {"checkpoint": note.render(), "rounds": size, "signed_by": names, "quorum": quorum}
        click.echo(json.dumps(content))
    elif out is None:
        click.echo(note.render(), nl=False)
    click.echo(f"{size} rounds, signed by {len(names)} ({', '.join(names)}); {quorum} convince", err=True)
    return 0


def read_note(path: Path) -> Note:
    """The signed note in a file.

    Raises:
        BadInput: It cannot be read, or is no note.
    """
    try:
        return Note.parse(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except LedgerError as error:
        raise BadInput(f"{path}: {error}") from None


@contextmanager
def _log(source: Source, *, chain: bool = False, quiet: bool = False) -> Iterator[tuple[Snapshot, RoundLog]]:
    """The ledger and its log; which rounds are final is the chain's word where it is known.

    Args:
        source: Where to read.
        chain: Insist on the chain, even if a list of members is given.
        quiet: Show no progress.
    """
    asked = source.chain() if chain or source.rpc else None
    view = view_of(asked) if asked else None
    with source.snapshot(quiet=quiet) as snapshot:
        members = members_of(asked) if asked else snapshot.members
        if not asked and not snapshot.members_known:
            raise BadInput("who is a member is not known: give --members FILE, or --rpc URL and --contracts FILE")
        checkpoints = snapshot.transactions(Kind.CHECKPOINT)
        yield snapshot, RoundLog.read(snapshot.tangle, checkpoints, members, _anchored(view) if view else None)


def _anchored(view: ConsortiumView) -> Mapping[int, bytes]:
    """The proposals that finalised rounds carried out."""
    return {row.round: row.proposal for row in view.rounds.values() if row.finalised and row.proposal is not None}


def _held(source: Source, log: RoundLog, wanted: bytes) -> Note | None:
    """The home's own head of the log, where a quorum signed it and it covers the transaction."""
    path = Home(source.home).checkpoint if source.home else None
    if path is None or not path.is_file():
        return None
    note = read_note(path)
    place = next((at for at, one in enumerate(log.rounds) if wanted in one.ids), len(log.rounds))
    if len(log_witnesses(note, log.witnesses)) < log.witnesses.quorum or log.verified_size(note) <= place:
        return None
    return note


def _collected(source: Source, log: RoundLog, identity: Identity) -> list[Note]:
    """The heads that members' nodes serve. What does not fit is said and left out: no node can keep another from signing."""
    heads = []
    chain, home = source.chain(), Home(source.home or Path())
    dialer = member_dialer(home, home.config(), identity.private_key, chain.deployment.consortium)
    for hospital in view_of(chain).hospitals:
        if not hospital.url:
            continue
        try:
            with dialer.client(ASK_SECONDS) as http:
                note = Remote(hospital.url, http).checkpoint()
            log.verified_size(note)
            log_witnesses(note, log.witnesses)
        except (LedgerError, PeerProblem) as error:
            click.echo(f"note: {hospital.name}: {error}", err=True)
        else:
            heads.append(note)
    return heads


def _signed(
    home: Path, log: RoundLog, private_key: bytes, rounds: int | None, others: list[Note], collected: list[Note]
) -> Note:
    """The head with this member's line and the others'; it is on disk before anybody sees it."""
    path = Home(home).checkpoint
    before = [read_note(path)] if path.is_file() else []
    for note in (*before, *others):
        log.verified_size(note)  # a head that is no prefix of this log is a split view: nothing is signed
        log_witnesses(note, log.witnesses)
    size = rounds or (log.verified_size(others[0]) if others else len(log.rounds))
    if not 1 <= size <= len(log.rounds):
        raise BadInput(f"--rounds {size}: {len(log.rounds)} rounds are final")
    return Cosigner(path, private_key).sign(log, size, int(time.time()), (*others, *collected))
