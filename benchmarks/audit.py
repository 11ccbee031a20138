"""`medweave audit` on one core, over a made-up history (`benchmarks.history`): how long, and where the time goes.

The commands run as a person runs them, each in a process of its own, the chain's process included, all on one core. Compared
with it in the same run is the least that any audit has to do with the ciphertexts: read and hash them once.

    python -m benchmarks.audit [--members N] [--rounds R] [--architecture NAME] [--insecure] [--json F] [--repeats N]
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target
from benchmarks.history import Blobs, History, Size
from benchmarks.streams import timed
from chain.anvil import Anvil
from chain.errors import ChainError
from crypto.parameters import parameter_set

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AUDIT_SECONDS: Final = 60.0
"""Promised for ten rounds of ten hospitals and half a million parameters, on one core."""
PROMISED: Final = Size(10, 10, "cnn-529k")
LIMIT_SECONDS: Final = 1_800


@dataclass(frozen=True)
class Audit:
    """One run of a command."""

    seconds: float
    """From the command line to the end of its process."""
    links: Mapping[str, float]
    """Seconds by link."""


@dataclass
class Measured:
    """Everything measured about one history."""

    parameters: int
    blob_bytes: int
    making_seconds: float
    bundle_bytes: int = 0
    audits: list[Audit] = field(default_factory=list)
    verifications: list[Audit] = field(default_factory=list)
    hashing: list[float] = field(default_factory=list)
    export_seconds: float = 0.0


def make(run: Path, size: Size, *, insecure: bool) -> Measured:
    """A run directory like a demo's: chain, contracts' addresses, one hospital's blobs, the newest model.

    Raises:
        NotMeasured: The chain does not run, or refused a step.
    """
    params = parameter_set("minimal" if insecure else "standard", allow_minimal=insecure)
    blobs = Blobs(run / "hospitals" / "hospital-0" / "blobs")

    def build() -> History:
        with Anvil(None, run / "chain" / "state.json") as anvil:
            history = History(anvil.url, blobs, size, params)
            for number in range(1, size.rounds + 1):
                history.round(number)
        return history

    try:
        seconds, history = timed(build)
    except ChainError as error:
        raise NotMeasured(f"the local chain: {error}") from error
    (run / "consortium.json").write_text(history.deployment.to_json(), encoding="utf-8")
    (run / "model.bin").write_bytes(history.model)
    return Measured(history.parameters, blobs.bytes, seconds)


def measure(size: Size, repeats: int, *, insecure: bool = False) -> Result:
    """Make a history and audit it.

    Raises:
        NotMeasured: It could not be made, or an audit of it did not end verified.
    """
    with tempfile.TemporaryDirectory(prefix="medweave-history-") as folder:
        run = Path(folder)
        measured = make(run, size, insecure=insecure)
        bundle = run / "model.bundle"
        measured.export_seconds, told = timed(lambda: _medweave("export", str(bundle), "--run", str(run)))
        measured.bundle_bytes = bundle.stat().st_size
        trust = ("--header", told["header"], "--contracts", str(run / "consortium.json"))
        for _ in range(repeats):
            measured.audits.append(_audit("model", str(run / "model.bin"), "--run", str(run)))
            measured.verifications.append(_audit("verify", str(bundle), *trust))
            measured.hashing.append(timed(lambda: _read_and_hash(run))[0])
    return result_of(size, measured)


def result_of(size: Size, measured: Measured) -> Result:
    """The tables and the promise."""
    name = f"{size.rounds} rounds, {size.members} hospitals, {measured.parameters:,} parameters"
    hashing = harness.median(measured.hashing)
    rows = []
    for what, runs in (("medweave audit model", measured.audits), ("medweave audit verify", measured.verifications)):
        seconds = [one.seconds for one in runs]
        over = {"over_reading_and_hashing_ratio": harness.median(seconds) / hashing}
        rows.append(Row(f"audit on one core: {name}", what, harness.spread("audit", seconds) | over))
    rows.append(
        Row(f"audit on one core: {name}", "read and hash every blob", harness.spread("audit", measured.hashing))
    )
    rows += _by_link(measured.audits)
    made = {
        "making_seconds": measured.making_seconds,
        "export_seconds": measured.export_seconds,
        "blobs_bytes": measured.blob_bytes,
        "bundle_bytes": measured.bundle_bytes,
    }
    rows.append(Row("the history", name, made))
    median = harness.median(one.seconds for one in measured.audits)
    targets = (Target(f"audit model, {name}", median, "s", "<=", AUDIT_SECONDS),) if _is_promised(size) else ()
    return Result(
        tuple(rows),
        targets,
        (
            "Updates are noise and models made up; contracts, keys, ciphertexts, ledger and signatures are real.",
            "An audit's seconds hold the start of Python and of the chain; seconds by link do not.",
        ),
    )


def _by_link(audits: Sequence[Audit]) -> list[Row]:
    """Where the time went, by median over the repeats."""
    medians = {link: harness.median(one.links[link] for one in audits) for link in audits[0].links}
    total = sum(medians.values())
    return [
        Row("audit model, by link", link, {"time_seconds": seconds, "percent": 100 * seconds / total})
        for link, seconds in sorted(medians.items(), key=lambda item: -item[1])
    ]


def _is_promised(size: Size) -> bool:
    return (size.members, size.rounds, size.architecture) == (PROMISED.members, PROMISED.rounds, PROMISED.architecture)


def _audit(*arguments: str) -> Audit:
    seconds, content = timed(lambda: _medweave(*arguments, "--timings"))
    return Audit(seconds, content["seconds"])


def _medweave(*arguments: str) -> dict[str, Any]:
    """A `medweave audit` command on one core; what it answers.

    Raises:
        NotMeasured: It did not end verified.
    """
    command = [sys.executable, "-c", _COMMAND, "audit", *arguments, "--json"]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=LIMIT_SECONDS, env=os.environ | threads
    )
    if done.returncode:
        raise NotMeasured(
            f"medweave audit {arguments[0]} ended with {done.returncode}: {done.stderr}{done.stdout[-2000:]}"
        )
    content: dict[str, Any] = json.loads(done.stdout)
    return content


_COMMAND: Final = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
from node.cli.main import main
main()
"""
"""The command line, kept on one core with everything it starts."""


def _read_and_hash(run: Path) -> None:
    for path in run.glob("hospitals/*/blobs/*/*"):
        hashlib.sha256(path.read_bytes())


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = harness.parser(__doc__ or "")
    parser.add_argument(
        "--members", type=int, default=PROMISED.members, metavar="N", help=f"default {PROMISED.members}"
    )
    parser.add_argument("--rounds", type=int, default=PROMISED.rounds, metavar="R", help=f"default {PROMISED.rounds}")
    parser.add_argument(
        "--architecture", default=PROMISED.architecture, metavar="NAME", help=f"default {PROMISED.architecture}"
    )
    parser.add_argument("--insecure", action="store_true", help="small encryption parameters, for a quick look")
    options = parser.parse_args(arguments)
    if not 3 <= options.members <= 64 or not 1 <= options.rounds <= 1000:
        parser.error("--members has to be 3 to 64, --rounds 1 to 1000")
    size = Size(options.members, options.rounds, options.architecture)
    return harness.run(lambda: measure(size, options.repeats, insecure=options.insecure), options.json)


if __name__ == "__main__":
    sys.exit(main())
