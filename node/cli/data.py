"""`medweave data`: look at a set of images before a hospital trains on it, and take it in."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from node.cli.data_card import card
from node.cli.options import crop_option
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


@dataclass(frozen=True)
class Taken:
    """What was read of a set."""

    train: Dataset
    """What is trained on."""
    test: Dataset
    """What is kept for tests."""
    refused: list[Refused]
    """Files left out."""
    uncropped: int = 0
    """Slices that were to be cropped to the lungs and are as they were, as none were found that can be believed."""
    slices: int = 0
    """Of how many."""


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
        crop_option,
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
def check(
    path: Path,
    window: str,
    seed: int,
    crop_lungs: Path | None,
    quarantine: Path | None,
    *,
    strict: bool,
    as_json: bool,
) -> int:
    """Read a set and print its data card: counts, classes, patients, digest. Bad files are named with the reason.

    Exit codes: 0 every file can be used; 1 some cannot and were left out; 3 the set cannot be used.
    """
    taken = _read(path, window, seed, crop_lungs, strict=strict)
    if quarantine is not None:
        _write_quarantine(quarantine, taken.refused)
    if as_json:
        cards = {"train": data_card(taken.train).to_json(), "test": data_card(taken.test).to_json()}
        bad = [{"file": str(each.file), "reason": each.reason} for each in taken.refused]
        click.echo(json.dumps({**cards, "refused": bad, **_left(taken)}, indent=2))
    else:
        _show(taken)
    return 1 if taken.refused else 0


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
def take_in(
    path: Path,
    window: str,
    seed: int,
    crop_lungs: Path | None,
    out: Path,
    validation: float,
    *,
    strict: bool,
    as_json: bool,
) -> int:
    """Convert a set into the three files a node trains and scores on; no patient is in two of them.

    Writes train.npz, validation.npz, test.npz, their cards (card.json) and, where files were left out, quarantine.csv.

    Exit codes: 0 done; 1 done, but some files were left out; 3 the set cannot be used.
    """
    taken = take_images(
        path, out, window=window, seed=seed, validation=validation, crop_lungs=crop_lungs, strict=strict
    )
    if as_json:
        cards = json.loads((out / CARDS).read_text(encoding="utf-8"))
        click.echo(json.dumps({**cards, **_left(taken)}, indent=2))
    else:
        _show(taken)
        click.echo(f"written to {out}: train.npz, validation.npz, test.npz, {CARDS}")
    return 1 if taken.refused else 0


def take_images(
    path: Path,
    out: Path,
    *,
    window: str = "",
    seed: int = 0,
    validation: float = VALIDATION,
    crop_lungs: Path | None = None,
    strict: bool = False,
) -> Taken:
    """Convert a set into train.npz, validation.npz, test.npz and their cards below a folder, no patient in two of them.

    Args:
        path: An npz file, or a folder of pictures, DICOM or NIfTI files.
        out: The folder; made if it is not there.
        window: Of CT slices; empty: lung.
        seed: Draws the splits.
        validation: Share of the training part that is kept for scoring rounds.
        crop_lungs: A lung network's file: slices are cut to the lungs that it finds.
        strict: Refuse the whole set for one bad file.

    Returns:
        What is trained on, what is kept for tests, and the files left out, which quarantine.csv lists.

    Raises:
        DataError: The set cannot be used.
        LearningError: The lung network cannot be used, or the set was cropped before.
    """
    taken = _read(path, window, seed, crop_lungs, strict=strict)
    train, held = split_validation(taken.train, validation, seed)
    out.mkdir(parents=True, exist_ok=True)
    parts = {"train": train, "validation": held, "test": taken.test}
    for name, part in parts.items():
        save(part, out / f"{name}.npz")
    cards = {name: data_card(part).to_json() for name, part in parts.items()}
    (out / CARDS).write_text(json.dumps(cards, indent=2) + "\n", encoding="utf-8")
    if taken.refused:
        _write_quarantine(out / "quarantine.csv", taken.refused)
    return replace(taken, train=train)


def _read(path: Path, window: str, seed: int, crop_lungs: Path | None, *, strict: bool) -> Taken:
    refused: list[Refused] = []
    chosen = parse_window(window) if window else None
    train, test = load(path, seed=seed, window=chosen, skip=None if strict else refused.append)
    if crop_lungs is None:
        return Taken(train, test, refused)
    from node.learning.segmentation.lungs import Lungs  # torch with it, which nobody else here needs

    lungs = Lungs.read(crop_lungs)
    (train, left), (test, left_of_test) = lungs.prepare(train), lungs.prepare(test)
    return Taken(train, test, refused, left + left_of_test, len(train) + len(test))


def _left(taken: Taken) -> dict[str, int]:
    return {"uncropped": taken.uncropped} if taken.train.cropped else {}


def _show(taken: Taken) -> None:
    console = Console()
    table = Table("part", "images", "patients", "classes", "size", "card digest")
    for name, part in (("train", taken.train), ("test", taken.test)):
        card = data_card(part)
        classes = ", ".join(f"{label} {count}" for label, count in card.classes)
        size = f"{card.height}x{card.width}"
        table.add_row(name, str(card.images), str(card.patients), classes, size, card.digest.hex()[:16])
    console.print(table)
    if taken.train.synthetic:
        console.print("the images are synthetic")
    if taken.train.cropped:
        console.print(f"cropped to the lungs by {taken.train.cropped}", soft_wrap=True, highlight=False)
        if taken.uncropped:
            said = f"{taken.uncropped} of {taken.slices} slices left as they were: no lungs found that can be believed"
            console.print(said, style="yellow", highlight=False)
    for each in taken.refused:
        console.print(f"left out: {each.file}: {each.reason}", style="yellow", markup=False)


def _write_quarantine(target: Path, refused: list[Refused]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "reason"])
        rows.writerows([str(each.file), each.reason] for each in refused)
