"""Runs side by side, and finished ones as files: a benchmark that takes an hour survives a cut, the same command goes on.

A file is named by what was run and by a hash of everything that decides it: settings, rounds, threads, and every image,
label and patient of the split. It holds arrays and one JSON text, no pickle. The code that made it is *not* in the hash:
keep runs of one version in one folder.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol
from zipfile import BadZipFile

import numpy as np

from benchmarks.errors import NotMeasured
from benchmarks.federation import Run, Split
from node.learning.training import configure_threads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from node.images.record import Dataset


class Work(Protocol):
    """One run to do, in this process or another."""

    @property
    def threads(self) -> int:
        """How many torch may use."""

    def __call__(self) -> Run:
        """Do it."""

    def __str__(self) -> str:
        """What it is, for people."""


def side_by_side(works: Sequence[Work], processes: int, folder: Path | None = None) -> list[Run]:
    """Every run, in the order of ``works``, so many at a time; each is told on standard error when it ends.

    Args:
        works: What to run.
        processes: At most so many at a time.
        folder: Where finished runs are kept and taken up again; None: nowhere.
    """
    if processes == 1:
        return [_told(work, _done(work, folder)) for work in works]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        futures = {pool.submit(_done, work, folder): place for place, work in enumerate(works)}
        runs = {futures[done]: _told(works[futures[done]], done.result()) for done in as_completed(futures)}
    return [runs[place] for place in range(len(works))]


def _done(work: Work, folder: Path | None) -> Run:
    if folder is not None and (path := file_of(folder, work)).exists():
        return read(path)
    configure_threads(work.threads)
    run = work()
    if folder is not None:
        write(file_of(folder, work), run)
    return run


def _told(work: Work, run: Run) -> Run:
    print(f"{work}: {run.seconds:.0f} s, training loss {run.loss:.4f}", file=sys.stderr, flush=True)
    return run


# ---- finished runs ---------------------------------------------------------------------------------------------------


def file_of(folder: Path, work: Work) -> Path:
    """Where the run of ``work`` lies, or would."""
    words = re.sub(r"\W+", "-", str(work)).strip("-").lower()
    return folder / f"{words}-{key(work)}.npz"


def key(work: Work) -> str:
    """16 hex digits of SHA-256 over the fields of ``work``, a dataclass."""
    found = hashlib.sha256()
    for field in fields(work):  # type: ignore[arg-type]  # every job is a dataclass
        value = getattr(work, field.name)
        said = split_digest(value) if isinstance(value, Split) else repr(value)
        found.update(f"{field.name}={said}\n".encode())
    return found.hexdigest()[:16]


def split_digest(split: Split) -> str:
    """SHA-256, hex, over all that a split holds."""
    sets = [*split.hospitals, split.test, *([] if split.held is None else [split.held])]
    return hashlib.sha256("".join(map(_data_digest, sets)).encode()).hexdigest()


def _data_digest(data: Dataset) -> str:
    found = hashlib.sha256(repr((data.images.shape, data.class_names, data.patients.tolist())).encode())
    found.update(np.ascontiguousarray(data.images).tobytes())
    found.update(data.labels.astype("<i8").tobytes())
    return found.hexdigest()


def write(path: Path, run: Run) -> None:
    """Keep a finished run; a file is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = {
        "marks": run.marks,
        "clipped": run.clipped,
        "clipped_norms": run.clipped_norms,
        "loss": run.loss,
        "digests": run.digests,
    }
    half = path.with_suffix(".part")
    with half.open("wb") as file:
        np.savez_compressed(file, answers=np.stack(run.answers), vector=run.vector, numbers=json.dumps(numbers))
    half.replace(path)


def read(path: Path) -> Run:
    """A run that was kept.

    Raises:
        NotMeasured: The file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as found:
            told: dict[str, Any] = json.loads(str(found["numbers"]))
            return Run(
                answers=tuple(found["answers"]),
                vector=found["vector"],
                marks=tuple(told["marks"]),
                clipped=told["clipped"],
                clipped_norms=told["clipped_norms"],
                loss=told["loss"],
                digests=tuple(told["digests"]),
            )
    except (BadZipFile, EOFError, KeyError, ValueError) as error:
        raise NotMeasured(f"{path}: no whole run ({error}); delete the file to run it again") from None
