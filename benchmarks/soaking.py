"""A small network that runs for many rounds, looked at once a round: the measuring half of `benchmarks.soak`.

A sample is taken when every hospital has finalised one round more, of whole process trees (a daemon and its worker):

    memory        proportional set size (PSS), bytes
    descriptors   open files, sockets and pipes
    threads       of all its processes
    home          bytes of the files in the hospital's directory, its blobs and its databases

Anvil, the local chain, is sampled too, and is no part of the product.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx
import psutil

from benchmarks.errors import NotMeasured
from node.config import TESTING_VARIABLE
from node.demo.data import prepare
from node.demo.memory import proportional_bytes
from node.demo.network import network
from node.demo.options import DemoOptions
from node.demo.watch import ask
from node.errors import MedweaveError
from node.learning.parameters import layout_of, size_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from node.demo.processes import HospitalProcess

HOSPITALS: Final = 4
PIXELS: Final = 32
IMAGES: Final = 48
"""Of all hospitals together."""
ARCHITECTURE: Final = "cnn"
OPENERS: Final = 3
"""T of the plan: two thirds of the hospitals."""
PHANTOM_CLASSES: Final = 2
FLOAT_BYTES: Final = 4
PAUSE_SECONDS: Final = 0.5
ROUND_SECONDS: Final = 120
"""Between two finalised rounds; more is no measurement."""
START_SECONDS: Final = 180


@dataclass(frozen=True, slots=True)
class Sample:
    """One hospital after one round."""

    hospital: int
    round: int
    memory_bytes: int
    """PSS of its processes."""
    daemon_bytes: int
    """PSS of the daemon alone, without its worker."""
    descriptors: int
    threads: int
    blob_bytes: int
    database_bytes: int
    """`*.sqlite` and their logs."""
    home_bytes: int
    """Every file."""


@dataclass(frozen=True, slots=True)
class Soak:
    """A whole run."""

    samples: tuple[Sample, ...]
    chain_bytes: tuple[int, ...]
    """PSS of Anvil, by round."""
    round_seconds: tuple[float, ...]
    """From one sample to the next."""
    predicted_blob_bytes: float
    """What a round must leave in a hospital's blobs, from the sizes of its ciphertexts."""

    def of(self, hospital: int) -> list[Sample]:
        """One hospital's samples, oldest first."""
        return [sample for sample in self.samples if sample.hospital == hospital]


def soak(out: Path, rounds: int, say: Callable[[str], None]) -> Soak:
    """Run the network for `rounds` rounds and look at it after each.

    Args:
        out: Run directory, not there yet or empty.
        rounds: How many; at least 1.
        say: Told how far it is, a line each.

    Raises:
        NotMeasured: A hospital ended, or a round did not.
    """
    os.environ[TESTING_VARIABLE] = "1"  # the `minimal` parameters, and nothing else
    options = DemoOptions(
        out=out,
        hospitals=HOSPITALS,
        rounds=rounds,
        partition="iid",
        epochs=1,
        architecture=ARCHITECTURE,
        image_size=PIXELS,
        parameter_set="minimal",
        samples=IMAGES,
        baseline=False,
    )
    try:
        with network(options, prepare(options), say) as (hospitals, _, anvil):
            return _watch(hospitals, anvil.pid, rounds, say)
    except MedweaveError as error:
        raise NotMeasured(f"the network stopped: {error}") from error
    except (httpx.HTTPError, psutil.Error, OSError) as error:
        raise NotMeasured(f"the network could not be looked at: {error}") from error


def _watch(hospitals: Sequence[HospitalProcess], chain: int | None, rounds: int, say: Callable[[str], None]) -> Soak:
    samples: list[Sample] = []
    chain_bytes: list[int] = []
    seconds: list[float] = []
    done, before = 0, time.monotonic()
    limit = before + START_SECONDS
    while done < rounds:
        reached = min(_finalised(hospital) for hospital in hospitals)
        now = time.monotonic()
        if reached > done:
            samples += [look(hospital, reached) for hospital in hospitals]
            chain_bytes.append(0 if chain is None else proportional_bytes(chain))
            seconds.append((now - before) / (reached - done))
            done, before, limit = reached, now, now + ROUND_SECONDS
            say(_line(samples[-len(hospitals) :], rounds, seconds[-1]))
        elif now > limit:
            raise NotMeasured(f"round {done + 1} was not finalised by every hospital within {ROUND_SECONDS} s")
        time.sleep(PAUSE_SECONDS)
    said = ask(hospitals[0], f"/v1/rounds/{done}")
    return Soak(tuple(samples), tuple(chain_bytes), tuple(seconds), predicted(said, OPENERS, _parameters()))


def _parameters() -> int:
    return size_of(layout_of(ARCHITECTURE, PHANTOM_CLASSES))


def _finalised(hospital: HospitalProcess) -> int:
    code = hospital.exited()
    if code is not None:
        raise NotMeasured(f"{hospital.name} stopped with code {code}: {hospital.last_words()}")
    return int(ask(hospital, "/v1/status")["finalised"])


def look(hospital: HospitalProcess, number: int) -> Sample:
    """One hospital now: its processes and its files.

    Raises:
        NotMeasured: Its daemon was never started.
        psutil.Error: It is gone.
    """
    if hospital.process is None:
        raise NotMeasured(f"{hospital.name} was not started")
    daemon = psutil.Process(hospital.process.pid)
    tree = [daemon, *daemon.children(recursive=True)]
    memory = [proportional_bytes(process.pid) for process in tree]
    return Sample(
        hospital=hospital.index,
        round=number,
        memory_bytes=sum(memory),
        daemon_bytes=memory[0],
        descriptors=sum(process.num_fds() for process in tree),
        threads=sum(process.num_threads() for process in tree),
        blob_bytes=size_of_files(hospital.home / "blobs"),
        database_bytes=size_of_files(hospital.home, "*.sqlite*"),
        home_bytes=size_of_files(hospital.home),
    )


def size_of_files(folder: Path, pattern: str = "*") -> int:
    """Bytes of all files below a folder; one that goes away meanwhile counts nothing."""
    found = 0
    for path in folder.rglob(pattern):
        try:
            found += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return found


def predicted(said: Mapping[str, Any], openers: int, parameters: int) -> float:
    """Bytes a finalised round must leave in a hospital's blobs where nothing is ever deleted.

    Every update, one sum (as large as an update) of the one group, the partial openings of each opener, the model in float32.

    Args:
        said: `GET /v1/rounds/N` of a hospital.
        openers: Members that opened the sum.
        parameters: Of the network.

    Raises:
        NotMeasured: It says nothing of what was sent.
    """
    try:
        updates, upload, share = len(said["updates"]), said["bytes"]["upload"], said["bytes"]["shares"]
    except (KeyError, TypeError):
        raise NotMeasured("a hospital does not say how many bytes it sent in the last round") from None
    return float((updates + 1) * upload + openers * share + FLOAT_BYTES * parameters)


def _line(now: Sequence[Sample], rounds: int, seconds: float) -> str:
    memory = sum(sample.memory_bytes for sample in now) / 1e6
    open_files = sum(sample.descriptors for sample in now)
    return f"round {now[0].round} of {rounds}: {seconds:.1f} s, {memory:.0f} MB, {open_files} descriptors"
