"""Links and processors of simulated hospitals: who sends what to whom, and when it has arrived.

A link is two queues, one each way, that are served in the order of asking: what is asked of a busy sender waits, and what
arrives at a busy receiver waits.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from benchmarks.scaling.setting import Network

    Numbers = NDArray[np.float64]


class Wires:
    """The links of numbered hospitals.

    Attributes:
        came: bytes that arrived at each hospital, by what they were.
        left: bytes that each hospital sent, likewise.
    """

    def __init__(self, hospitals: int, network: Network) -> None:
        self.came: dict[str, Numbers] = defaultdict(lambda: np.zeros(hospitals))
        self.left: dict[str, Numbers] = defaultdict(lambda: np.zeros(hospitals))
        self._network = network
        self._up = np.zeros(hospitals)
        self._down = np.zeros(hospitals)

    def spread(self, what: str, source: int, order: Sequence[int], size: float, now: float) -> Numbers:
        """Everybody in `order` fetches the same from one hospital.

        Returns:
            When it has arrived, in that order.
        """
        receivers, takes = np.array(order), size / self._network.bandwidth
        begins = max(now + 2 * self._network.latency, float(self._up[source]))  # told, then asked
        leaves = begins + takes * np.arange(1, len(receivers) + 1)
        arrives: Numbers = np.maximum(leaves + self._network.latency, self._down[receivers] + takes)
        self._up[source] = leaves[-1] if len(receivers) else self._up[source]
        self._down[receivers] = arrives
        self._count(what, source, receivers, size)
        return arrives

    def collect(self, what: str, target: int, sources: Sequence[int], size: float, now: float) -> float:
        """One hospital fetches as much from each of several others.

        Returns:
            When all has arrived.
        """
        if not sources:
            return now
        senders, takes = np.array(sources), size / self._network.bandwidth
        leaves = np.maximum(now + self._network.latency, self._up[senders]) + takes
        self._up[senders] = leaves
        begins = np.sort(leaves) + self._network.latency
        behind = takes * np.arange(len(senders) - 1, -1, -1)
        done = max(float(self._down[target]) + takes * len(senders), float((begins + behind).max()))
        self._down[target] = done
        self.came[what][target] += size * len(senders)
        self.left[what][senders] += size
        return done

    def flood(self, what: str, size: float) -> None:
        """A small message goes to all, each of whom passes on as much as it gets: counted, and too small to make others wait."""
        hospitals = len(self._up)
        self.came[what] += size * (1 - 1 / hospitals)
        self.left[what] += size * (1 - 1 / hospitals)

    def _count(self, what: str, source: int, receivers: NDArray[np.int64], size: float) -> None:
        self.came[what][receivers] += size
        self.left[what][source] += size * len(receivers)
