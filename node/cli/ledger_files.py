"""`medweave ledger export`, `import` and `prune`: the ledger as a file, and the room it takes."""

from __future__ import annotations

import functools
import json
import os
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dag.drawing.graphml import to_graphml
from dag.ids import cid_of
from dag.ledger import Ledger
from dag.store.archive import export as write_archive
from dag.store.archive import load
from dag.store.pruning import Pruning
from dag.store.sqlite import Store
from node.cli.ledger_sources import Source, progress_bar, region_of, source_options
from node.cli.ledger_verify import chain_context
from node.errors import BadEnvironment, BadInput, PeerProblem
from node.home import Home
from node.publishing.pruning import Freed, anchored_by, delete, mark
from node.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node.cli.ledger_sources import Report
    from node.consortium.view import ConsortiumView

_file = click.Path(path_type=Path, dir_okay=False)
_home = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The hospital's directory; its node stopped.",
)
keep_option = click.option(
    "--keep",
    type=click.IntRange(1),
    required=True,
    help="Rounds whose ciphertexts stay, the newest final one included.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command("export")
@click.argument("out", type=_file, required=False)
@source_options
@click.option("--graphml", type=_file, help="Write the graph as GraphML, for networkx, Gephi and the like.")
@click.option("--round", "first", type=click.IntRange(0), help="With --graphml: only from this round on.")
@click.option("--to", "last", type=click.IntRange(0), help="With --graphml: only up to this round.")
@_json
def export(
    source: Source, out: Path | None, graphml: Path | None, first: int | None, last: int | None, *, as_json: bool
) -> int:
    """Write the whole ledger to OUT, a CAR file that `import` and IPFS tools read; or, with --graphml, its graph."""
    if out is None and graphml is None:
        raise click.UsageError("give OUT, or --graphml FILE")
    content: dict[str, object] = {}
    if out is not None:
        content |= _archive(source, out, quiet=as_json)
    if graphml is not None:
        region = region_of(source, first or 0, 2**53 - 1 if last is None else last, quiet=as_json)
        graphml.write_text(to_graphml(region), encoding="utf-8")
        approvals = sum(len(dot.parents) for dot in region.dots)
        content |= {"graphml": str(graphml), "transactions": len(region.dots), "approvals": approvals}
    if as_json:
        click.echo(json.dumps(content))
    else:
        click.echo("  ".join(f"{name} {value}" for name, value in content.items()))
    return 0


def _archive(source: Source, out: Path, *, quiet: bool) -> dict[str, object]:
    """Writes beside the file and renames: what stands under its name is whole."""
    partial = out.with_name(out.name + ".part")
    try:
        with source.store() as store, partial.open("wb") as stream, progress_bar(quiet=quiet) as report:
            made = write_archive(store, stream, _step(report, "exporting"))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return {
        "file": str(out),
        "transactions": made.transactions,
        "proofs": made.proofs,
        "digest": made.digest.hex(),
        "bytes": out.stat().st_size,
    }


@click.command("import")
@click.argument("file", type=_file)
@_home
@_json
def import_(file: Path, home: Path, *, as_json: bool) -> int:
    """Take the transactions of an exported FILE into a hospital's ledger, each through the same rules as a peer's.

    Needs the home's chain and plans. May be broken off and run again. Exit code 1: some transactions may not enter.
    """
    try:
        stream = file.open("rb")
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from None
    with stream, _writing(home) as (ledger, _, _), progress_bar(quiet=as_json) as report:
        done = load(ledger, stream, _step(report, "importing"))
    refused = [{"id": cid_of(tx_id), "reason": str(error)} for tx_id, error in done.refused]
    if as_json:
        click.echo(json.dumps({"attached": done.attached, "known": done.known, "refused": refused}, indent=2))
    else:
        click.echo(f"{file}: {done.attached} attached, {done.known} known before, {len(refused)} refused")
        for row in refused[:20]:
            click.echo(f"  {row['id']}: {row['reason']}")
    return 1 if refused else 0


@click.command("prune")
@_home
@keep_option
@_json
def prune(home: Path, keep: int, *, as_json: bool) -> int:
    """Delete this hospital's copies of ciphertexts of old rounds. Transactions, proofs and statements always stay.

    Counted back from the newest round that is final on chain and whose checkpoint a quorum approves. Whoever audits an old
    round needs its ciphertexts from somebody else then.
    """
    freed = prune_home(home, keep)
    click.echo(json.dumps(freed.content) if as_json else freed.line)
    return 0


def prune_home(home: Path, keep: int) -> Freed:
    """Delete a hospital's copies of ciphertexts older than `keep` rounds; its node must be stopped.

    Raises:
        BadEnvironment: The hospital's node runs.
        BadInput: There is no such hospital, or nothing to prune below.
    """
    place = Home(home)
    with _writing(home) as (ledger, store, view):
        marked = mark(ledger, store, anchored_by(view), keep)
        if marked is None:
            raise BadInput(f"{home}: no final round has a checkpoint that a quorum approves; nothing to prune below")
        freed = delete(open_store(place.blobs, place.config().storage), marked)
        Pruning(ledger, store).gone(marked.cids)
    return freed


@contextmanager
def _writing(home: Path) -> Iterator[tuple[Ledger, Store, ConsortiumView]]:
    """A hospital's ledger, open for writing, with the rules as chain and plans have them.

    Raises:
        BadEnvironment: The hospital's node runs.
        BadInput: There is no such hospital.
        PeerProblem: A plan cannot be read.
    """
    place = Home(home)
    config = place.config()
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex((config.hospital.host, config.hospital.port)) == 0:
            where = f"{config.hospital.host}:{config.hospital.port}"
            raise BadEnvironment(
                f"something answers at {where}, where this hospital's node listens: stop the node first"
            )
    source = Source(home, None, None, None, config.chain.rpc, None)
    context, view, problems = chain_context(source, ())
    if context is None:
        raise PeerProblem("; ".join(problems))
    with Store(place.ledger) as store:
        yield Ledger(store, lambda: context), store, view


def _step(report: Report | None, what: str) -> Callable[[int, int], None] | None:
    return functools.partial(report, what) if report else None
