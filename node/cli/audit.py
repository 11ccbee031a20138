"""`medweave audit`: where a model came from, checked with chain and blobs alone. No key is needed."""

from __future__ import annotations

import json
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from chain.anvil import Anvil
from chain.client import Chain
from chain.deployment import Deployment
from node.errors import BadInput
from node.learning.modelfile import model_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@click.command("audit")
@click.option("--model", help="Model file, or its hash (64 hex digits); default: the chain's newest model.")
@click.option("--rpc", help="JSON-RPC endpoint of the chain.")
@click.option(
    "--blobs", multiple=True, help="Directory with blobs, hospital's or run's directory, or a node's URL; repeatable."
)
@click.option(
    "--contracts",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File with the contracts' addresses (consortium.json); default: beside the blobs.",
)
@click.option(
    "--run",
    "run_directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="A demo's run directory: chain, blobs and model are taken from there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    model: str | None,
    rpc: str | None,
    blobs: tuple[str, ...],
    contracts: Path | None,
    run_directory: Path | None,
    *,
    as_json: bool,
) -> int:
    """Check where a model came from: every update, sum, signature and parent, from chain and blobs alone.

    Exit codes: 0 verified; 1 falsified, naming the first broken link and where; 2 could not be checked.
    """
    from node.audit.evidence import open_evidence
    from node.audit.run import audit

    places = [*blobs, *([str(run_directory)] if run_directory else [])]
    if not places or (rpc is None and run_directory is None):
        raise click.UsageError("give --rpc URL and --blobs DIR|URL, or --run DIR of a finished demo")
    deployment = _deployment(contracts, places)
    wanted, data = _model(model, run_directory)
    with ExitStack() as stack:
        endpoint = rpc or stack.enter_context(_saved_chain(run_directory or Path()))
        progress = stack.enter_context(_progress(quiet=as_json))
        report = audit(Chain(endpoint, deployment), open_evidence(places), wanted, model_file=data, progress=progress)
    click.echo(json.dumps(report.to_json(), indent=2) if as_json else report.to_text())
    return report.exit_code


def _deployment(contracts: Path | None, places: list[str]) -> Deployment:
    """The contracts' addresses, from where the user said or beside the blobs."""
    candidates = [contracts] if contracts else [p for place in places for p in _beside(Path(place))]
    for path in candidates:
        if path.is_file():
            return Deployment.from_json(path.read_bytes())
    raise BadInput(f"no consortium.json at {', '.join(map(str, candidates))}: name it with --contracts FILE")


def _beside(place: Path) -> list[Path]:
    return [place / "consortium.json", place.parent / "consortium.json"]


def _model(text: str | None, run_directory: Path | None) -> tuple[bytes | None, bytes | None]:
    """(hash, file content) of what is to be audited; (None, None) is the chain's newest model."""
    if text is None:
        saved = run_directory / "model.bin" if run_directory else None
        return None, saved.read_bytes() if saved and saved.is_file() else None
    if Path(text).is_file():
        data = Path(text).read_bytes()
        return model_hash(data), data
    try:
        digest = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise BadInput(f"--model {text}: neither a file nor 64 hex digits")
    return digest, None


@contextmanager
def _saved_chain(run_directory: Path) -> Iterator[str]:
    """Anvil on a copy of a run's chain state, so that auditing changes nothing."""
    state = run_directory / "chain" / "state.json"
    if not state.is_file():
        raise BadInput(f"{state}: no saved chain; give --rpc URL of a running one")
    with tempfile.TemporaryDirectory(prefix="medweave-audit-") as folder:
        copy = Path(folder) / "state.json"
        shutil.copyfile(state, copy)
        with Anvil(None, copy) as anvil:
            yield anvil.url


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("auditing")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
