"""`medweave audit export` and `verify`: an audit as one file that needs no network."""

from __future__ import annotations

import json
from pathlib import Path

import click

from node.cli.audit_output import Output, output_options
from node.cli.audit_sources import Places, Question, cards_of, cards_option, examine, model_of, place_options

_file = click.Path(path_type=Path, dir_okay=False)


@click.command("export")
@click.argument("out", type=_file)
@click.option("--model", help="Model file, or its hash; default: the chain's newest model.")
@click.option("--force", is_flag=True, help="Write over an existing file.")
@cards_option
@place_options(bundle=False)
@output_options(page=False)
def export(
    *, places: Places, output: Output, out: Path, model: str | None, force: bool, cards: tuple[Path, ...]
) -> int:
    """Audit a model and write all that the audit read into one file, OUT, which `verify` checks anywhere.

    Prints the hash of the block up to which it tells the chain: whoever verifies the file needs it from a source it trusts.
    Exit codes are the audit's; the file is written whatever the audit finds.
    """
    from node.audit.bundle.export import export as write

    places.check()
    if out.exists() and not force:
        raise click.UsageError(f"{out} exists: name another file, or give --force")
    wanted, data = model_of(model, places.run)
    shown = cards_of(cards)
    with output.bar() as progress, places.chain() as chain:
        made = write(chain, places.evidence(), wanted, out, model_file=data, cards=shown, progress=progress)
    content = {
        "file": str(out),
        "bytes": made.size,
        "entries": made.entries,
        "blocks": made.blocks,
        "block": made.manifest.number,
        "header": f"0x{made.manifest.head.hex()}",
        "verdict": made.report.verdict,
    }
    if output.as_json:
        click.echo(json.dumps(content, indent=2))
        return made.report.exit_code
    click.echo(f"{out}: {made.size:,} bytes, {made.entries} blobs and envelopes, {made.blocks} blocks")
    click.echo(f"block {made.manifest.number} has hash 0x{made.manifest.head.hex()}")
    broken = made.report.first_broken
    click.echo(f"audit: {made.report.verdict}" + ("" if broken is None else f" ({broken.line()})"))
    return made.report.exit_code


@click.command("verify")
@click.argument("bundle", metavar="FILE", type=_file)
@click.option("--header", help="Hash of its last block, from a source you trust.")
@click.option("--contracts", type=_file, help="The consortium's own record of its contracts (consortium.json).")
@click.option("--model", help="Model file, or its hash; default: the one the bundle is about.")
@cards_option
@output_options()
def verify(
    *,
    bundle: Path,
    header: str | None,
    contracts: Path | None,
    model: str | None,
    output: Output,
    cards: tuple[Path, ...],
) -> int:
    """Audit the bundle FILE: no network, no key. Without --header and --contracts nothing is verified, only falsified.

    The block hash and the contracts' record are what you trust: take them from a node, an explorer or a paper you believe,
    not from whoever gave you the file.
    """
    wanted, data = model_of(model, None)
    places = Places(bundle=bundle, header=header, contracts=contracts)
    with output.bar() as progress:
        report = examine(places, Question(wanted, data, cards_of(cards)), progress)
    return output.show(report)
