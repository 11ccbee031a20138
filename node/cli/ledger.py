"""`medweave ledger`: look at a ledger, draw it, prove what it holds, check it, carry it elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dag.bodies import Kind
from dag.ids import cid_of
from node.api.shapes import plain
from node.cli.ledger_files import export, import_, prune
from node.cli.ledger_proofs import cosign, prove
from node.cli.ledger_sources import Source, find, members_of, region_of, source_options
from node.cli.ledger_verify import verify

if TYPE_CHECKING:
    from dag.store.snapshot import Snapshot

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_limit = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=200, show_default=True, help="At most so many."
)
_out = click.Path(path_type=Path, dir_okay=False)


@click.group("ledger")
def command() -> None:
    """Look at a ledger, draw it, prove what it holds, check it, carry it elsewhere.

    A ledger is read from a hospital's directory (--home, also while its node runs), from a file (--file) or from a running
    node (--url). TX is a CID, an id in hex, or the first eight or more characters of one.

    Exit codes: 0 done, or what was checked is true; 1 it is false; 2 wrong command line; 3 bad input: no such file or
    transaction; 4 a file cannot be written; 5 the node or the chain is out of reach.
    """


@command.command("members")
@source_options
@click.option("--out", "-o", type=_out, help="File to write; standard output where not given.")
@_json
def members(source: Source, out: Path | None, *, as_json: bool) -> int:
    """Write the list of members that proofs are checked against, as the chain's registry has it (JSON in any case)."""
    found = members_of(source.chain())
    if out is None:
        click.echo(found.to_json(), nl=False)
        return 0
    out.write_text(found.to_json(), encoding="utf-8")
    content = {"file": str(out), "members": len(found.members), "quorum": found.quorum}
    click.echo(json.dumps(content) if as_json else f"{out}: {len(found.members)} members, quorum {found.quorum}")
    return 0


@command.command("show")
@click.argument("tx", required=False)
@source_options
@_json
def show(source: Source, tx: str | None, *, as_json: bool) -> int:
    """Print one transaction, or, without TX, what the ledger holds."""
    with source.snapshot(quiet=as_json) as snapshot:
        content = _summary(snapshot) if tx is None else _transaction(snapshot, find(snapshot, tx))
    if as_json:
        click.echo(json.dumps(content, indent=2))
    elif tx is None:
        _print_summary(content)
    else:
        _print_transaction(content)
    return 0


@command.command("tips")
@source_options
@_json
def tips(source: Source, *, as_json: bool) -> int:
    """Print the transactions that nobody approves yet."""
    with source.snapshot(quiet=as_json) as snapshot:
        _print_rows([_row(snapshot, tx_id) for tx_id in snapshot.tangle.tips()], cut=False, as_json=as_json)
    return 0


@command.command("cone")
@click.argument("tx")
@source_options
@click.option("--future", is_flag=True, help="What approves it, instead of what it approves.")
@_limit
@_json
def cone(source: Source, tx: str, limit: int, *, future: bool, as_json: bool) -> int:
    """Print what a transaction approves, directly and indirectly, nearest first."""
    from dag.drawing.region import cone_ids

    with source.snapshot(quiet=as_json) as snapshot:
        step = snapshot.tangle.approvers if future else snapshot.tangle.parents
        found, cut = cone_ids(snapshot.tangle, find(snapshot, tx), limit, step)
        _print_rows([_row(snapshot, tx_id) for tx_id in found], cut=cut, as_json=as_json)
    return 0


@command.command("draw")
@click.argument("out", type=_out)
@source_options
@click.option("--round", "first", type=click.IntRange(0), required=True, help="Round to draw.")
@click.option("--to", "last", type=click.IntRange(0), help="Last round to draw; default: the same.")
@click.option("--colour", type=click.Choice(["kind", "round"]), default="kind", help="What fills tell apart.")
@click.option("--most", type=click.IntRange(1, 20_000), help="Thin out larger regions to so many; default 400.")
@click.option("--context", is_flag=True, help="With the transactions of other rounds that are approved directly.")
@_json
def draw(
    source: Source,
    out: Path,
    first: int,
    last: int | None,
    colour: str,
    most: int | None,
    *,
    context: bool,
    as_json: bool,
) -> int:
    """Draw one or several rounds as an SVG picture: who approved what, confirmed or not."""
    from dag.drawing.svg import describe
    from dag.drawing.svg import draw as picture
    from dag.drawing.thinning import MAX_DOTS, thin

    region = region_of(source, first, first if last is None else last, context=context, quiet=as_json)
    text = picture(region, colour=colour, most=most or MAX_DOTS)
    out.write_text(text, encoding="utf-8")
    shown = thin(region, most or MAX_DOTS)
    if as_json:
        gone = {str(kind): count for kind, count in shown.left_out}
        content = {"file": str(out), "transactions": len(region.dots), "drawn": len(shown.dots), "left_out": gone}
        click.echo(json.dumps(content))
    else:
        click.echo(f"{out}: {describe(shown, len(region.dots))}")
    return 0


command.add_command(export)
command.add_command(import_)
command.add_command(prune)
command.add_command(prove)
command.add_command(cosign)
command.add_command(verify)


def _row(snapshot: Snapshot, tx_id: bytes) -> dict[str, Any]:
    tangle = snapshot.tangle
    issuer = tangle.issuer(tx_id)
    return {
        "id": cid_of(tx_id),
        "hex": tx_id.hex(),
        "kind": str(tangle.kind(tx_id)),
        "round": tangle.round(tx_id),
        "hospital": snapshot.names.get(issuer),
        "depth": tangle.depth(tx_id),
        "approved_by": tangle.approval_weight(tx_id),
        "confirmed": tangle.kind(tx_id) is Kind.GENESIS or tangle.is_confirmed(tx_id),
    }


def _transaction(snapshot: Snapshot, tx_id: bytes) -> dict[str, Any]:
    tx = snapshot.get(tx_id)
    return _row(snapshot, tx_id) | {
        "epoch": tx.epoch,
        "sequence": tx.sequence,
        "issuer": f"0x{tx.issuer.hex()}" if tx.parents else None,
        "parents": [cid_of(parent) for parent in tx.parents],
        "approvers": [cid_of(child) for child in snapshot.tangle.approvers(tx_id)],
        "payload": tx.payload,
        "body": {field.name: plain(getattr(tx.body, field.name)) for field in fields(tx.body)},
        "signature": tx.signature.hex(),
        "bytes": len(tx.raw),
    }


def _summary(snapshot: Snapshot) -> dict[str, Any]:
    tangle = snapshot.tangle
    rounds: dict[int, Counter[str]] = {}
    for tx_id in tangle.ids():
        count = rounds.setdefault(tangle.round(tx_id), Counter())
        count["transactions"] += 1
        count["confirmed"] += tangle.kind(tx_id) is Kind.GENESIS or tangle.is_confirmed(tx_id)
        count[str(tangle.kind(tx_id))] += 1
    return {
        "where": snapshot.where,
        "consortium": snapshot.members.consortium.hex(),
        "transactions": len(snapshot),
        "tips": len(tangle.tips()),
        "quorum": tangle.quorum,
        "members_known": snapshot.members_known,
        "members": [
            {"index": m.index, "name": m.name, "account": f"0x{m.address.hex()}", "faulty": tangle.is_faulty(m.index)}
            for m in snapshot.members.members
        ],
        "rounds": [{"round": number, **rounds[number]} for number in sorted(rounds)],
    }


def _print_summary(content: dict[str, Any]) -> None:
    known = "" if content["members_known"] else " (everybody who posted; name the members with --members or --rpc)"
    click.echo(f"{content['where']}  consortium {content['consortium']}")
    click.echo(f"  {content['transactions']} transactions, {content['tips']} tips, quorum {content['quorum']}{known}")
    for member in content["members"]:
        faulty = "  contradicted itself: counts for nothing" if member["faulty"] else ""
        click.echo(f"  {member['index']:>3}  {member['account']}  {member['name']}{faulty}")
    for row in content["rounds"]:
        kinds = ", ".join(f"{row[kind]} {kind}" for kind in map(str, Kind) if row.get(kind))
        click.echo(f"  round {row['round']}: {row['transactions']} ({row['confirmed']} confirmed): {kinds}")


def _print_transaction(content: dict[str, Any]) -> None:
    state = "confirmed" if content["confirmed"] else "not confirmed"
    click.echo(f"{content['kind']} of round {content['round']}  {content['id']}")
    click.echo(f"  hex        {content['hex']}")
    click.echo(f"  issuer     {content['issuer'] or '-'}  {content['hospital'] or ''}")
    click.echo(f"  state      {state}: approved by {content['approved_by']} members, depth {content['depth']}")
    click.echo(f"  epoch      {content['epoch']}   sequence {content['sequence']}   {content['bytes']} bytes")
    for name in ("parents", "approvers"):
        for cid in content[name]:
            click.echo(f"  {name[:-1]:<10} {cid}")
    click.echo(f"  payload    {content['payload'] or '-'}")
    for name, value in content["body"].items():
        click.echo(f"  {name:<18} {json.dumps(value)}")


def _print_rows(rows: list[dict[str, Any]], *, cut: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"transactions": rows, "complete": not cut}, indent=2))
        return
    for row in rows:
        state = "confirmed" if row["confirmed"] else f"approved by {row['approved_by']}"
        click.echo(
            f"{row['id']}  {row['kind']:<15} round {row['round']:<5} {state:<15} {row['hospital'] or ''}".rstrip()
        )
    if cut:
        click.echo(f"… more than {len(rows)}: raise --limit", err=True)
