"""The chain as a command reads it: of a hospital's directory, or of an endpoint and a file of addresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.client import Chain
from chain.deployment import Deployment
from node.consortium.follower import Follower
from node.errors import BadInput
from node.home import Home, read_deployment, unlock_identity

if TYPE_CHECKING:
    from collections.abc import Callable

    from node.consortium.records import EpochView
    from node.consortium.view import ConsortiumView


def chain_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """`--home DIR`, or `--rpc URL --contracts FILE`: reading needs no password and no home."""
    home = click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="The hospital's directory.")
    rpc = click.option("--rpc", help="JSON-RPC endpoint of the chain; default: as in the home's node.toml.")
    contracts = click.option(
        "--contracts",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File with the contracts' addresses (consortium.json); default: the home's.",
    )
    return home(rpc(contracts(function)))


@dataclass
class Reader:
    """The chain as a reader sees it."""

    chain: Chain
    follower: Follower

    @classmethod
    def of(cls, home: Path | None, rpc: str | None, contracts: Path | None) -> Reader:
        """By the options of `chain_options`, read up to now.

        Raises:
            BadInput: A file cannot be read.
            ChainError: The chain does not answer, or is another one.
        """
        return cls.at(cls.chain_of(home, rpc, contracts))

    @staticmethod
    def chain_of(home: Path | None, rpc: str | None, contracts: Path | None) -> Chain:
        """The contracts by the options of `chain_options`; nothing is asked yet.

        Raises:
            BadInput: A file cannot be read.
        """
        if home is None and (rpc is None or contracts is None):
            raise click.UsageError("give --home DIR, or --rpc URL and --contracts FILE")
        place = Home(home) if home else None
        if contracts is not None:
            try:
                deployment = Deployment.from_json(contracts.read_bytes())
            except OSError as error:
                raise BadInput(f"--contracts {contracts}: {error.strerror}") from None
        else:
            deployment = read_deployment(place or Home(Path()))
        return Chain(rpc or (place or Home(Path())).config().chain.rpc, deployment)

    @classmethod
    def at(cls, chain: Chain) -> Reader:
        """Of a chain, read up to now.

        Raises:
            ChainError: It does not answer, or is another one.
        """
        chain.verify()
        follower = Follower(chain)
        follower.look()
        return cls(chain, follower)

    @property
    def view(self) -> ConsortiumView:
        """What the chain said so far."""
        return self.follower.view

    def epoch(self, number: int | None) -> EpochView:
        """The epoch asked for, or the newest.

        Raises:
            BadInput: There is none, or no such one.
        """
        if not self.view.epochs:
            raise BadInput("no key ceremony was ever opened: `medweave keys run` opens one")
        wanted = number or max(self.view.epochs)
        if wanted not in self.view.epochs:
            raise BadInput(f"--epoch {wanted}: there are epochs 1 to {max(self.view.epochs)}")
        return self.view.epochs[wanted]


def signing_reader(home: Home, password: str) -> Reader:
    """The chain as a hospital's own account sees and writes it.

    Raises:
        WrongPassword: The password does not open the account.
        ChainError: The chain does not answer, or is another one.
    """
    identity = unlock_identity(home, password)
    return Reader.at(Chain(home.config().chain.rpc, read_deployment(home), identity.account))
