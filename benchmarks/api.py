"""How fast a node answers: a real daemon with a ledger of 100,000 transactions, 32 clients at once, at rest and in training.

Every client asks again as soon as it has its answer, so 32 requests are under way at any time: a latency is what the server
takes for 32 of them. Requests carry a person's token and pass the whole access control; limits on rates are lifted. A bare
FastAPI application with one constant object stands beside it, under the same load, in the same run.
"""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import psutil
from rich.console import Console

from benchmarks import harness
from benchmarks.busynode import busy_node
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target
from benchmarks.load import Load, Sample, drive
from chain.children import end

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.busynode import BusyNode

CLIENTS: Final = 32
TRANSACTIONS: Final = 100_000
SECONDS: Final = 5.0
"""Of load a route."""
MOST_P99_SECONDS: Final = 0.1
STOP_SECONDS: Final = 10.0
REST, TRAINING, BARE = "at rest", "in training", "bare FastAPI, one constant object"
ROUTES: Final = {
    "list (100 transactions)": "/v1/transactions?limit=100&order=newest",
    "list (filtered)": "/v1/transactions?kind=update&limit=50",
    "one transaction": "/v1/transactions/{cid}",
    "cone (100, depth 8)": "/v1/transactions/{cid}/cone?limit=100",
    "tips": "/v1/transactions/tips",
    "rounds": "/v1/rounds",
    "one round": "/v1/rounds/1",
    "status": "/v1/status",
}
"""Queries; `{cid}` is each of a hundred transactions in turn."""
ROUND_NEEDED: Final = frozenset({"one round"})
MIXED: Final = "all of these, in turn"


class Driver:
    """Puts a server under load from a process of its own.

    Args:
        tokens: One a client.
        seconds: Of load.
    """

    def __init__(self, tokens: Sequence[str], seconds: float) -> None:
        self._tokens, self._seconds = tuple(tokens), seconds
        self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

    def drive(self, port: int, paths: Sequence[str]) -> Sample:
        """One route under load."""
        load = Load("127.0.0.1", port, tuple(paths), self._tokens, self._seconds)
        return self._pool.submit(drive, load).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown()


def measure(clients: int, transactions: int, seconds: float) -> Result:
    """Everything, in one run.

    Raises:
        NotMeasured: The node does not come up, refuses a request, or stops training meanwhile.
    """
    console = Console(stderr=True)
    with (
        tempfile.TemporaryDirectory(prefix="medweave-benchmark-") as name,
        bare_server() as bare,
        busy_node(Path(name) / "run", transactions, clients, console.print) as node,
        closing(Driver(node.tokens, seconds)) as driver,
        closing(Driver([""] * clients, seconds)) as nobody,
    ):
        rows = [_row(BARE, REST, nobody.drive(bare, ["/constant"]))]
        console.print("load at rest")
        rows += _all(driver, node, REST)
        node.train(console.print)
        console.print("load in training")
        rows += _all(driver, node, TRAINING)
        rows.append(_row(BARE, TRAINING, nobody.drive(bare, ["/constant"])))
        if not node.training():
            raise NotMeasured("training ended before the load did: give it more epochs")
    return summarise(rows, clients, transactions, seconds)


def _all(driver: Driver, node: BusyNode, when: str) -> list[Row]:
    """Every route by itself, then all of them in turn."""
    routes = {name: path for name, path in ROUTES.items() if when == TRAINING or name not in ROUND_NEEDED}
    paths = {name: [path.replace("{cid}", cid) for cid in node.ids] for name, path in routes.items()}
    rows = [_row(when, name, driver.drive(node.port, listed)) for name, listed in paths.items()]
    mixed = [path for each in zip(*paths.values(), strict=True) for path in each]
    return [*rows, _row(when, MIXED, driver.drive(node.port, mixed))]


def _row(table: str, name: str, sample: Sample) -> Row:
    return Row(
        table,
        name,
        {
            "p50_seconds": sample.quantile(0.5),
            "p99_seconds": sample.quantile(0.99),
            "most_seconds": max(sample.latencies),
            "answers_a_second": round(sample.rate),
            "body_bytes": round(sample.size),
        },
    )


def summarise(rows: Sequence[Row], clients: int, transactions: int, seconds: float) -> Result:
    """Tables and targets of what was measured."""
    targets = tuple(
        Target(f"p99 {row.name}, {row.table}", float(row.figures["p99_seconds"] or 0), "s", "<=", MOST_P99_SECONDS)
        for row in rows
        if row.table == TRAINING
    )
    load = psutil.getloadavg()
    notes = (
        f"{clients} clients, each asking again at once; {transactions:,} transactions; {seconds:.0f} s a route",
        "training: cnn-529k on SYNTHETIC images of 64x64 pixels, one thread, as nice as it comes",
        f"load of the machine at the end, over 1, 5 and 15 minutes: {load[0]:.1f}, {load[1]:.1f}, {load[2]:.1f}",
    )
    return Result(tuple(rows), targets, notes)


@contextmanager
def bare_server() -> Iterator[int]:
    """The bare application in a process of its own; its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.bare", str(port)])
    try:
        _until_up(f"http://127.0.0.1:{port}/constant")
        yield port
    finally:
        end(STOP_SECONDS, process)


def _until_up(url: str) -> None:
    for _ in range(200):
        try:
            httpx.get(url, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise NotMeasured(f"{url}: no answer within 20 s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = harness.parser(__doc__ or "")
    parser.add_argument("--clients", type=int, default=CLIENTS, metavar="N", help="at once")
    parser.add_argument("--transactions", type=int, default=TRANSACTIONS, metavar="N", help="in the ledger")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help="of load a route")
    options = parser.parse_args(arguments)
    return harness.run(lambda: measure(options.clients, options.transactions, options.seconds), options.json)


if __name__ == "__main__":
    sys.exit(main())
