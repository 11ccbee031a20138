"""What a run is: how many nodes, how bad the network, who misbehaves, how long. Frozen, checked, read from the command line."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, Self, get_args

from dag.simulator.errors import BadScenario
from dag.simulator.seeds import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape = Literal["constant", "uniform", "lognormal"]
Behaviour = Literal["parasite", "lazy", "equivocate", "withhold", "spam", "forge", "oversize", "replay"]
BEHAVIOURS: Final[tuple[Behaviour, ...]] = get_args(Behaviour)
MAX_NODES: Final = 4096
MINUTE: Final = 60.0


@dataclass(frozen=True)
class Latency:
    """How long a message is under way.

    Attributes:
        shape: `constant` (`low`), `uniform` (`low` … `high`), or `lognormal` (median `low`, sigma `high`).
        low: seconds, ≥ 0.
        high: seconds for `uniform`, the logarithm's standard deviation for `lognormal`, not read for `constant`.
        spread: standard deviation of the logarithm of a factor that each link has for good; 0 makes all links alike.
    """

    shape: Shape = "lognormal"
    low: float = 0.08
    high: float = 0.5
    spread: float = 0.5

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise BadScenario("latency", f"{self.shape!r} is none of {', '.join(get_args(Shape))}")
        if not all(math.isfinite(value) and value >= 0 for value in (self.low, self.high, self.spread)):
            raise BadScenario("latency", f"{self.low}, {self.high}, {self.spread} must be finite and not negative")
        if self.shape == "uniform" and self.high < self.low:
            raise BadScenario("latency", f"uniform from {self.low} to {self.high}: the second must not be smaller")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The latency in `constant:S`, `uniform:A,B` or `lognormal:MEDIAN,SIGMA`, each with `,SPREAD` after it if wanted.

        Raises:
            BadScenario: it is none of these.
        """
        shape, _, numbers = text.partition(":")
        values = [_number("latency", part) for part in numbers.split(",")] if numbers else []
        wanted = 1 if shape == "constant" else 2
        if shape not in get_args(Shape) or not wanted <= len(values) <= wanted + 1:
            raise BadScenario(
                "latency", f"{text!r}: expected constant:S, uniform:A,B or lognormal:MEDIAN,SIGMA, in seconds"
            )
        spread = values[wanted] if len(values) > wanted else 0.0
        high = values[1] if wanted == 2 else 0.0
        return cls(shape, values[0], high, spread)  # type: ignore[arg-type]  # looked up above


@dataclass(frozen=True)
class Partition:
    """A share of the nodes is cut off from the others for a while.

    Attributes:
        share: of all nodes, above 0 and below 1; which ones is drawn.
        start: minute at which it begins, ≥ 0.
        end: minute at which it heals, > `start`.
    """

    share: Fraction
    start: float
    end: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise BadScenario("partition", f"a share of {self.share} of the nodes; expected above 0 and below 1")
        if not 0 <= self.start < self.end < math.inf:
            raise BadScenario("partition", f"from minute {self.start} to {self.end}; the end must come after the start")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The partition in `SHARE:START-END`, such as `1/3:10-40`: a third of the nodes, minutes 10 to 40.

        Raises:
            BadScenario: it is no partition.
        """
        share, _, span = text.partition(":")
        start, _, end = span.partition("-")
        try:
            return cls(Fraction(share), _number("partition", start), _number("partition", end))
        except (ValueError, ZeroDivisionError):
            raise BadScenario("partition", f"{text!r}: expected SHARE:START-END, such as 1/3:10-40") from None


@dataclass(frozen=True)
class Scenario:
    """One run, repeatable from these values alone. Times are virtual.

    Attributes:
        nodes: members, one node each, 4 … 4,096.
        minutes: how long members post, > 0; then the run goes on until nothing is missing anywhere.
        seed: of all chance.
        peers: links of a node; 0 links everybody with everybody.
        latency: of one message.
        loss: share of messages lost, 0 ≤ loss < 1.
        duplication: share of messages that arrive twice, 0 … 1.
        bandwidth: bytes a second that one node can send; 0 for no limit.
        partitions: cuts; they may overlap in time only if the later one replaces the earlier.
        crashes: share of honest nodes that crash once and come back, 0 … 1.
        down_seconds: mean time that a crashed node stays down.
        skew_seconds: a node's clock is off by up to so much.
        drift_ppm: a node's clock runs fast or slow by up to so many parts per million.
        byzantine: share of nodes that misbehave, 0 ≤ share < 1/3.
        behaviours: what they do; handed out in turn.
        round_seconds: the chain opens a round so often.
        ack_seconds: mean pause between a member's acknowledgements while something is unconfirmed.
        work_seconds: pause between messages coming in and their being taken in: one durable commit each time.
        frontier_seconds: pause between two comparisons of frontiers.
        alpha: greed of the walks.
        observers: honest nodes whose confirmed sets are followed while the run goes on; 0 for all.
        settle_minutes: longest time after `minutes` until nothing may be missing anywhere.
    """

    nodes: int = 10
    minutes: float = 10.0
    seed: int = 0
    peers: int = 0
    latency: Latency = Latency()
    loss: float = 0.0
    duplication: float = 0.0
    bandwidth: float = 0.0
    partitions: tuple[Partition, ...] = ()
    crashes: float = 0.0
    down_seconds: float = 60.0
    skew_seconds: float = 0.0
    drift_ppm: float = 0.0
    byzantine: float = 0.0
    behaviours: tuple[Behaviour, ...] = BEHAVIOURS
    round_seconds: float = 180.0
    ack_seconds: float = 10.0
    work_seconds: float = 0.05
    frontier_seconds: float = 5.0
    alpha: float = 2.0
    observers: int = 0
    settle_minutes: float = 30.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.type in {"int", "float"}):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
                raise BadScenario(name, f"{value!r}: expected a finite number, not negative")
        _within("nodes", self.nodes, 4, MAX_NODES)
        for name in ("duplication", "crashes"):
            _within(name, getattr(self, name), 0, 1)
        for name, limit in (("loss", 1.0), ("byzantine", 1 / 3)):
            if getattr(self, name) >= limit:
                raise BadScenario(name, f"{getattr(self, name)}: expected less than {limit:.3g}")
        for name in ("minutes", "round_seconds", "ack_seconds", "work_seconds", "frontier_seconds"):
            if getattr(self, name) <= 0:
                raise BadScenario(name, "expected more than 0")
        if unknown := [name for name in self.behaviours if name not in BEHAVIOURS]:
            raise BadScenario("behaviours", f"{unknown[0]!r} is none of {', '.join(BEHAVIOURS)}")
        if self.byzantine and not self.behaviours:
            raise BadScenario("behaviours", "Byzantine nodes without anything to do")
        if self.partitions and max(cut.end for cut in self.partitions) > self.minutes:
            raise BadScenario("partition", f"it must heal within the {self.minutes} minutes in which members post")

    @property
    def quorum(self) -> int:
        """Members that confirm a transaction: ceil(2N/3)."""
        return -(-2 * self.nodes // 3)

    @property
    def byzantine_nodes(self) -> int:
        """How many nodes misbehave."""
        return round(self.byzantine * self.nodes)

    @property
    def seconds(self) -> float:
        """How long members post."""
        return self.minutes * MINUTE


def rough(seed: int) -> Scenario:
    """A small hard scenario drawn from a seed: 6 to 10 nodes, loss, a partition, crashes, one to three Byzantine nodes."""
    rng = stream(seed, "scenario")
    nodes = rng.randint(6, 10)
    faulty = rng.randint(1, (nodes - 1) // 3)
    start = rng.uniform(0.1, 0.8)
    cut = Partition(Fraction(rng.randint(1, nodes // 2), nodes), start, start + rng.uniform(0.2, 0.7))
    return Scenario(
        nodes=nodes,
        minutes=2.0,
        seed=seed,
        peers=rng.choice((0, 0, 4)),
        latency=rng.choice((Latency(), Latency("constant", 0.05, 0, 0), Latency("uniform", 0.01, 0.8, 0))),
        loss=rng.uniform(0.0, 0.3),
        duplication=rng.uniform(0.0, 0.2),
        bandwidth=rng.choice((0.0, 0.0, 50_000.0)),
        partitions=(cut,),
        crashes=rng.uniform(0.0, 0.7),
        down_seconds=rng.uniform(3.0, 25.0),
        skew_seconds=3600.0,
        drift_ppm=200.0,
        byzantine=faulty / nodes,
        behaviours=tuple(rng.sample(BEHAVIOURS, faulty)),
        round_seconds=40.0,
        ack_seconds=8.0,
        work_seconds=0.1,
    )


def parse_behaviours(text: str) -> tuple[Behaviour, ...]:
    """Behaviours by name, separated by commas.

    Raises:
        BadScenario: one of them is none.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(_behaviour(name) for name in names)


def _behaviour(name: str) -> Behaviour:
    for known in BEHAVIOURS:
        if name == known:
            return known
    raise BadScenario("behaviours", f"{name!r} is none of {', '.join(BEHAVIOURS)}")


def _number(field: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadScenario(field, f"{text!r} is no number") from None


def _within(field: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise BadScenario(field, f"{value} is outside {low}…{high}")


def neighbours(scenario: Scenario, honest: Sequence[int]) -> list[list[int]]:
    """Who is linked with whom, ascending: everybody, or a seeded ring of the honest nodes with random links besides.

    The ring keeps the honest nodes connected through each other, which the guarantee of delivery presupposes.
    """
    everyone = range(scenario.nodes)
    if not scenario.peers or scenario.peers >= scenario.nodes - 1:
        return [[other for other in everyone if other != node] for node in everyone]
    rng = stream(scenario.seed, "topology")
    ring = rng.sample(list(honest), len(honest))
    links: list[dict[int, None]] = [{} for _ in everyone]
    for one, two in zip(ring, ring[1:] + ring[:1], strict=True):
        links[one][two] = links[two][one] = None
    for node in everyone:
        while len(links[node]) < scenario.peers:
            other = rng.randrange(scenario.nodes)
            if other != node:
                links[node][other] = links[other][node] = None
    return [sorted(found) for found in links]
