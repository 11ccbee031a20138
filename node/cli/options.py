"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.errors import WrongPassword

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD_VARIABLE = "MEDWEAVE_PASSWORD"  # noqa: S105  (the variable's name)
MAX_PASSWORD_BYTES = 4096


def home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--home DIR`."""
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        required=True,
        help="The hospital's directory.",
    )(command)


def password_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--password-file FILE` and `--password-fd N`; else the environment, else a prompt."""
    file = click.option(
        "--password-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help=f"File that holds the keystore password; else ${PASSWORD_VARIABLE}, else a prompt.",
    )
    descriptor = click.option("--password-fd", type=int, help="Open file descriptor to read the password from.")
    return file(descriptor(command))


def cohort_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--smallest-cohort M`."""
    return click.option(
        "--smallest-cohort",
        type=click.IntRange(0, 256),
        default=0,
        show_default=True,
        help="Fewest members that may hold a key in place of all, for good; 0: all always do. See docs/threat-model.md.",
    )(command)


def crop_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--crop-lungs FILE`."""
    return click.option(
        "--crop-lungs",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Cut slices to the lungs that the network in this file finds (`medweave lungs`).",
    )(command)


def read_password(file: Path | None, descriptor: int | None, *, new: bool = False) -> str:
    """The keystore password, from wherever the user gave it.

    Args:
        file: A file that holds it.
        descriptor: An inherited pipe that gives it.
        new: Ask twice where it is typed.

    Raises:
        WrongPassword: It is empty or cannot be read.
    """
    try:
        if descriptor is not None:
            with os.fdopen(descriptor, "rb") as pipe:
                text = pipe.read(MAX_PASSWORD_BYTES).decode()
        elif file is not None:
            text = file.read_text(encoding="utf-8")
        else:
            text = os.environ.get(PASSWORD_VARIABLE) or click.prompt(
                "Keystore password", hide_input=True, confirmation_prompt=new, err=True
            )
    except (OSError, ValueError) as error:
        raise WrongPassword(f"the password cannot be read: {error}") from None
    password = text.rstrip("\r\n")
    if not password:
        raise WrongPassword("the keystore password is empty")
    return password
