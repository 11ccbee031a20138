"""Write node/learning/layouts.json from the networks' source: `python -m tools.layouts`. MONAI must be installed.

A layout once in use is never changed: plans and model files commit to its digest. A changed network gets a new name.
"""

from __future__ import annotations

import json
from importlib import resources
from typing import TYPE_CHECKING, Any

import torch

from node.learning.layouts import FILE
from node.learning.parameters import layout
from node.learning.registry import build, names

if TYPE_CHECKING:
    from node.learning.parameters import Layout


def described(name: str) -> list[list[Any]]:
    """The tensors of a network as the file lists them: name, shape, fan-in."""
    (two, inputs_two), (three, inputs_three) = (tensors(name, classes) for classes in (2, 3))
    return [
        [label, [_size(*sides) for sides in zip(few, many, strict=True)], _size(*inputs)]
        for (label, few), (_, many), *inputs in zip(two, three, inputs_two, inputs_three, strict=True)
    ]


def tensors(name: str, classes: int) -> tuple[Layout, list[int]]:
    """A network's layout and the fan-in of each tensor, 0 for vectors."""
    with torch.device("meta"):
        model = build(name, classes)
    listed = layout(model)
    return listed, [model.fan_in(label, shape) if len(shape) > 1 else 0 for label, shape in listed]


def text() -> str:
    """What the file holds: one tensor a line."""
    networks = []
    for name in names():
        lines = ",\n".join(f"    {json.dumps(tensor)}" for tensor in described(name))
        networks.append(f'  "{name}": [\n{lines}\n  ]')
    return "{\n" + ",\n".join(networks) + "\n}\n"


def _size(two: int, three: int) -> int | list[int]:
    """A number, or a and b of a + b·J from what it is for 2 and for 3 classes."""
    return two if two == three else [3 * two - 2 * three, three - two]


if __name__ == "__main__":
    with resources.as_file(resources.files("node.learning").joinpath(FILE)) as place:
        place.write_text(text(), encoding="utf-8")
