"""`medweave data`: look at a set of images before a hospital trains on it, and take it in."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from node.cli.data_card import card
from node.images.card import data_card
from node.images.dataset import load, save
from node.images.partition import split_validation
from node.images.windows import parse_window

if TYPE_CHECKING:
    from node.images.record import Dataset
    from node.images.slices import Refused


VALIDATION = 0.2
"""Share of the training images that is kept for scoring rounds."""
CARDS = "card.json"


@click.group("data")
def command() -> None:
    """Check and convert images: npz, folders of pictures, DICOM, NIfTI."""


command.add_command(card)


def _reading_options(function: Any) -> Any:
    options = (
        click.argument("path", type=click.Path(path_type=Path)),
        click.option("--window", default="", help="lung | mediastinum | LEVEL,WIDTH of CT slices; default: lung."),
        click.option("--strict", is_flag=True, help="Refuse the whole set for one bad file instead of leaving it out."),
        click.option(
            "--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Draws the test split."
        ),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@command.command("check")
@_reading_options
@click.option(
    "--quarantine", type=click.Path(path_type=Path, dir_okay=False), help="Write bad files and reasons as CSV."
)
def check(path: Path, window: str, seed: int, quarantine: Path | None, *, strict: bool, as_json: bool) -> int:
    """Read a set and print its data card: counts, classes, patients, digest. Bad files are named with the reason.

    Exit codes: 0 every file can be used; 1 some cannot and were left out; 3 the set cannot be used.
    """
    train, test, refused = _read(path, window, seed, strict=strict)
    if quarantine is not None:
        _write_quarantine(quarantine, refused)
    if as_json:
        cards = {"train": data_card(train).to_json(), "test": data_card(test).to_json()}
        bad = [{"file": str(each.file), "reason": each.reason} for each in refused]
        click.echo(json.dumps({**cards, "refused": bad}, indent=2))
    else:
        _show(train, test, refused)
    return 1 if refused else 0


@command.command("import")
@_reading_options
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for train, validation, test."
)
@click.option(
    "--validation",
    type=click.FloatRange(0.01, 0.5),
    default=VALIDATION,
    show_default=True,
    help="Share kept for scoring rounds.",
)
def take_in(path: Path, window: str, seed: int, out: Path, validation: float, *, strict: bool, as_json: bool) -> int:
    """Convert a set into the three files a node trains and scores on; no patient is in two of them.

    Writes train.npz, validation.npz, test.npz, their cards (card.json) and, where files were left out, quarantine.csv.

    Exit codes: 0 done; 1 done, but some files were left out; 3 the set cannot be used.
    """
    train, test, refused = take_images(path, out, window=window, seed=seed, validation=validation, strict=strict)
    if as_json:
        click.echo((out / CARDS).read_text(encoding="utf-8").rstrip())
    else:
        _show(train, test, refused)
        click.echo(f"written to {out}: train.npz, validation.npz, test.npz, {CARDS}")
    return 1 if refused else 0


def take_images(
    path: Path, out: Path, *, window: str = "", seed: int = 0, validation: float = VALIDATION, strict: bool = False
) -> tuple[Dataset, Dataset, list[Refused]]:
    """Convert a set into train.npz, validation.npz, test.npz and their cards below a folder, no patient in two of them.

    Args:
        path: An npz file, or a folder of pictures, DICOM or NIfTI files.
        out: The folder; made if it is not there.
        window: Of CT slices; empty: lung.
        seed: Draws the splits.
        validation: Share of the training part that is kept for scoring rounds.
        strict: Refuse the whole set for one bad file.

    Returns:
        What is trained on, what is kept for tests, and the files left out, which quarantine.csv lists.

    Raises:
        DataError: The set cannot be used.
    """
    train, test, refused = _read(path, window, seed, strict=strict)
    train, held = split_validation(train, validation, seed)
    out.mkdir(parents=True, exist_ok=True)
    parts = {"train": train, "validation": held, "test": test}
    for name, part in parts.items():
        save(part, out / f"{name}.npz")
    cards = {name: data_card(part).to_json() for name, part in parts.items()}
    (out / CARDS).write_text(json.dumps(cards, indent=2) + "\n", encoding="utf-8")
    if refused:
        _write_quarantine(out / "quarantine.csv", refused)
    return train, test, refused


def _read(path: Path, window: str, seed: int, *, strict: bool) -> tuple[Dataset, Dataset, list[Refused]]:
    refused: list[Refused] = []
    chosen = parse_window(window) if window else None
    train, test = load(path, seed=seed, window=chosen, skip=None if strict else refused.append)
    return train, test, refused


def _show(train: Dataset, test: Dataset, refused: list[Refused]) -> None:
    console = Console()
    table = Table("part", "images", "patients", "classes", "size", "card digest")
    for name, part in (("train", train), ("test", test)):
        card = data_card(part)
        classes = ", ".join(f"{label} {count}" for label, count in card.classes)
        size = f"{card.height}x{card.width}"
        table.add_row(name, str(card.images), str(card.patients), classes, size, card.digest.hex()[:16])
    console.print(table)
    if train.synthetic:
        console.print("the images are synthetic")
    for each in refused:
        console.print(f"left out: {each.file}: {each.reason}", style="yellow", markup=False)


def _write_quarantine(target: Path, refused: list[Refused]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "reason"])
        rows.writerows([str(each.file), each.reason] for each in refused)
