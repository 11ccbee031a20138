"""What a run is measured by. Samples over time, and figures at its end."""

from __future__ import annotations

import resource
import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from dag.bodies import Kind
from dag.simulator.scenario import MINUTE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dag.simulator.node import Node
    from dag.simulator.world import World
    from dag.transaction import Transaction

WATCHED: Final = 20
"""Observers that samples are taken at."""
_KIB: Final = 1024


@dataclass(frozen=True)
class Sample:
    """One moment, over the watched observers that are up.

    Attributes:
        minute: virtual minutes since the start.
        tips: median of how many transactions nobody approves.
        attached: median of how many transactions are attached.
        confirmed: median share of them that are confirmed, 0 … 1.
        spread: largest difference between two nodes' attached transactions.
        down: honest nodes that are down.
    """

    minute: float
    tips: float
    attached: float
    confirmed: float
    spread: int
    down: int


@dataclass(frozen=True)
class Figures:
    """What a run came to.

    Attributes:
        honest: transactions by honest members.
        byzantine: transactions by Byzantine members that an observer attached.
        refused: times that an honest node blamed a peer for something.
        rounds: rounds that the chain opened.
        anchored: heads that it anchored.
        settled_seconds: virtual time from the last news until nothing was missing anywhere.
        lag_seconds: median, from an honest member posting an update to its own node holding it for confirmed.
        lag_worst_seconds: the longest of these.
        lag_transactions: median number of transactions a member that were attached meanwhile.
        orphan_ratio: share of honest transactions that no other member approves in the end, the newest aside.
        capture_ratio: share of honest transactions' parents that are Byzantine members'.
        byzantine_ratio: share of all attached transactions that are Byzantine members'; what chance alone would capture.
        messages: messages a node sent, mean.
        bytes: bytes a node sent, mean.
        bytes_worst: of the honest node that sent most.
        peak_bytes: largest memory of the process.
        events: things done, all nodes together.
        decoded: transactions decoded, and how many times they would have been without sharing.
        decodings: times a node asked for one.
        blamed_honest: times that an honest node blamed an honest one, by which it lost some of its standing.
    """

    honest: int
    byzantine: int
    refused: int
    rounds: int
    anchored: int
    settled_seconds: float
    lag_seconds: float | None
    lag_worst_seconds: float | None
    lag_transactions: float | None
    orphan_ratio: float
    capture_ratio: float
    byzantine_ratio: float
    messages: float
    bytes: float
    bytes_worst: int
    peak_bytes: int
    events: int
    decoded: int
    decodings: int
    blamed_honest: int


class Metrics:
    """Watches a run without touching it.

    Attributes:
        samples: moments in order.
        figures: None until the run is over.
        faults: what honest nodes blamed peers for, by kind.
    """

    def __init__(self, world: World) -> None:
        """Nothing measured yet."""
        self.samples: list[Sample] = []
        self.figures: Figures | None = None
        self.faults: Counter[str] = Counter()
        self._world = world
        self._waiting: dict[int, list[tuple[bytes, float, int]]] = {}
        self._lags: list[tuple[float, float]] = []
        self._parents = [0, 0]

    def posted(self, node: Node, transaction: Transaction) -> None:
        """An honest member posted: counts its parents, and follows its updates until they are confirmed."""
        for parent in transaction.parents:
            issuer = node.ledger.tangle.issuer(parent)
            self._parents[0] += 1
            self._parents[1] += issuer >= 0 and not self._world.is_honest(issuer)
        if transaction.kind is Kind.UPDATE:
            entry = (transaction.id, self._world.agenda.now, len(node.ledger))
            self._waiting.setdefault(node.index, []).append(entry)

    def grown(self, node: Node) -> None:
        """Something was attached at a node: have its own updates been confirmed?"""
        if not (waiting := self._waiting.get(node.index)):
            return
        now, tangle = self._world.agenda.now, node.ledger.tangle
        for entry in list(waiting):
            tx_id, since, size = entry
            if tangle.is_confirmed(tx_id):
                waiting.remove(entry)
                self._lags.append((now - since, (len(tangle) - size) / self._world.scenario.nodes))

    def sample(self) -> None:
        """Takes a sample now."""
        world = self._world
        watched = [node.ledger.tangle for node in world.observers[:WATCHED] if node.up]
        sizes = [len(tangle) for tangle in watched] or [0]
        shares = [float((t.graph.columns.column("weight") >= t.quorum).mean()) for t in watched] or [0.0]
        self.samples.append(
            Sample(
                minute=round(world.agenda.now / MINUTE, 3),
                tips=statistics.median([tangle.tip_count for tangle in watched] or [0]),
                attached=statistics.median(sizes),
                confirmed=round(statistics.median(shares), 4),
                spread=max(sizes) - min(sizes),
                down=sum(not node.up for node in world.honest),
            )
        )

    def finish(self) -> None:
        """Works out the figures; the run is over."""
        world, traffic = self._world, self._world.network.traffic
        totals = world.totals()
        faults = (name for name in sorted(totals) if name[0].isupper() and name not in {"Overloaded", "Stuck"})
        self.faults = Counter({name: totals[name] for name in faults})
        tangle = next((node.ledger.tangle for node in world.observers if node.up), None)
        issuers = [] if tangle is None else [int(issuer) for issuer in tangle.graph.columns.column("issuer")[1:]]
        byzantine = sum(not world.is_honest(issuer) for issuer in issuers)
        seconds, transactions = ([lag[part] for lag in self._lags] for part in (0, 1))
        honest = {node.index for node in world.honest}
        self.figures = Figures(
            honest=len(world.deeds.honest),
            byzantine=byzantine,
            refused=sum(self.faults.values()),
            rounds=world.chain.round,
            anchored=len(world.chain.anchors),
            settled_seconds=round(world.agenda.now - world.scenario.seconds, 3),
            lag_seconds=_median(seconds),
            lag_worst_seconds=round(max(seconds), 3) if seconds else None,
            lag_transactions=_median(transactions),
            orphan_ratio=self._orphans(),
            capture_ratio=round(self._parents[1] / max(1, self._parents[0]), 4),
            byzantine_ratio=round(byzantine / max(1, len(issuers)), 4),
            messages=round(sum(traffic.messages.values()) / len(world.nodes), 1),
            bytes=round(sum(traffic.bytes.values()) / len(world.nodes), 1),
            bytes_worst=max(traffic.bytes[index] for index in honest),
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIB,
            events=world.agenda.events,
            decoded=len(world.decoder),
            decodings=world.decoder.asked,
            blamed_honest=sum(count for node in world.honest for who, count in node.blamed.items() if who in honest),
        )

    def _orphans(self) -> float:
        """Share of honest transactions that nobody but their issuer approves at an observer; posted before the last round."""
        world = self._world
        before = world.scenario.seconds - world.scenario.round_seconds
        node = next((node for node in world.observers if node.up), None)
        old = [tx_id for tx_id, at in world.deeds.honest.items() if at < before]
        if node is None or not old:
            return 0.0
        tangle = node.ledger.tangle
        return round(sum(tx_id not in tangle or tangle.approval_weight(tx_id) < 2 for tx_id in old) / len(old), 4)

    def to_json(self) -> dict[str, Any]:
        """Everything measured, without what depends on the machine."""
        figures = {} if self.figures is None else asdict(self.figures)
        return {"figures": figures, "faults": dict(self.faults), "samples": [asdict(one) for one in self.samples]}


def _median(values: Sequence[float]) -> float | None:
    return round(statistics.median(values), 3) if values else None
