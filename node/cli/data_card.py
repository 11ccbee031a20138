"""`medweave data card`: this hospital's data card beside the digest that is on chain."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from chain.events import CardRegistered
from node.cli.reader import Reader, chain_options
from node.consortium.view import address_bytes
from node.errors import BadInput
from node.home import Home, stated_account
from node.images.card import data_card
from node.images.dataset import load_saved

if TYPE_CHECKING:
    from pathlib import Path

    from node.images.card import DataCard

STATES = {
    "registered": "on record: the chain has this card's digest",
    "another": "NOT on record: the chain has another card's digest; a running daemon registers this one",
    "none": "NOT on record: this hospital registered no card; a running daemon does, unless [data] register_card is false",
}


@dataclass(frozen=True)
class Record:
    """A card, and what its hospital put on chain."""

    card: DataCard
    registered: tuple[CardRegistered, ...]
    """Every registration of the hospital's, oldest first."""

    @property
    def state(self) -> str:
        """`registered`, `another` or `none`."""
        if not self.registered:
            return "none"
        return "registered" if self.registered[-1].digest == self.card.digest else "another"

    def to_json(self) -> dict[str, Any]:
        """For programs."""
        rows = [{"digest": event.digest.hex(), "block": event.block} for event in self.registered]
        return {"state": self.state, "card": self.card.to_json(), "registered": rows}


@click.command("card")
@chain_options
@click.option("--out", type=click.Path(dir_okay=False), help="Write the card as JSON, to be shown to who may see it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def card(home: Path | None, rpc: str | None, contracts: Path | None, *, out: str | None, as_json: bool) -> int:
    """Print the card of the images in --home as they are now, and whether the chain has its digest.

    The card is made from the images anew. It stays here: only its digest is on chain. Who is shown the card (--out) can
    check that it is the one on record.

    Exit codes: 0 its digest is on record; 1 another one is, or none; 3 the images cannot be read; 5 the chain is out of reach.
    """
    if home is None:
        raise click.UsageError("give --home DIR: the card is made from the images there")
    place = Home(home)
    made = data_card(load_saved(place.file(place.config().data.train)))
    found = Record(made, _registered(Reader.of(home, rpc, contracts), stated_account(place)))
    if out is not None:
        _write(out, made)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        _show(found)
    return 0 if found.state == "registered" else 1


def _registered(reader: Reader, account: str) -> tuple[CardRegistered, ...]:
    seat = reader.view.seats.get(address_bytes(account))
    if seat is None:
        raise BadInput(f"account {account} never was a member of this consortium: it can have no card on chain")
    events = reader.chain.events(reader.chain.deployment.block)
    return tuple(event for event in events if isinstance(event, CardRegistered) and event.index == seat)


def _write(out: str, made: DataCard) -> None:
    try:
        with click.open_file(out, "w", encoding="utf-8") as file:
            file.write(json.dumps(made.to_json(), indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise BadInput(f"--out {out}: {error.strerror}") from None


def _show(found: Record) -> None:
    made, last = found.card, found.registered[-1] if found.registered else None
    classes = ", ".join(f"{label} {count}" for label, count in made.classes)
    rows = {
        "images": f"{made.images} of {made.patients} patients ({classes})",
        "size": f"{made.height}x{made.width}",
        "digest": made.digest.hex(),
        "on chain": "none" if last is None else f"{last.digest.hex()}, since block {last.block}",
        "before": ", ".join(f"{event.digest.hex()[:16]}… (block {event.block})" for event in found.registered[:-1]),
    }
    for name, value in rows.items():
        if value:
            click.echo(f"{name:<10} {value}")
    if made.synthetic:
        click.echo("the images are synthetic")
    click.echo(STATES[found.state])
