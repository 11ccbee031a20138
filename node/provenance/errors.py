# ruff: noqa: N818  (an error is named after what is wrong)
"""What keeps a model's story from being told.

MedweaveError
├── NoSuchModel (a BadInput)    3   the chain records no such model
└── NotAtHand                   2   a blob that is needed is in none of the places named
"""

from __future__ import annotations

from node.errors import BadInput, MedweaveError


class NoSuchModel(BadInput):
    """The chain records no such model.

    Args:
        wanted: What was asked for.
    """

    def __init__(self, wanted: str) -> None:
        super().__init__(f"{wanted} is not in the lineage; `medweave model list` shows what is")


class NotAtHand(MedweaveError):
    """A blob that is needed is in none of the places named; this says nothing about the model.

    Args:
        what: What it is to a person.
    """

    exit_code = 2

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is in none of the places named: name another hospital's directory or node's URL")
