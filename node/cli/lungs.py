"""`medweave lungs`: a network that finds the lungs in slices, so that they can be cropped to them before they are classified."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.errors import BadInput
from node.images.windows import parse_window
from node.planning.words import duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.images.organs import Organs
    from node.learning.segmentation.file import LungFile
    from node.learning.segmentation.lungs import Learnt, Lungs

SYNTHETIC = "It learnt from SYNTHETIC slices: whether it finds lungs in yours is not known. Look: medweave lungs look"
ALONE = "every slice counts as a patient of its own; where people have several, name them in `patients`, or the figures are too good"


@click.group("lungs")
def command() -> None:
    """A network that finds lungs in slices: learnt from masks, kept as a file that its sha2-256 names for everybody."""


@dataclass(frozen=True)
class _Wanted:
    """How to learn."""

    image_size: int
    epochs: int
    held_out: float
    seed: int
    threads: int
    lung: tuple[str, ...]


@command.command("train")
@click.argument("masks", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=False)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="File to write.")
@click.option("--phantoms", type=click.IntRange(16, 4096), help="Learn from so many drawn slices instead: SYNTHETIC.")
@click.option("--lung", multiple=True, help="Name of a class that is lung, can be repeated; default: those called so.")
@click.option(
    "--image-size", type=click.IntRange(32, 256), default=64, show_default=True, help="Pixels a side, a multiple of 4."
)
@click.option("--epochs", type=click.IntRange(1, 1000), default=20, show_default=True, help="Passes over the slices.")
@click.option(
    "--held-out",
    type=click.FloatRange(0.01, 0.5),
    default=0.2,
    show_default=True,
    help="Share of the patients that it is measured on and does not learn from.",
)
@click.option("--seed", type=click.IntRange(0, 2**31), default=0, show_default=True, help="Draws split and training.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Threads to compute with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def train(masks: Path | None, out: Path, phantoms: int | None, *, as_json: bool, **wanted: Any) -> None:
    """Learn to find lungs from MASKS, an npz file, and write the network to a file.

    MASKS holds `images` [n, H, W] and `masks` [n, H, W], both uint8, `class_names` (what the masks' values 0, 1, 2 … stand
    for, for instance background, lung, heart) and, so that nobody is trained on and held out, `patients` [n].
    """
    from node.learning.segmentation.file import write_lungs

    if (masks is None) == (phantoms is None):
        raise BadInput("lungs train: give MASKS, an npz file, or --phantoms N, one of the two")
    found = _learn(masks, phantoms, _Wanted(**wanted), _told(wanted["epochs"]))
    digest = write_lungs(found.content, out)
    facts = _facts(found.content, digest)
    hausdorff = [None if each is None else round(each, 2) for each in found.scores.hausdorff]
    measured = {"held_out": found.held_out, "held_out_patients": found.patients, "hausdorff": hausdorff}
    if as_json:
        click.echo(json.dumps({**facts, **measured}, indent=2))
        return
    _show(facts)
    click.echo(
        f"measured on {found.held_out} slices of {found.patients} patients it did not learn from; outlines apart by, pixels:"
    )
    for name, apart in zip(found.content.class_names, hausdorff, strict=True):
        click.echo(f"  {name:<16} {'-' if apart is None else f'{apart:.2f}'}  (95th percentile Hausdorff distance)")
    click.echo(f"{digest}  {out}")


@command.command("show")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(file: Path, *, as_json: bool) -> None:
    """Say what the network in FILE is: its name, what it finds, what it learnt from and how well it did there."""
    opened = _opened(file)
    facts = _facts(opened.content, opened.digest)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
    else:
        _show(facts)


@command.command("look")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("images", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1, required=True)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the pictures.")
@click.option("--window", default="", help="lung | mediastinum | LEVEL,WIDTH of CT slices; default: lung.")
def look(file: Path, images: tuple[Path, ...], out: Path, window: str) -> int:
    """Draw what the network in FILE takes for lungs in pictures, DICOM or NIfTI files, with the crop beside: look first.

    Exit codes: 0 every file was read; 1 some were not, each named with the reason; 3 no network, or other wrong input.
    """
    from node.images.errors import Unusable
    from node.images.folder import read_file
    from node.learning.segmentation.drawing import lungs_drawn

    opened, unread = _opened(file), 0
    out.mkdir(parents=True, exist_ok=True)
    for place in images:
        try:
            slices = read_file(place, parse_window(window) if window else None).images
        except Unusable as error:
            unread += 1
            click.echo(f"{place}: not read: {error}", err=True)
            continue
        after, cut = opened.cut(slices)
        for number, (before, mask) in enumerate(zip(slices, opened.find(slices), strict=True)):
            drawn = out / f"{place.name}.{number}.png"
            drawn.write_bytes(lungs_drawn(before, mask, after[number]))
            click.echo(f"{drawn}  {'cropped' if cut[number] else 'left as it is: no believable lungs'}")
    return 1 if unread else 0


def _opened(file: Path) -> Lungs:
    from node.learning.segmentation.lungs import Lungs

    return Lungs.read(file)


def _learn(masks: Path | None, phantoms: int | None, wanted: _Wanted, told: Callable[[int, float], None]) -> Learnt:
    from node.learning.segmentation.lungs import learn, lung_classes
    from node.learning.segmentation.masks import MaskSettings
    from node.learning.training import configure_threads

    organs = _organs(masks, phantoms, wanted)
    settings = MaskSettings(
        classes=len(organs.class_names),
        epochs=wanted.epochs,
        batch_size=8,
        learning_rate=5e-3,
        seed=wanted.seed,
        augment=True,
    )
    lungs = lung_classes(organs.class_names, wanted.lung)
    click.echo(
        f"learning from {len(organs)} {'SYNTHETIC ' if organs.synthetic else ''}slices of {organs.patient_count} patients; "
        f"lung is {', '.join(organs.class_names[number] for number in lungs)}",
        err=True,
    )
    configure_threads(wanted.threads)
    return learn(organs, settings, lungs, wanted.image_size, wanted.held_out, told)


def _organs(masks: Path | None, phantoms: int | None, wanted: _Wanted) -> Organs:
    from node.images.organs import drawn_organs, read_organs

    if masks is None:
        return drawn_organs(phantoms or 0, wanted.image_size, wanted.seed)
    organs = read_organs(masks)
    if organs.patient_count == len(organs):
        click.echo(ALONE, err=True)
    return organs


def _told(epochs: int) -> Callable[[int, float], None]:
    """Says after each epoch how long the others will take."""
    start = time.monotonic()

    def told(epoch: int, loss: float) -> None:
        left = (time.monotonic() - start) / epoch * (epochs - epoch)
        click.echo(f"epoch {epoch} of {epochs}, loss {loss:.4f}, about {duration(left)} left", err=True)

    return told


def _facts(content: LungFile, digest: str) -> dict[str, Any]:
    dice = [None if share is None else share / 1e6 for share in content.dice_ppm]
    return {
        "digest": digest,
        "architecture": "segcaps",
        "parameters": len(content.vector),
        "classes": list(content.class_names),
        "lungs": [content.class_names[number] for number in content.lungs],
        "image_size": content.image_size,
        "learnt_from": content.slices,
        "synthetic": content.synthetic,
        "dice": dice,
    }


def _show(facts: dict[str, Any]) -> None:
    drawn = "SYNTHETIC " if facts["synthetic"] else ""
    click.echo(f"lung network {facts['digest']}")
    click.echo(
        f"  {facts['architecture']}, {facts['parameters']} parameters, asked at {facts['image_size']} pixels a side"
    )
    click.echo(f"  learnt from {facts['learnt_from']} {drawn}slices; lung is {', '.join(facts['lungs'])}")
    click.echo("  agreement with masks of patients held out (Dice):")
    for name, share in zip(facts["classes"], facts["dice"], strict=True):
        click.echo(f"    {name:<16} {'-' if share is None else f'{share:.3f}'}")
    if facts["synthetic"]:
        click.echo(SYNTHETIC)
