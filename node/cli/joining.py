"""What `medweave found` and `medweave join` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from node.errors import BadInput
from node.images.archive import load_saved

if TYPE_CHECKING:
    from node.home import Home

LOCAL_CHAINS = frozenset({31337, 1337})
"""Chain ids of Anvil, Hardhat and Ganache: nobody's money is there."""

anvil_option = click.option(
    "--anvil-account",
    type=click.IntRange(0, 9),
    help="Pay with an account every Anvil knows, and fund this hospital's: local chains only.",
)


def refuse_public_payer(chain_id: int) -> None:
    """Refuse to use keys that everybody knows where they may hold something.

    Raises:
        BadInput: The chain is no local one.
    """
    if chain_id not in LOCAL_CHAINS:
        chains = ", ".join(map(str, sorted(LOCAL_CHAINS)))
        raise BadInput(
            f"--anvil-account: chain {chain_id} is no local chain ({chains}): everybody knows that account's key"
        )


def count_images(place: Home) -> int:
    """How many images a hospital trains on.

    Raises:
        BadInput: There are none where its configuration says.
        DataError: They cannot be read.
    """
    path = place.file(place.config().data.train)
    if not path.exists():
        raise BadInput(
            f"{path}: there are no training images yet: `medweave data import PATH --out {path.parent}` takes them in, "
            "or give --data-size"
        )
    return len(load_saved(path))
