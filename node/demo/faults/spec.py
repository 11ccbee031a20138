"""What `--fault` takes: `KIND[:VICTIM[:AMOUNT]]@[ROUND.]PHASE[+SECONDS]`, or `random:SEED`.

    kill:member-2@sealing          kill -9 the second hospital's node when it begins to seal, in round 1
    pause:leader:20@3.propose+0.5  stop round 3's leader for 20 s, half a second after it began to propose
    kill:anvil@sign                kill the chain
    kill:ipfs:8@2.open             kill the IPFS node that half of the hospitals keep their blobs in, for 8 s
    random:7                       everything drawn by seed 7, always the same

A fault begins the moment the victim is in the phase, or in a later one where that phase was too short to be seen, and is lifted
after AMOUNT seconds. A clock's AMOUNT is by how many seconds it is put forward (or back), for `CLOCK_SECONDS`.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from node.errors import BadInput
from node.rounds.phases import PHASES

if TYPE_CHECKING:
    from collections.abc import Sequence

KINDS: Final = {
    "kill": "the process is killed (SIGKILL) and started again",
    "pause": "the process is stopped (SIGSTOP) and goes on (SIGCONT)",
    "restart": "the process is asked to end (SIGTERM) and started again",
    "disk-full": "the disk under the hospital's directory is full",
    "cut": "nothing passes between the hospital and the others",
    "slow": "what passes between the hospital and the others takes 0.3 s longer each way, at 256 KiB/s",
    "cut-chain": "nothing passes between the hospital and the chain",
    "clock": "the hospital's clock is put forward or back",
}
"""Every fault by name, and what it does."""
ANVIL: Final = "anvil"
"""The chain."""
IPFS: Final = "ipfs"
"""The IPFS node that half of the hospitals keep their blobs in."""
LEADER: Final = "leader"
"""Of the round, first in its ranking."""
OPENER: Final = "opener"
"""Of the round: whose transaction opened it."""
ROLES: Final = (LEADER, OPENER)
"""Victims that the chain names once a round is open."""
BESIDES: Final = (ANVIL, IPFS)
"""Victims that are no hospital."""
ENDINGS: Final = ("kill", "pause", "restart")
"""What can be done to these."""
CEREMONY: Final = "ceremony"
SEALING: Final = "sealing"
MOMENTS: Final = (CEREMONY, *(name for name, _over in PHASES))
"""When a fault may begin, in order; `sealing` is the later part of `train`."""

DEFAULT_AMOUNT: Final = 12.0
CLOCK_SECONDS: Final = 12.0
MAX_AMOUNT: Final = 600.0
MAX_DELAY: Final = 600.0
DETECTABLE_SECONDS: Final = 15.0
"""A node that is away for longer must have been missed by the others."""

_AMOUNTS: Final = {
    "kill": (1.0, 25.0),
    "pause": (2.0, 25.0),
    "restart": (0.0, 0.0),
    "disk-full": (3.0, 12.0),
    "cut": (3.0, 25.0),
    "slow": (8.0, 16.0),
    "cut-chain": (3.0, 12.0),
    "clock": (-45.0, 45.0),
}
"""From what `random` draws an amount."""
_DRAWN: Final = ("kill", "pause", "restart", "disk-full", "cut", "slow", "cut-chain", "clock", ANVIL, IPFS)
"""What `random` draws of first: a fault of a hospital, or a victim besides."""
_BESIDES_AMOUNTS: Final = (1.0, 8.0)
_FORM: Final = re.compile(
    r"(?P<kind>[a-z-]+)(?::(?P<victim>member-[1-9]\d?|leader|opener|anvil|ipfs))?(?::(?P<amount>-?\d{1,3}(?:\.\d{1,3})?))?"
    r"@(?:(?P<round>[1-9]\d{0,3})\.)?(?P<moment>[a-z]+)(?:\+(?P<delay>\d{1,3}(?:\.\d{1,3})?))?"
)
_RANDOM: Final = re.compile(r"random:(?P<seed>\d{1,18})")


@dataclass(frozen=True)
class Fault:
    """One fault: what, to whom, when, for how long."""

    kind: str
    """A key of `KINDS`."""
    victim: str
    """`member-K` counted from 1, `leader`, `opener`, `anvil` or `ipfs`."""
    amount: float
    """Seconds until it is lifted; for `clock` by how much it is wrong."""
    round: int
    """From 1."""
    moment: str
    """One of `MOMENTS`, or `sealing`."""
    delay: float
    """Seconds from the moment to the fault."""

    def __str__(self) -> str:
        """As it is written."""
        delay = f"+{self.delay:g}" if self.delay else ""
        return f"{self.kind}:{self.victim}:{self.amount:g}@{self.round}.{self.moment}{delay}"

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return CLOCK_SECONDS if self.kind == "clock" else self.amount

    @property
    def links(self) -> bool:
        """Whether the hospitals' connections must lead through proxies."""
        return self.kind in {"cut", "slow", "cut-chain"}

    @property
    def must_be_noticed(self) -> bool:
        """Whether the others must report the victim as silent."""
        away = self.kind in {"kill", "pause", "cut"} and self.victim not in BESIDES
        return away and self.seconds > DETECTABLE_SECONDS


def parse_fault(text: str, hospitals: int, rounds: int) -> Fault:
    """The fault that a specification names.

    Args:
        text: The form above.
        hospitals: How many there are.
        rounds: How many rounds are played.

    Raises:
        BadInput: It has another form, or names a kind, victim, round or phase that is not there.
    """
    if (found := _RANDOM.fullmatch(text)) is not None:
        return draw_fault(int(found["seed"]), hospitals, rounds)
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadInput(f"--fault {text!r}: write KIND[:VICTIM[:AMOUNT]]@[ROUND.]PHASE[+SECONDS], or random:SEED")
    amount = found["amount"]
    fault = Fault(
        kind=found["kind"],
        victim=found["victim"] or "member-1",
        amount=DEFAULT_AMOUNT if amount is None else float(amount),
        round=int(found["round"] or 1),
        moment=found["moment"],
        delay=float(found["delay"] or 0),
    )
    _verify(fault, text, hospitals, rounds)
    return fault


def _verify(fault: Fault, text: str, hospitals: int, rounds: int) -> None:
    where = f"--fault {text!r}"
    if fault.kind not in KINDS:
        raise BadInput(f"{where}: no fault {fault.kind!r}; choose {', '.join(KINDS)}")
    if fault.victim in BESIDES and fault.kind not in ENDINGS:
        raise BadInput(f"{where}: {fault.victim} can be killed, paused or restarted; name a hospital for the rest")
    if fault.victim.startswith("member-") and int(fault.victim.removeprefix("member-")) > hospitals:
        raise BadInput(f"{where}: there are {hospitals} hospitals, member-1 to member-{hospitals}")
    if fault.moment not in {*MOMENTS, SEALING}:
        raise BadInput(f"{where}: no phase {fault.moment!r}; choose {', '.join((*MOMENTS, SEALING))}")
    if fault.victim in ROLES and (fault.moment == CEREMONY or fault.kind in {"disk-full", "clock"}):
        raise BadInput(f"{where}: who is {fault.victim} is not known before a round begins; name a member")
    if fault.round > rounds:
        raise BadInput(f"{where}: only {rounds} rounds are played")
    if fault.kind != "clock" and fault.amount < 0:
        raise BadInput(f"{where}: a fault lasts 0 seconds or longer")
    if abs(fault.amount) > MAX_AMOUNT or fault.delay > MAX_DELAY:
        raise BadInput(f"{where}: at most {MAX_AMOUNT:g} seconds")


def draw_fault(seed: int, hospitals: int, rounds: int) -> Fault:
    """The random fault of a seed: what and to whom, a round, a phase, and for half of them an instant within it.

    Ten seeds from a multiple of ten on meet each kind once, and the chain and the IPFS node; twelve from a multiple of twelve
    on each phase.
    """
    moments = (*MOMENTS, SEALING)
    kind = _of_block(seed, "kinds", _DRAWN)
    moment = _of_block(seed, "moments", moments)
    chance = random.Random(f"medweave/fault/{seed}")  # noqa: S311  (replayable on purpose)
    victim = f"member-{chance.randint(1, hospitals)}"
    if kind in BESIDES:
        kind, victim = chance.choice(("kill", *ENDINGS)), kind
    elif moment != CEREMONY and kind not in {"disk-full", "clock"} and chance.random() < 0.5:
        victim = chance.choice(ROLES)
    least, most = _BESIDES_AMOUNTS if victim in BESIDES and kind != "restart" else _AMOUNTS[kind]
    delay = round(chance.uniform(0.0, 2.0), 2) if chance.random() < 0.5 else 0.0
    number = 1 if moment == CEREMONY else chance.randint(1, rounds)
    return Fault(kind, victim, round(chance.uniform(least, most), 1), number, moment, delay)


def _of_block(seed: int, what: str, choices: Sequence[str]) -> str:
    """The choice of a seed; a block of seeds, as many as there are choices, has each once, in an order of its own."""
    block, place = divmod(seed, len(choices))
    chance = random.Random(f"medweave/fault/{what}/{block}")  # noqa: S311  (as above)
    return chance.sample(choices, len(choices))[place]
