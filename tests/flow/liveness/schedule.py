"""What goes wrong in one round, drawn from a seed: who leads badly and how, who else fails, what the network does."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.flow.liveness.leaders import LEADERS
from tests.flow.liveness.members import MEMBERS

STEPS = ("TrainAndSeal", "PostUpdate", "Close", "Reveal", "Propose", "VerifyProposal", "ReleaseShare", "OpenAndScore")
LATE_STEPS = ("PostVerdict", "WriteStatement", "VerifyStatement", "PostCheckpoint", "Finalise", "Adopt")
BEYOND_EVERY = 5
"""Every fifth schedule has more faults, or a worse network, than the design withstands: then a round may be aborted."""


@dataclass(frozen=True)
class Crash:
    """A member is killed at a step of its own and comes back."""

    rank: int
    step: str
    after: bool
    """Whether the step was carried out and only its result is lost."""
    seconds: float


@dataclass(frozen=True)
class Schedule:
    """One round's faults. Members are named by their rank as leaders, which is known once the round is open."""

    seed: int
    members: int
    threshold: int
    min_group: int
    faults: tuple[tuple[int, str], ...]
    """(rank, name of the fault) of each faulty member; names are those of LEADERS and MEMBERS."""
    crashes: tuple[Crash, ...]
    loss: float
    """Share of messages that never arrive."""
    delay: float
    """Longest time that a message takes, in seconds."""
    effort: float
    """Longest time that a step takes, in seconds."""
    beyond: bool
    """Whether more goes wrong than the design withstands."""

    @property
    def must_finalise(self) -> bool:
        """Whether an abort would be a fault of ours."""
        return not self.beyond and all(name not in MAY_ABORT for _, name in self.faults)

    def __str__(self) -> str:
        faults = ", ".join(f"rank {rank} {name}" for rank, name in self.faults)
        crashes = ", ".join(
            f"rank {c.rank} dies {'after' if c.after else 'before'} {c.step} for {c.seconds:.1f} s"
            for c in self.crashes
        )
        return (
            f"seed {self.seed}: N={self.members} T={self.threshold} groups of {self.min_group}; {faults}; "
            f"{crashes or 'no crash'}; loss {self.loss:.0%}, delay to {self.delay:.1f} s, steps to {self.effort:.1f} s"
            f"{'; beyond what is withstood' if self.beyond else ''}"
        )


MAY_ABORT = {name for name, kind in LEADERS.items() if kind.splits}


def draw(seed: int) -> Schedule:
    """The schedule of a seed. Every way to lead badly comes up in turn; the rest is chance."""
    rng = random.Random(seed)
    members = rng.choice((4, 4, 5, 6, 7))
    beyond = seed % BEYOND_EVERY == BEYOND_EVERY - 1
    names = list(LEADERS)
    leader = names[seed % len(names)]
    faults = [(LEADERS[leader].rank, leader)]
    budget = (members - 1) // 3 + (rng.choice((0, 1)) if beyond else 0)
    while len(faults) < budget:
        rank = rng.choice([k for k in range(members) if k not in dict(faults)])
        takes_over = rank == 1 and LEADERS[leader].rank == 0 and rng.random() < 0.7
        faults.append((rank, rng.choice(names) if takes_over else rng.choice(list(MEMBERS))))
    rough = beyond and len(faults) <= (members - 1) // 3
    sound = [k for k in range(members) if k not in dict(faults)]
    crashes = tuple(
        Crash(rng.choice(sound), rng.choice(STEPS + LATE_STEPS), rng.random() < 0.5, rng.uniform(0.2, 3.0))
        for _ in range(rng.choice((0, 1, 1, 2)))
    )
    return Schedule(
        seed=seed,
        members=members,
        threshold=-(-2 * members // 3),
        min_group=2 if members < 6 else rng.choice((2, 3)),
        faults=tuple(sorted(faults)),
        crashes=crashes,
        loss=rng.uniform(0.4, 0.7) if rough else rng.choice((0.0, 0.1, 0.25)),
        delay=rng.uniform(4.0, 9.0) if rough else rng.choice((0.0, 0.1, 0.4)),
        effort=rng.choice((0.0, 0.1, 0.3)),
        beyond=beyond,
    )
