"""Where `medweave audit` reads: an endpoint and blobs, a finished demo's directory, or a bundle; one form for all commands."""

from __future__ import annotations

import functools
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chain.anvil import Anvil
from chain.client import Chain
from chain.deployment import Deployment
from node.errors import BadInput
from node.images.errors import BadCard
from node.images.shown import MAX_CARD_BYTES, card_from_json
from node.learning.modelfile import model_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from node.audit import Evidence, Report, Scope
    from node.audit.run import Progress
    from node.images.card import DataCard


@dataclass(frozen=True)
class Places:
    """What the command line says about where to read."""

    rpc: str | None = None
    blobs: tuple[str, ...] = ()
    contracts: Path | None = None
    run: Path | None = None
    bundle: Path | None = None
    header: str | None = None

    def check(self) -> None:
        """Refuse what cannot be read from.

        Raises:
            click.UsageError: Places are missing, or contradict each other.
        """
        live = bool(self.rpc or self.blobs or self.run)
        if self.bundle is not None and live:
            raise click.UsageError("give --bundle FILE, or places on this machine and in the network, not both")
        if self.header is not None and self.bundle is None:
            raise click.UsageError("--header belongs to a bundle; an endpoint says itself what its blocks are")
        if self.bundle is None and (not (self.blobs or self.run) or (self.rpc is None and self.run is None)):
            raise click.UsageError(
                "give --rpc URL and --blobs DIR|URL, or --run DIR of a finished demo, or --bundle FILE"
            )

    @property
    def directories(self) -> list[str]:
        """Places with blobs."""
        return [*self.blobs, *([str(self.run)] if self.run else [])]

    @contextmanager
    def chain(self) -> Iterator[Chain]:
        """A client that only reads.

        Raises:
            BadInput: There is no deployment record, or no saved chain.
        """
        deployment = deployment_of(self.contracts, self.directories)
        with ExitStack() as stack:
            endpoint = self.rpc or stack.enter_context(_saved_chain(self.run or Path()))
            yield Chain(endpoint, deployment)

    def evidence(self) -> Evidence:
        """The blobs. Raises NoEvidence."""
        from node.audit.evidence import open_evidence

        return open_evidence(self.directories)


@dataclass(frozen=True)
class Question:
    """What is to be audited."""

    model: bytes | None = None
    model_file: bytes | None = None
    cards: tuple[DataCard, ...] = ()
    scope: Scope | None = field(default=None)


def examine(places: Places, question: Question, progress: Progress | None) -> Report:
    """Audit what the places hold.

    Raises:
        click.UsageError: Places are missing, or contradict each other.
        MedweaveError: A place cannot be read at all.
    """
    from node.audit import audit

    places.check()
    if places.bundle is not None:
        return _examine_bundle(places, places.bundle, question, progress)
    with places.chain() as chain:
        return audit(
            chain,
            places.evidence(),
            question.model,
            model_file=question.model_file,
            cards=question.cards,
            scope=question.scope,
            progress=progress,
        )


def _examine_bundle(places: Places, path: Path, question: Question, progress: Progress | None) -> Report:
    from node.audit.bundle.form import Bundle
    from node.audit.bundle.verify import Trust, audit_bundle

    deployment = None if places.contracts is None else deployment_of(places.contracts, [])
    trust = Trust(None if places.header is None else digest_of("--header", places.header), deployment)
    with Bundle(path) as bundle:
        return audit_bundle(
            bundle,
            trust,
            model=question.model,
            model_file=question.model_file,
            cards=question.cards,
            scope=question.scope,
            progress=progress,
        )


def place_options(*, bundle: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options that say where to read; the command gets them as one `Places`.

    Args:
        bundle: Whether a bundle may be read.
    """
    plain = click.Path(path_type=Path, dir_okay=False)
    options = [
        click.option("--rpc", help="JSON-RPC endpoint of the chain."),
        click.option(
            "--blobs",
            multiple=True,
            help="Directory with blobs, hospital's or run's directory, or a node's URL; repeatable.",
        ),
        click.option(
            "--contracts",
            type=plain,
            help="File with the contracts' addresses (consortium.json); default: beside the blobs.",
        ),
        click.option(
            "--run",
            type=click.Path(path_type=Path, file_okay=False, exists=True),
            help="A demo's run directory: chain, blobs and model are taken from there.",
        ),
    ]
    if bundle:
        options.append(click.option("--bundle", type=plain, help="A file that `medweave audit export` wrote."))
        options.append(click.option("--header", help="With --bundle: hash of its last block, from a source you trust."))

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def run(**values: Any) -> Any:
            names = ("rpc", "blobs", "contracts", "run", "bundle", "header")
            given = {name: values.pop(name) for name in names if name in values}
            return command(places=Places(**given), **values)

        for option in reversed(options):
            run = option(run)
        return run

    return decorate


def cards_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--card FILE`, repeatable; the command gets the paths as `cards`, for `cards_of`."""
    return click.option(
        "--card",
        "cards",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="A data card that a hospital shows (`medweave data card --out`), held against its digest on chain; repeatable.",
    )(command)


def cards_of(paths: Sequence[Path]) -> tuple[DataCard, ...]:
    """The data cards in files.

    Raises:
        BadInput: A file cannot be read, or holds none; the message names it.
    """
    return tuple(map(_card_of, paths))


def deployment_of(contracts: Path | None, places: list[str]) -> Deployment:
    """The contracts' addresses, from where the user said or beside the blobs.

    Raises:
        BadInput: There is no such file.
    """
    candidates = [contracts] if contracts else [p for place in places for p in _beside(Path(place))]
    for path in candidates:
        if path.is_file():
            return Deployment.from_json(path.read_bytes())
    raise BadInput(f"no consortium.json at {', '.join(map(str, candidates))}: name it with --contracts FILE")


def model_of(text: str | None, run: Path | None) -> tuple[bytes | None, bytes | None]:
    """(hash, file content) of what is to be audited; (None, None) is the chain's newest model.

    Raises:
        BadInput: Neither a file nor a hash.
    """
    if text is None:
        saved = run / "model.bin" if run else None
        return None, saved.read_bytes() if saved and saved.is_file() else None
    if Path(text).is_file():
        data = Path(text).read_bytes()
        return model_hash(data), data
    return digest_of("model", text), None


def digest_of(what: str, text: str) -> bytes:
    """32 bytes from hex.

    Raises:
        BadInput: The text is something else.
    """
    try:
        digest = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        digest = b""
    if len(digest) != 32:
        expected = "neither a file nor 64 hex digits" if what == "model" else "expected 64 hex digits"
        raise BadInput(f"{what} {text}: {expected}")
    return digest


def _card_of(path: Path) -> DataCard:
    try:
        with path.open("rb") as file:
            return card_from_json(file.read(MAX_CARD_BYTES + 1))
    except OSError as error:
        raise BadInput(f"--card {path}: {error.strerror}") from None
    except BadCard as error:
        raise BadInput(f"--card {path}: {error}") from None


def _beside(place: Path) -> list[Path]:
    return [place / "consortium.json", place.parent / "consortium.json"]


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
