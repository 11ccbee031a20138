"""Where `medweave ledger` reads from: a hospital's ledger file, any ledger file, or a running node's REST."""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from chain.client import Chain
from chain.deployment import Deployment
from chain.errors import ChainError
from dag.drawing.region import Region, rounds_region
from dag.errors import MalformedIdentifier, MalformedNote
from dag.fields import MAX_MEMBERS
from dag.ids import cid_of
from dag.proofs.notes import Note
from dag.proofs.witnesses import Witness, Witnesses
from dag.store.snapshot import Snapshot
from dag.store.sqlite import Store
from dag.transaction import Transaction
from node.calling.person import personal
from node.client import NodeClient
from node.client.transport import TIMEOUT_SECONDS, Transport
from node.consortium.follower import Follower
from node.consortium.view import address_bytes
from node.errors import BadInput, PeerProblem
from node.home import Home, read_deployment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from node.consortium.view import ConsortiumView

    Report = Callable[[str, int, int], None]

MAX_REMOTE = 200_000
"""Transactions read from a node at most; a larger ledger is read from its file."""
_CONNECTIONS = 8
_LEAST_PREFIX = 8


@dataclass(frozen=True)
class Source:
    """What the options of a command said."""

    home: Path | None
    file: Path | None
    url: str | None
    members: Path | None
    rpc: str | None
    contracts: Path | None

    @property
    def path(self) -> Path | None:
        """The ledger file that is meant, if one is.

        Raises:
            BadInput: There is no such file.
        """
        path = self.file or (Home(self.home).ledger if self.home else None)
        if path is not None and not path.is_file():
            raise BadInput(f"{path}: no such ledger file")
        return path

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The ledger's file, open for reading; a running node is not disturbed.

        Raises:
            BadInput: No file was named, or there is none.
        """
        if (path := self.path) is None:
            raise click.UsageError("give --home DIR or --file LEDGER")
        with Store(path, read_only=True) as store:
            yield store

    @contextmanager
    def snapshot(self, *, quiet: bool = False, chain: bool = True) -> Iterator[Snapshot]:
        """The ledger as it stands now.

        Args:
            quiet: Show no progress.
            chain: Ask the home's own chain for names and quorum where nothing else was said; do without if it is silent.

        Raises:
            BadInput: Nothing to read from was named, or it is not there.
            PeerProblem: The node does not answer, or lies.
        """
        members = self.witnesses(ask_home=chain)
        with ExitStack() as stack:
            with progress_bar(quiet=quiet) as report:
                if self.url is not None:
                    remote = Remote(self.url)
                    found = remote.transactions(report)
                    snapshot = Snapshot.of_transactions(found, self.url, members or remote.members())
                else:
                    store = stack.enter_context(self.store())
                    step = functools.partial(report, "reading") if report else None
                    snapshot = Snapshot.of_store(store, members, step)
            yield snapshot

    def witnesses(self, *, ask_home: bool = False) -> Witnesses | None:
        """The members, from `--members` or the chain; None where neither was given.

        Raises:
            BadInput: The file is no list of members.
            ChainError: The chain that was named cannot be read.
        """
        if self.members is not None:
            return read_members(self.members)
        if self.rpc is not None:
            return seats_of(self.chain())
        if ask_home and self.home is not None and Home(self.home).config_file.is_file():
            config = Home(self.home).config()
            try:
                return seats_of(Chain(config.chain.rpc, read_deployment(Home(self.home)), timeout=2.0, attempts=1))
            except ChainError:
                note = f"note: the chain at {config.chain.rpc} does not answer; names are unknown, everybody who posted counts"
                click.echo(note, err=True)
        return None

    def chain(self) -> Chain:
        """The chain that was named, checked to be the consortium's.

        Raises:
            BadInput: The contracts' addresses are missing.
            ChainError: The endpoint cannot be reached, or is another chain.
        """
        home = Home(self.home) if self.home else None
        path = self.contracts or (home.file(home.config().chain.deployment) if home else None)
        rpc = self.rpc or (home.config().chain.rpc if home else None)
        if path is None or rpc is None:
            raise click.UsageError("give --rpc URL and --contracts FILE (consortium.json), or --home DIR")
        try:
            deployment = Deployment.from_json(path.read_bytes())
        except OSError as error:
            raise BadInput(f"{path}: {error.strerror}; name the contracts' addresses with --contracts FILE") from None
        chain = Chain(rpc, deployment)
        chain.verify()
        return chain


class Remote:
    """A node's ledger over HTTP. What it sends is checked: an id is the digest of the bytes, a signature its issuer.

    Args:
        url: The node's base address.
        client: Carries the requests; one of its own by default.
    """

    def __init__(self, url: str, client: httpx.Client | None = None) -> None:
        limits = httpx.Limits(max_connections=_CONNECTIONS)
        http = client or personal(url).client(TIMEOUT_SECONDS, limits)
        self._url = url.rstrip("/")
        self._node = NodeClient(url, transport=Transport(url, http=http))

    def transactions(self, report: Report | None = None) -> Iterator[Transaction]:
        """All transactions in the order the node attached them.

        Raises:
            PeerProblem: The node does not answer, sends something else, or holds more than can be read this way.
        """
        ids = list(self._ids())
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            for done, transaction in enumerate(pool.map(self._one, ids), 1):
                if report:
                    report("fetching", done, len(ids))
                yield transaction

    def members(self) -> Witnesses:
        """The members as the node names them: for names in a picture, not for proofs.

        Raises:
            PeerProblem: The node does not answer, or sends something else.
        """
        try:
            rows = self._node.transport.json("/v1/members")["members"]
            consortium = bytes.fromhex(self._node.transport.json("/v1/status")["consortium"])
            named = [Witness(int(row["index"]), str(row["name"]), address_bytes(row["account"])) for row in rows]
            return Witnesses.from_json(Witnesses(consortium, tuple(named[:MAX_MEMBERS])).to_json().encode())
        except (KeyError, TypeError, ValueError, MalformedNote) as error:
            raise PeerProblem(f"{self._url}/v1/members: not a list of members ({error})") from None

    def checkpoint(self) -> Note:
        """The head of the log that the node's hospital cosigned last; no signature is checked.

        Raises:
            PeerProblem: The node does not answer, has none, or sends something else.
        """
        return self._node.checkpoint()

    def _ids(self) -> Iterator[str]:
        count = 0
        for page in self._node.pages("/v1/transactions", {}):
            try:
                found = [str(row["id"]) for row in page["transactions"]]
            except (KeyError, TypeError):
                raise PeerProblem(f"{self._url}: not a page of transactions") from None
            yield from found
            count += len(found)
            if count > MAX_REMOTE:
                raise PeerProblem(f"{self._url}: more than {MAX_REMOTE} transactions; read the ledger's file instead")

    def _one(self, cid: str) -> Transaction:
        try:
            return self._node.raw_transaction(cid)
        except MalformedIdentifier as error:
            raise PeerProblem(f"{self._url}: {error}") from None


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that name a ledger; the command gets them as one `Source`."""

    @functools.wraps(command)
    def run(
        home: Path | None,
        file: Path | None,
        url: str | None,
        members: Path | None,
        rpc: str | None,
        contracts: Path | None,
        **rest: Any,
    ) -> Any:
        if sum(place is not None for place in (home, file, url)) > 1:
            raise click.UsageError("give one of --home, --file, --url")
        return command(Source(home, file, url, members, rpc, contracts), **rest)

    directory = click.Path(path_type=Path, file_okay=False)
    plain = click.Path(path_type=Path, dir_okay=False)
    for option in (
        click.option("--contracts", type=plain, help="File with the contracts' addresses; default: the home's."),
        click.option("--rpc", help="JSON-RPC endpoint of the chain, for members and rounds."),
        click.option("--members", type=plain, help="List of members (`medweave ledger members`)."),
        click.option("--url", help="A running node's address, such as http://127.0.0.1:8000."),
        click.option("--file", type=plain, help="A ledger file (ledger.sqlite)."),
        click.option("--home", type=directory, help="The hospital's directory; works while its node runs."),
    ):
        run = option(run)
    return run


def read_members(path: Path) -> Witnesses:
    """The members in a file.

    Raises:
        BadInput: It cannot be read, or is no list of members.
    """
    try:
        return Witnesses.from_json(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    except MalformedNote as error:
        raise BadInput(f"{path}: {error}") from None


def view_of(chain: Chain) -> ConsortiumView:
    """What the chain says so far. Raises ChainError."""
    follower = Follower(chain)
    follower.look()
    return follower.view


def members_of(chain: Chain) -> Witnesses:
    """The present members as the chain's registry lists them: whose signatures convince now. Raises ChainError."""
    present = chain.registry.member_set()
    seats = chain.registry.members()
    members = [Witness(index, seats[index].name, address_bytes(seats[index].account)) for index in sorted(present)]
    return Witnesses(chain.deployment.consortium, tuple(members))


def seats_of(chain: Chain) -> Witnesses:
    """Everybody who ever was a member: whose transactions the ledger may hold. Raises ChainError."""
    hospitals = view_of(chain).hospitals
    members = [Witness(index, row.name, address_bytes(row.account)) for index, row in enumerate(hospitals)]
    return Witnesses(chain.deployment.consortium, tuple(members))


def find(snapshot: Snapshot, text: str) -> bytes:
    """The id that a CID, 64 hex digits, or the unambiguous beginning of either names.

    Raises:
        BadInput: Nothing or more than one transaction is named so.
    """
    hexadecimal = text.lower().removeprefix("0x")
    if len(text) < _LEAST_PREFIX:
        raise BadInput(f"{text!r}: give a CID, an id in hex, or {_LEAST_PREFIX} characters of one at least")
    found = [
        tx_id
        for tx_id in snapshot.tangle.ids()
        if tx_id.hex().startswith(hexadecimal) or cid_of(tx_id).startswith(text)
    ]
    if len(found) != 1:
        what = "no transaction" if not found else f"{len(found)} transactions"
        raise BadInput(f"{text}: names {what} in {snapshot.where}")
    return found[0]


def region_of(source: Source, first: int, last: int, *, context: bool = False, quiet: bool = False) -> Region:
    """The rounds to draw or to export.

    Args:
        source: The ledger.
        first: First round.
        last: Last round.
        context: With the transactions of other rounds that are approved directly.
        quiet: Show no progress.

    Raises:
        BadInput: The ledger holds none of them.
    """
    if last < first:
        raise click.UsageError(f"--to {last} is before --round {first}")
    with source.snapshot(quiet=quiet) as snapshot:
        region = rounds_region(snapshot.tangle, first, last, snapshot.names, context=context)
        if not region.dots:
            rounds = sorted({snapshot.tangle.round(tx_id) for tx_id in snapshot.tangle.ids()})
            held = f"rounds {rounds[0]} to {rounds[-1]}" if rounds else "nothing"
            raise BadInput(f"--round {first}: {snapshot.where} holds {held}")
    return region


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Report | None]:
    """A bar on standard error, where that is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading")
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)
