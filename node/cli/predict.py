"""`medweave predict`: what a model says about images, and where it looked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.errors import BadInput
from node.images.windows import parse_window

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from node.learning.classifier import Classifier

NOTICE = "A research model: not a medical device, and no diagnosis."


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
@click.option("--window", default="", help="lung | mediastinum | LEVEL,WIDTH of CT slices; default: lung.")
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
    window: str,
    saliency: Path | None,
    target: int | None,
    *,
    as_json: bool,
) -> int:
    """Ask the model file MODEL (`medweave export`) about pictures, DICOM files or NIfTI volumes.

    Exit codes: 0 every file was read; 1 some were not, each named with the reason; 3 no model, or other wrong input.
    """
    names, size = _terms(plan, image_size)
    network = _network(model, size)
    classes = names or tuple(f"class {index}" for index in range(network.classes))
    if len(classes) != network.classes:
        raise BadInput(f"--plan {plan}: names {len(classes)} classes, the model tells {network.classes} apart")
    if target is not None and target >= network.classes:
        raise BadInput(f"--target {target}: the model's classes are 0 to {network.classes - 1}")
    answers = [_ask(network, file, size, window, saliency, target) for file in files]
    if as_json:
        click.echo(json.dumps({"classes": list(classes), "notice": NOTICE, "files": answers}, indent=2))
    else:
        for answer in answers:
            _print(answer, classes)
        click.echo(NOTICE)
    return 1 if any("error" in answer for answer in answers) else 0


class _Network:
    """A loaded model file."""

    def __init__(self, network: Classifier, classes: int) -> None:
        self.network, self.classes = network, classes


def _terms(plan: Path | None, image_size: int | None) -> tuple[tuple[str, ...], int]:
    if plan is None:
        return (), image_size or 64
    from node.rounds.plan import Plan

    found = Plan.from_toml(plan)
    return found.classes, image_size or found.image_size


def _network(model: Path, size: int) -> _Network:
    from node.learning.modelfile import parse_model
    from node.learning.parameters import verify_model
    from node.learning.settings import TrainingSettings
    from node.learning.training import prepared

    content = parse_model(model.read_bytes())
    verify_model(content)
    settings = TrainingSettings(architecture=content.architecture, classes=content.classes, image_size=size)
    return _Network(prepared(content.vector, settings).eval(), content.classes)


def _ask(
    asked: _Network, file: Path, size: int, window: str, folder: Path | None, target: int | None
) -> dict[str, Any]:
    import numpy as np
    import torch
    from PIL import Image

    from node.images.errors import Unusable
    from node.images.folder import read_file

    try:
        slices = read_file(file, parse_window(window) if window else None).images
    except Unusable as error:
        return {"file": str(file), "error": str(error)}
    resized = np.stack([np.asarray(Image.fromarray(each).resize((size, size), _method(each, size))) for each in slices])
    images = torch.from_numpy(resized.astype(np.float32) / np.float32(255))[:, None]
    with torch.inference_mode():
        found = asked.network.probabilities(asked.network(images)).numpy()
    answer: dict[str, Any] = {"file": str(file), "slices": [[round(float(p), 4) for p in row] for row in found]}
    if folder is not None:
        answer["overlays"] = _draw(asked, file, slices, images, folder, target)
    return answer


def _method(image: NDArray[Any], size: int) -> Any:
    from PIL import Image

    return Image.Resampling.BOX if min(image.shape) >= size else Image.Resampling.BILINEAR


def _draw(asked: _Network, file: Path, slices: Any, images: Any, folder: Path, target: int | None) -> list[str]:
    from node.learning.overlay import overlay
    from node.learning.saliency import saliency

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for index, (plain, image) in enumerate(zip(slices, images, strict=True)):
        seen = saliency(asked.network, image[0], target)
        place = folder / f"{file.name}.{index}.class{seen.target}.png"
        place.write_bytes(overlay(plain, seen.map))
        written.append(str(place))
    return written


def _print(answer: dict[str, Any], classes: tuple[str, ...]) -> None:
    if "error" in answer:
        click.echo(f"{answer['file']}: not read: {answer['error']}", err=True)
        return
    for index, row in enumerate(answer["slices"]):
        place = f" slice {index}" if len(answer["slices"]) > 1 else ""
        shown = ", ".join(f"{name} {chance:.3f}" for name, chance in zip(classes, row, strict=True))
        click.echo(f"{answer['file']}{place}: {shown}")
    for overlay in answer.get("overlays", ()):
        click.echo(f"  {overlay}")
