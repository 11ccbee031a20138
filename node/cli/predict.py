"""`medweave predict`: what a model says about images, and where it looked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import crop_option
from node.errors import BadInput
from node.images.record import cropping
from node.images.windows import parse_window

if TYPE_CHECKING:
    from collections.abc import Iterable

    from node.learning.inference import Asked, Judgement
    from node.learning.segmentation.lungs import Lungs


@dataclass(frozen=True)
class _Terms:
    """What the model was trained on."""

    classes: tuple[str, ...]
    """Their names; empty: not known."""
    image_size: int
    crop_lungs: str | None
    """Name of the lung network that slices were cropped by, empty if they were not; None: not known."""


@dataclass(frozen=True)
class _Drawing:
    """How answers are pictured."""

    folder: Path | None
    target: int | None


@click.command("predict")
@click.argument("model", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("files", type=click.Path(path_type=Path, exists=True, dir_okay=False), nargs=-1, required=True)
@click.option(
    "--plan", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Plan: class names, image size."
)
@click.option(
    "--image-size",
    type=click.IntRange(16, 512),
    help="Pixels a side the model was trained on; default: the plan's, or 64.",
)
@click.option(
    "--validation",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Labelled images (npz as `medweave data` writes it): thresholds and calibration are taken from them.",
)
@click.option("--window", default="", help="lung | mediastinum | LEVEL,WIDTH of CT slices; default: lung.")
@crop_option
@click.option(
    "--saliency", type=click.Path(path_type=Path, file_okay=False), help="Write an overlay PNG for each slice here."
)
@click.option("--target", type=click.IntRange(0), help="Class whose saliency is drawn; default: the likeliest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    model: Path,
    files: tuple[Path, ...],
    plan: Path | None,
    image_size: int | None,
    validation: Path | None,
    window: str,
    crop_lungs: Path | None,
    saliency: Path | None,
    target: int | None,
    *,
    as_json: bool,
) -> int:
    """Ask the model file MODEL (`medweave export`) about pictures, DICOM files or NIfTI volumes.

    Slices have to be prepared as those were that the model learnt from: with --crop-lungs if their hospitals cropped them, and
    by the same network, which the data card names.

    Exit codes: 0 every file was read; 1 some were not, each named with the reason; 3 no model, or other wrong input.
    """
    from node.learning.inference import NOTICE

    terms = _terms(plan, image_size)
    names = terms.classes
    asked = _model(model, terms.image_size)
    classes = names or tuple(f"class {index}" for index in range(asked.classes))
    if len(classes) != asked.classes:
        raise BadInput(f"--plan {plan}: names {len(classes)} classes, the model tells {asked.classes} apart")
    if target is not None and target >= asked.classes:
        raise BadInput(f"--target {target}: the model's classes are 0 to {asked.classes - 1}")
    lungs = _lungs(crop_lungs, terms)
    judged = _judged(asked, validation, names, lungs.digest if lungs else "")
    drawing = _Drawing(saliency, target)
    answers = [_ask(asked, file, window, lungs, drawing) for file in files]
    if as_json:
        known = (_judgement_json(judged) if judged else {}) | ({"crop_lungs": lungs.digest} if lungs else {})
        click.echo(json.dumps({"classes": list(classes), "notice": NOTICE, **known, "files": answers}, indent=2))
    else:
        for answer in answers:
            _print(answer, classes, judged, crop=lungs is not None)
        click.echo(NOTICE)
    return 1 if any("error" in answer for answer in answers) else 0


def _terms(plan: Path | None, image_size: int | None) -> _Terms:
    if plan is None:
        return _Terms((), image_size or 64, None)
    from node.rounds.plan import Plan

    found = Plan.from_toml(plan)
    return _Terms(found.classes, image_size or found.image_size, found.crop_lungs)


def _model(model: Path, size: int) -> Asked:
    from node.learning.inference import Asked
    from node.learning.layouts import verify_model
    from node.learning.modelfile import parse_model

    content = parse_model(model.read_bytes())
    verify_model(content)
    return Asked(content.vector, content.architecture, content.classes, size)


def _lungs(file: Path | None, terms: _Terms) -> Lungs | None:
    lungs = None
    if file is not None:
        from node.learning.segmentation.lungs import Lungs

        lungs = Lungs.read(file)
    given = lungs.digest if lungs else ""
    if terms.crop_lungs is not None and given != terms.crop_lungs:
        raise BadInput(
            f"--crop-lungs: the slices asked about are {cropping(given)}, the plan's {cropping(terms.crop_lungs)}; give the "
            "network that the plan names, or none where it names none"
        )
    return lungs


def _judged(asked: Asked, validation: Path | None, names: tuple[str, ...], cropped: str) -> Judgement | None:
    if validation is None:
        return None
    from node.images.dataset import load_saved

    dataset = load_saved(validation)
    if names and dataset.class_names != names:
        raise BadInput(
            f"--validation {validation}: has classes {', '.join(dataset.class_names)}, the plan {', '.join(names)}"
        )
    if dataset.cropped != cropped:
        raise BadInput(
            f"--validation {validation}: {cropping(dataset.cropped)}, the slices asked about {cropping(cropped)}; prepare both "
            "in the same way"
        )
    return asked.judged(dataset)


def _judgement_json(judged: Judgement) -> dict[str, Any]:
    calibration = {"error": round(judged.calibration_error, 4), "images": judged.images}
    return {"thresholds": [round(float(t), 4) for t in judged.thresholds], "calibration": calibration}


def _ask(asked: Asked, file: Path, window: str, lungs: Lungs | None, drawing: _Drawing) -> dict[str, Any]:
    from node.images.errors import Unusable
    from node.images.folder import read_file

    try:
        slices = read_file(file, parse_window(window) if window else None).images
    except Unusable as error:
        return {"file": str(file), "error": str(error)}
    cropped = [False] * len(slices)
    if lungs is not None:
        slices, cut = lungs.cut(slices)
        cropped = cut.tolist()
    found = [[round(float(p), 4) for p in row] for row in asked.probabilities(slices)]
    answer: dict[str, Any] = {"file": str(file), "slices": found, "cropped": cropped}
    if drawing.folder is not None:
        answer["overlays"] = _draw(asked, file, slices, drawing.folder, drawing.target)
    return answer


def _draw(asked: Asked, file: Path, slices: Iterable[Any], folder: Path, target: int | None) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for index, image in enumerate(slices):
        drawn = asked.pictures(image, target, beside=True)
        place = folder / f"{file.name}.{index}.class{drawn.target}.png"
        place.write_bytes(drawn.overlay)
        written.append(str(place))
    return written


def _print(answer: dict[str, Any], classes: tuple[str, ...], judged: Judgement | None, *, crop: bool) -> None:
    if "error" in answer:
        click.echo(f"{answer['file']}: not read: {answer['error']}", err=True)
        return
    for index, row in enumerate(answer["slices"]):
        place = f" slice {index}" if len(answer["slices"]) > 1 else ""
        shown = ", ".join(f"{name} {chance:.3f}" for name, chance in zip(classes, row, strict=True))
        called = ""
        if judged is not None:
            above = [name for name, p, t in zip(classes, row, judged.thresholds, strict=True) if p >= t]
            called = f"; at the thresholds: {', '.join(above) or 'none'}"
        left = "; not cropped: no lungs found that can be believed" if crop and not answer["cropped"][index] else ""
        click.echo(f"{answer['file']}{place}: {shown}{called}{left}")
    for overlay in answer.get("overlays", ()):
        click.echo(f"  {overlay}")
