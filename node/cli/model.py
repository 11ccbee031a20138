"""`medweave model`: the models on chain, their signed statements, and a card that says what a model is."""

from __future__ import annotations

import functools
import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.audit_sources import Places, model_of, place_options
from node.errors import BadInput
from node.rounds.sections import parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from chain.deployment import Deployment
    from node.audit.evidence import Evidence
    from node.consortium.records import ModelView, RoundView
    from node.consortium.view import ConsortiumView
    from node.provenance.forms import Form
    from node.provenance.story import RoundStory, Shelf, Story

FORMATS = ("md", "html", "json")


@click.group("model")
def command() -> None:
    """Look at the models on chain: their rounds, statements, signatures and cards. No key is needed.

    MODEL is a file, or a hash (64 hex digits); default: the chain's newest model.

    Exit codes: 0 done; 1 something at hand is not what the chain says; 2 something is not at hand, or a wrong command line;
    3 unusable input, or no such model; 5 the chain is out of reach.
    """


def source_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where to read, as one `Places`: those of `medweave audit`, or a hospital's directory."""

    @place_options(bundle=False)
    @click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="A hospital's directory: all is there.",
    )
    @functools.wraps(function)
    def run(*, places: Places, home: Path | None, **values: Any) -> Any:
        places = places if home is None else _at_home(places, home)
        places.check()
        return function(places=places, **values)

    return run


def _at_home(places: Places, home: Path) -> Places:
    from node.home import Home

    place = Home(home)
    chain = place.config().chain
    return replace(
        places,
        rpc=places.rpc or chain.rpc,
        blobs=(str(home), *places.blobs),
        contracts=places.contracts or place.file(chain.deployment),
    )


@dataclass(frozen=True)
class Look:
    """The chain as it is now, and where blobs come from."""

    view: ConsortiumView
    deployment: Deployment
    shelf: Shelf


class Gathered:
    """`Shelf` over the places a reader named."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence

    def blob(self, cid: str) -> bytes | None:
        """See `Shelf.blob`."""
        return self._evidence.look(cid).data

    def envelope(self, number: int) -> bytes | None:
        """See `Shelf.envelope`."""
        return self._evidence.envelope(number)


@contextmanager
def _look(places: Places) -> Iterator[Look]:
    """What the places hold.

    Raises:
        MedweaveError: A place cannot be read at all.
        ChainError: The chain cannot be reached, or is another one.
    """
    from node.cli.reader import Reader

    evidence = places.evidence()
    with places.chain() as chain:
        yield Look(Reader.at(chain).view, chain.deployment, Gathered(evidence))


@command.command("list")
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(*, places: Places, as_json: bool) -> None:
    """List the lineage, first model first: round, hash, members who signed, whether statement and envelope are at hand."""
    with _look(places) as look:
        rows = [_row(look, model) for model in look.view.models.values()]
    if as_json:
        click.echo(json.dumps({"models": rows}, indent=2))
        return
    click.echo(f"{'round':>5}  {'model':<64}  {'signed':>6}  {'statement':<9}  envelope")
    for row in rows:
        here = ("yes" if row[name] else "no" for name in ("statement_here", "envelope_here"))
        click.echo("{:>5}  {}  {:>6}  {:<9}  {}".format(row["round"], row["model"], row["signers"], *here))


def _row(look: Look, model: ModelView) -> dict[str, Any]:
    from node.storage import raw_cid

    row = look.view.rounds.get(model.round)
    stated = model.round > 0
    return {
        "round": model.round,
        "model": model.model.hex(),
        "parent": model.parent.hex() if any(model.parent) else None,
        "statement": model.statement.hex() if stated else None,
        "signers": row.signers.bit_count() if row else 0,
        "statement_here": stated and look.shelf.blob(raw_cid(model.statement)) is not None,
        "envelope_here": stated and look.shelf.envelope(model.round) is not None,
    }


@command.command("show")
@click.argument("model", required=False)
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON: everything a card is made of.")
def show(*, places: Places, model: str | None, as_json: bool) -> None:
    """Show MODEL: what it is, its rounds and how members scored them."""
    story = _story(places, model)
    if as_json:
        click.echo(json.dumps(story.to_json(), indent=2))
        return
    from node.provenance.card import NOTICE, plain

    click.echo(f"model {story.model}, made in round {story.made_in}, {len(story.rounds)} finalised rounds")
    if story.plan is not None:
        click.echo(plain(f"plan {story.plan.name}: {story.plan.architecture}, classes {', '.join(story.plan.classes)}"))
    for line in map(_round_line, story.rounds):
        click.echo(plain(line))
    if story.after is not None:
        click.echo(f"this model, scored by {story.after.members} members of the next round: {story.after.mean:.3f}")
    click.echo(NOTICE)


def _round_line(story: RoundStory) -> str:
    groups = "; ".join(
        ", ".join(f"{g.size} updates {g.score.mean:.3f}{'' if g.accepted else ' left out'}" for g in part)
        for part in parts(story.groups, story.sections)
    )
    signed = f"envelope signed by {story.signers}" if story.envelope else "no envelope at hand"
    return f"round {story.number}: led by {story.leader}; before {story.before.mean:.3f}; groups {groups}; {signed}"


@command.command("statement")
@click.argument("model", required=False)
@source_options
@click.option(
    "--envelope", "enveloped", is_flag=True, help="The signed envelope (DSSE), verified; not the statement alone."
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; default: standard output.")
@click.option("--json", "as_json", is_flag=True, help="Say as JSON what was checked; the bytes go to --out.")
def statement(*, places: Places, model: str | None, enveloped: bool, out: Path | None, as_json: bool) -> None:
    """Give MODEL's statement, byte for byte as the chain names it, or the envelope in which a quorum signed it."""
    from node.provenance.errors import NotAtHand
    from node.provenance.story import envelope_of, statement_of

    if as_json and out is None:
        raise click.UsageError("--json needs --out FILE: the statement's bytes are no part of what is said about them")
    with _look(places) as look:
        row = _made_in(look.view, _wanted(look.view, places, model))
        said, envelope = statement_of(row, look.shelf), envelope_of(row, look.shelf)
    if enveloped and envelope is None:
        raise NotAtHand(f"the envelope of round {row.round}")
    data = envelope.to_bytes() if enveloped and envelope is not None else said.to_bytes()
    _write(out, data)
    signers = [] if envelope is None else ["0x" + signature.signer.hex() for signature in envelope.signatures]
    if as_json:
        found = {"round": row.round, "statement": said.digest.hex(), "signers": signers, "quorum": row.quorum}
        click.echo(json.dumps(found, indent=2))
    else:
        under = f"signed by {len(signers)}, a quorum is {row.quorum}" if signers else "no envelope at hand"
        click.echo(f"round {row.round}: statement {said.digest.hex()} as on chain; {under}", err=True)


@command.command("card")
@click.argument("model", required=False)
@source_options
@click.option("--format", "form", type=click.Choice(FORMATS), default="md", show_default=True, help="Form of the card.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="File to write; default: standard output.")
def card(*, places: Places, model: str | None, form: Form, as_json: bool, out: Path | None) -> None:
    """Write MODEL's card: what it is and is not for, data and scores as members declare them, how to check it all."""
    from node.provenance.forms import rendered

    _write(out, rendered(_story(places, model), "json" if as_json else form).encode())


def _story(places: Places, model: str | None) -> Story:
    from node.provenance.story import tell

    with _look(places) as look:
        return tell(look.view, look.deployment, _wanted(look.view, places, model), look.shelf)


def _wanted(view: ConsortiumView, places: Places, model: str | None) -> bytes:
    digest, _ = model_of(model, places.run)
    if digest is None and view.head is None:
        raise BadInput("the chain records no model yet")
    return digest or view.head or b""


def _made_in(view: ConsortiumView, model: bytes) -> RoundView:
    from node.provenance.errors import NoSuchModel

    made = view.models.get(model)
    if made is None:
        raise NoSuchModel(f"model {model.hex()}")
    if made.round not in view.rounds:
        raise BadInput(f"model {model.hex()} is the initial one: no round made it, so there is no statement")
    return view.rounds[made.round]


def _write(out: Path | None, data: bytes) -> None:
    """To a file, whole or not at all, or to standard output as it is."""
    if out is None:
        click.echo(data, nl=False)
        return
    part = out.with_name(out.name + ".part")
    part.write_bytes(data)
    part.replace(out)
