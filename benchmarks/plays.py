"""Plays of `adversarial`, side by side in several processes, each kept the moment it ends: who is cut goes on from there.

A play is kept under a digest of all that decides it: images, settings, attack, arm, and the code of `TRAINED_BY` and, where
sums are judged, of `JUDGED_BY`; other rules or other images never answer with old figures. An arm that judges nothing is told
by the digest from no change of `adversarial` itself: after one, begin with an empty folder.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.adversarial import OURS, VOTES, Played, Scene, play
from benchmarks.errors import NotMeasured
from benchmarks.federation import Split
from benchmarks.running import split_digest
from chain.children import die_with
from node.learning.training import configure_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from node.attacks.spec import Attack

TRAINED_BY: Final = (
    "benchmarks/plaintext.py",
    "node/attacks/poison.py",
    "node/images/partition.py",
    "node/learning",
    "node/sealing",
)
"""What decides an update and how updates become a model: files, or folders of them, from the repository's root."""
JUDGED_BY: Final = ("benchmarks/adversarial.py", "node/rounds")
"""What decides who is grouped with whom, which sums count, and who is left out."""
_ROOT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Job:
    """One play to come."""

    scene: Scene
    attack: Attack | None
    arm: str

    def __str__(self) -> str:
        """For people."""
        return f"{self.attack or 'nobody lies'}, {self.arm}, seed {self.scene.settings.seed}"

    @property
    def digest(self) -> str:
        """Sha2-256 of all that decides the play, in hex."""
        scene = self.scene
        images = split_digest(Split(scene.hospitals, scene.test))
        numbers = (
            scene.rounds,
            scene.min_group,
            scene.clip_norm,
            scene.tolerance,
            *([scene.sections] if self.arm in {VOTES, OURS} else []),
        )
        code = _code(TRAINED_BY) + (_code(JUDGED_BY) if self.arm in {VOTES, OURS} else b"")
        told = repr((images, numbers, str(self.attack), self.arm)).encode()
        return hashlib.sha256(scene.settings.digest + code + told).hexdigest()


def played(jobs: Sequence[Job], processes: int, folder: Path | None) -> list[Played]:
    """Every play, in the order of ``jobs``; those that ``folder`` keeps are read, equal ones are played once.

    Args:
        jobs: What to play.
        processes: How many at a time, one thread each.
        folder: Where plays are kept and taken up again, made if there is none; None: nowhere.

    Raises:
        NotMeasured: A kept play cannot be read.
        LearningError, DataError: As `play`.
    """
    digests = [job.digest for job in jobs]
    found = {} if folder is None else _kept(folder, digests)
    missing = {digest: job for digest, job in zip(digests, jobs, strict=True) if digest not in found}
    print(f"{len(found)} plays kept from before, {len(missing)} to do", file=sys.stderr, flush=True)
    for digest, done in _side_by_side(missing, processes):
        job = missing[digest]
        if folder is not None:
            _keep(_path(folder, digest), job, done)
        print(f"{job}: AUC {done.aucs[-1]:.3f}", file=sys.stderr, flush=True)
        found[digest] = done
    return [found[digest] for digest in digests]


def _side_by_side(jobs: Mapping[str, Job], processes: int) -> Iterator[tuple[str, Played]]:
    """Each play when it ends."""
    if processes == 1:
        configure_threads(1)
        yield from ((digest, play(job.scene, job.attack, job.arm)) for digest, job in jobs.items())
        return
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    spawn = multiprocessing.get_context(
        "spawn"
    )  # which reads these before numpy is loaded: else each process has a thread a core
    with ProcessPoolExecutor(processes, spawn, _begin, (os.getpid(),)) as pool:
        futures = {pool.submit(play, job.scene, job.attack, job.arm): digest for digest, job in jobs.items()}
        try:
            yield from ((futures[done], done.result()) for done in as_completed(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _begin(parent: int) -> None:
    """In a process of the pool: it ends with who asked, and computes in one thread."""
    die_with(parent)
    configure_threads(1)


def _kept(folder: Path, digests: Sequence[str]) -> dict[str, Played]:
    folder.mkdir(parents=True, exist_ok=True)
    return {digest: kept for digest in digests if (kept := _read(_path(folder, digest))) is not None}


def _path(folder: Path, digest: str) -> Path:
    return folder / f"play-{digest[:32]}.json"


def _keep(path: Path, job: Job, done: Played) -> None:
    """Whole or not at all: a cut leaves no half of a file."""
    left_out = [sorted(seats) for seats in done.left_out]
    text = json.dumps({"what": str(job), "rounds": job.scene.rounds, "played": asdict(done) | {"left_out": left_out}})
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _read(path: Path) -> Played | None:
    """A kept play; None if there is none."""
    if not path.exists():
        return None
    try:
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["played"]
        return Played(**told | {"left_out": [frozenset(seats) for seats in told["left_out"]]})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotMeasured(f"{path}: no kept play ({error}); remove the file, and it is played again") from error


@cache
def _code(places: tuple[str, ...]) -> bytes:
    """Of every Python file at these places, by name."""
    hasher = hashlib.sha256()
    for place in places:
        path = _ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            hasher.update(f"{file.relative_to(_ROOT)}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    return hasher.digest()
