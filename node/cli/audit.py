"""`medweave audit`: where a model came from, checked with chain and blobs alone. No key is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from node.cli.audit_bundle import export, verify
from node.cli.audit_compare import consistency, equivocations
from node.cli.audit_output import Output, output_options
from node.cli.audit_sources import Places, Question, cards_of, cards_option, examine, model_of, place_options

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.group("audit", invoke_without_command=True)
@click.option("--model", help="Model file, or its hash (64 hex digits); default: the chain's newest model.")
@place_options()
@output_options()
@click.pass_context
def command(ctx: click.Context, *, places: Places, output: Output, model: str | None) -> int:
    """Check where a model came from: every update, sum, signature and parent, from chain and blobs alone.

    Without a command this is `medweave audit model`.

    Exit codes: 0 verified; 1 falsified, naming the first broken link and where; 2 could not be checked, or a wrong command
    line; 3 unusable input; 4 the machine lacks something.
    """
    if ctx.invoked_subcommand is None:
        return _model(places, output, model)
    if places != Places() or output != Output() or model is not None:
        raise click.UsageError(f"options belong behind the command: medweave audit {ctx.invoked_subcommand} …")
    return 0


@command.command("model")
@click.argument("model", required=False)
@cards_option
@place_options()
@output_options()
def model(*, places: Places, output: Output, model: str | None, cards: Sequence[Path]) -> int:
    """Audit MODEL, a file or a hash (64 hex digits), with every round that led to it; default: the chain's newest."""
    return _model(places, output, model, cards)


@command.command("round")
@click.argument("number", metavar="R", type=click.IntRange(1))
@cards_option
@place_options()
@output_options()
def round_(*, places: Places, output: Output, number: int, cards: Sequence[Path]) -> int:
    """Audit one finalised round R, and the lineage of its model."""
    return _examine(places, output, Question(cards=cards_of(cards), scope=_scope(only=number)))


@command.command("lineage")
@click.argument("model", required=False)
@place_options()
@output_options()
def lineage(*, places: Places, output: Output, model: str | None) -> int:
    """Check the chain, MODEL's ancestors up to the first model, and the seeds of all rounds; no round's content."""
    wanted, _ = model_of(model, None)
    return _examine(places, output, Question(wanted, scope=_scope(rounds=False)))


command.add_command(export)
command.add_command(verify)
command.add_command(consistency)
command.add_command(equivocations)


def _model(places: Places, output: Output, text: str | None, cards: Sequence[Path] = ()) -> int:
    wanted, data = model_of(text, places.run)
    return _examine(places, output, Question(wanted, data, cards_of(cards)))


def _examine(places: Places, output: Output, question: Question) -> int:
    places.check()
    with output.bar() as progress:
        report = examine(places, question, progress)
    return output.show(report)


def _scope(**options: Any) -> Any:
    from node.audit import Scope

    return Scope(**options)
