"""The wires between nodes: delay, loss, duplication, partitions, bandwidth. Messages are bytes and may overtake each other."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dag.simulator.seeds import stream

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from dag.simulator.agenda import Agenda
    from dag.simulator.scenario import Latency, Scenario


@dataclass
class Traffic:
    """What went over the wires, by sending node.

    Attributes:
        messages: how many were handed to the network.
        bytes: their bytes.
        lost: how many of all nodes' were lost by chance.
        parted: how many a partition stopped.
        unheard: how many reached a node that was down.
        duplicated: how many arrived twice.
    """

    messages: Counter[int] = field(default_factory=Counter)
    bytes: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    parted: int = 0
    unheard: int = 0
    duplicated: int = 0


class Network:
    """Carries messages between numbered nodes."""

    def __init__(self, agenda: Agenda, scenario: Scenario, deliver: Callable[[int, int, bytes], bool]) -> None:
        """Wires without a message on them.

        Args:
            agenda: the clock.
            scenario: loss, latency and the rest.
            deliver: takes (receiver, sender, message); False if the receiver is down.
        """
        self.traffic = Traffic()
        self._agenda = agenda
        self._scenario = scenario
        self._deliver = deliver
        self._rng = stream(scenario.seed, "network")
        self._factors: dict[tuple[int, int], float] = {}
        self._side: dict[int, int] = {}
        self._free_at: dict[int, float] = {}

    def part(self, sides: dict[int, int]) -> None:
        """Cuts the wires between nodes of different sides, also for what is under way; nodes left out are on side 0."""
        self._side = sides

    def heal(self) -> None:
        """Joins all sides again; what was stopped stays lost."""
        self._side = {}

    def send(self, source: int, target: int, message: bytes) -> float | None:
        """Takes a message; it arrives once, twice or never.

        Returns:
            Seconds until it arrives for the first time if nothing stops it on the way; None if it is lost at once.
        """
        traffic, scenario, rng = self.traffic, self._scenario, self._rng
        traffic.messages[source] += 1
        traffic.bytes[source] += len(message)
        leaves = self._leaves(source, len(message))
        if rng.random() < scenario.loss:
            traffic.lost += 1
            return None
        copies = 1
        if rng.random() < scenario.duplication:
            traffic.duplicated += 1
            copies = 2
        arrivals = sorted(leaves + self._delay(source, target) for _ in range(copies))
        for arrives in arrivals:
            self._agenda.at(arrives, f"{source}>{target}", lambda: self._arrive(source, target, message))
        return arrivals[0] - self._agenda.now

    def _leaves(self, source: int, size: int) -> float:
        """When the last byte has left: a node's messages share its uplink."""
        rate = self._scenario.bandwidth
        if not rate:
            return self._agenda.now
        self._free_at[source] = max(self._agenda.now, self._free_at.get(source, 0.0)) + size / rate
        return self._free_at[source]

    def _delay(self, source: int, target: int) -> float:
        latency = self._scenario.latency
        return sample(latency, self._rng) * self._factor(latency, source, target)

    def _factor(self, latency: Latency, source: int, target: int) -> float:
        if not latency.spread:
            return 1.0
        link = (min(source, target), max(source, target))
        if link not in self._factors:
            drawn = stream(self._scenario.seed, f"link {link}").gauss(0.0, latency.spread)
            self._factors[link] = math.exp(drawn)
        return self._factors[link]

    def _arrive(self, source: int, target: int, message: bytes) -> None:
        if self._side.get(source, 0) != self._side.get(target, 0):
            self.traffic.parted += 1
            return
        self._agenda.note(message)
        if not self._deliver(target, source, message):
            self.traffic.unheard += 1


def sample(latency: Latency, rng: random.Random) -> float:
    """A delay in virtual seconds, drawn from a distribution."""
    if latency.shape == "constant":
        return latency.low
    if latency.shape == "uniform":
        return rng.uniform(latency.low, latency.high)
    return latency.low * math.exp(rng.gauss(0.0, latency.high))
