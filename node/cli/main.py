"""`medweave`: one entry point, one file a command, one line and a fixed exit code for every error.

Exit codes: 0 done; 1 the thing checked is false, or the job failed; 2 it could not be checked, or the command line was
wrong; 3 bad input; 4 the machine lacks something; 5 a peer or the chain is out of reach; 130 interrupted.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "demo": "node.cli.demo",
    "init": "node.cli.init",
    "found": "node.cli.found",
    "join": "node.cli.join",
    "node": "node.cli.daemon",
    "chain": "node.cli.chain",
    "members": "node.cli.members",
    "plan": "node.cli.plan",
    "round": "node.cli.round",
    "keys": "node.cli.keys",
    "token": "node.cli.token",
    "access": "node.cli.access",
    "backup": "node.cli.backup",
    "restore": "node.cli.restore",
    "ledger": "node.cli.ledger",
    "storage": "node.cli.storage",
    "audit": "node.cli.audit",
    "model": "node.cli.model",
    "export": "node.cli.export",
    "local": "node.cli.local",
    "data": "node.cli.data",
    "lungs": "node.cli.lungs",
    "predict": "node.cli.predict",
    "doctor": "node.cli.doctor",
}
"""Command to module; loaded only when called, so that `--help` does not wait for torch."""

SUMMARIES = {
    "demo": "Run a whole consortium on this machine, from keys to an audited model.",
    "init": "Make a hospital's directory: keys on the spot, configuration.",
    "found": "Found a consortium, with this hospital as its first member.",
    "join": "Ask a consortium's members to admit this hospital.",
    "node": "Run a hospital's daemon.",
    "chain": "Deploy a consortium's contracts, look at them, follow what they tell.",
    "members": "Who belongs to the consortium; admit, remove, exchange keys by vote.",
    "plan": "Write a training plan, see what it means, put it to the members' vote.",
    "round": "Open a round, watch it, leave it; see all that were.",
    "keys": "Make, watch and verify the joint key; back up and restore a hospital's secrets.",
    "backup": "Write a hospital's whole directory to one sealed file, while its node runs.",
    "restore": "Put such a file back; the node goes on without contradicting itself.",
    "token": "Make, list and revoke the tokens with which people use a node.",
    "access": "Show and check the record of who asked a node what.",
    "ledger": "Look at the ledger, draw it, prove what it holds, check it, carry it elsewhere.",
    "storage": "Count, verify, repair and thin out a hospital's blobs.",
    "audit": "Check where a model came from, with chain and blobs alone.",
    "model": "Show models on chain, their signed statements, and a card that says what a model is.",
    "export": "Write a model this hospital holds to a file (needs its password).",
    "local": "Train on this hospital's images alone, for comparison.",
    "data": "Check images (npz, folders, DICOM, NIfTI) and take them in, with a data card.",
    "lungs": "Learn to find lungs in slices, so that they can be cropped to them.",
    "predict": "Ask a model file about images; show where it looked.",
    "doctor": "Check everything a node needs, and say what to do.",
}


class _Lazy(click.Group):
    """Loads a command's module when it is called."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(COMMANDS[name]).command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in COMMANDS])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="medweave")
def cli() -> None:
    """Hospitals train one diagnostic model together; no image leaves a hospital, nobody can open a single update."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit.

    Args:
        arguments: Command line without the program's name; the process's own by default.
    """
    try:
        result = cli.main(args=arguments, standalone_mode=False, prog_name="medweave")
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        code = exit_code_of(type(error))
        if code is None:
            raise
        click.echo(f"error: {error}", err=True)
        sys.exit(code)
    sys.exit(result if isinstance(result, int) else 0)


def exit_code_of(kind: type[BaseException]) -> int | None:
    """The exit code that errors of a class of ours end a command with; None for a bug, which is shown in full."""
    from chain import errors as chain
    from crypto.errors import CryptoError, InsecureParameters, UnknownParameters
    from dag.errors import LedgerError
    from node.errors import MedweaveError
    from node.images.errors import DataError
    from node.learning.errors import LearningError

    if issubclass(kind, MedweaveError):
        return kind.exit_code
    if issubclass(kind, OSError):
        return 4
    ours = (chain.BadKeystore, chain.BadDeployment, chain.BadArgument, chain.BadChainFile)
    if issubclass(kind, (DataError, LearningError, *ours)):
        return 3
    if issubclass(kind, (chain.ToolMissing, chain.PortInUse, chain.AnvilFailed)):
        return 4
    if issubclass(kind, chain.ChainError):
        return 5
    if issubclass(kind, (InsecureParameters, UnknownParameters)):
        return 3
    return 1 if issubclass(kind, (CryptoError, LedgerError)) else None


if __name__ == "__main__":
    main()
