"""Figures for Prometheus: of the node, read when they are asked for, and of the calls it answered.

Every label has few values: methods, routes as they are declared, classes of status, kinds, phases, seats (256 at most). No
figure is about an image or a patient. docs/api.md lists them all.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.registry import Collector

from dag.bodies import Kind
from node.rounds.phases import PHASES
from node.version import version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from dag.ledger import Ledger
    from node.api.events import Events
    from node.api.service import Service

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
"""Seconds; an answer is to begin within 0.1 (NOD-2)."""
_STATES: Final = (*(name for name, _ in PHASES), "done", "aborted")
FIGURES: Final = {
    "medweave": "This software and the consortium it serves.",
    "medweave_uptime_seconds": "Since the node was started.",
    "medweave_disk_free_bytes": "Room on the disk of the hospital's directory.",
    "medweave_motions_pending": "Motions put to the members' vote.",
    "medweave_event_readers": "Open event streams.",
    "medweave_warnings": "Warnings and errors in the node's log.",
    "medweave_members": "Present members of the consortium.",
    "medweave_members_silent": "Other members of whom nothing was heard for ten seconds.",
    "medweave_member": "1 while this hospital is a member.",
    "medweave_epoch_active": "Key epoch in use; 0 before the first.",
    "medweave_epoch_fitting": "1 while the members hold the key in use.",
    "medweave_models": "Models of the lineage.",
    "medweave_rounds": "Rounds by how they stand.",
    "medweave_reputation": "0 to 100, by seat of a present member.",
    "medweave_ledger_transactions": "Attached transactions by kind.",
    "medweave_ledger_tips": "Transactions that nobody approves yet.",
    "medweave_ledger_outbox": "Own transactions that peers have still to hear of.",
    "medweave_ledger_missing": "Transactions this node lacks and asks for.",
    "medweave_round": "The round this hospital takes part in, or did last; 0 for none.",
    "medweave_round_phase": "1 for the phase that round is in here.",
    "medweave_training_seconds": "What that round's training took here; 0 before it ended.",
    "medweave_http_requests": "Calls answered.",
    "medweave_http_request_seconds": "Time from a call to the first byte of its answer.",
}
"""Every figure and what it says; those of the process itself (`process_…`) are the Prometheus client's."""
VERSIONED: Final = "/v1"
"""Below this all routes stand that do not stand at the root."""
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class Meter:
    """The figures of one node.

    Args:
        service: The node.
        events: Its event stream.
    """

    def __init__(self, service: Service, events: Events) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_NodeFigures(service, events))
        ProcessCollector(registry=self.registry)
        self._calls = Counter(
            "medweave_http_requests",
            FIGURES["medweave_http_requests"],
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "medweave_http_request_seconds",
            FIGURES["medweave_http_request_seconds"],
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )

    def text(self) -> bytes:
        """Everything in Prometheus' text form."""
        return generate_latest(self.registry)

    def note(self, method: str, route: str, status: int, seconds: float) -> None:
        """A call was answered.

        Args:
            method: HTTP method.
            route: The route as declared, such as `/v1/rounds/{number}`.
            status: HTTP status.
            seconds: Until the answer began.
        """
        name = method if method in _METHODS else "other"
        self._calls.labels(name, route, f"{status // 100}xx").inc()
        self._seconds.labels(name, route).observe(seconds)


class Metered:
    """ASGI: times every call on its way through; bodies pass untouched.

    Args:
        app: What answers.
        meter: Takes the figures.
    """

    def __init__(self, app: ASGIApp, meter: Meter) -> None:
        self._app = app
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a call on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status, first = time.perf_counter(), 500, 0.0

        async def sending(message: Message) -> None:
            nonlocal status, first
            if message["type"] == "http.response.start":
                status, first = message["status"], time.perf_counter() - started
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = first or time.perf_counter() - started
            self._meter.note(scope["method"], _route_of(scope), status, seconds)


class _NodeFigures(Collector):
    """What is read off the node when it is asked for."""

    def __init__(self, service: Service, events: Events) -> None:
        self._service = service
        self._events = events

    def collect(self) -> Iterator[Metric]:
        service = self._service
        labels = {"version": version(), "consortium": service.chain.deployment.consortium.hex()}
        yield InfoMetricFamily("medweave", FIGURES["medweave"], value=labels)
        yield _gauge("medweave_uptime_seconds", time.time() - service.started)
        yield from self._chain()
        yield from self._ledger()
        yield from self._round()
        free = shutil.disk_usage(service.home.root).free
        yield _gauge("medweave_disk_free_bytes", free)
        yield _gauge("medweave_motions_pending", len(service.book.live()))
        yield _gauge("medweave_event_readers", self._events.readers)
        warnings = CounterMetricFamily("medweave_warnings", FIGURES["medweave_warnings"])
        warnings.add_metric([], self._events.warned)
        yield warnings

    def describe(self) -> Iterator[Metric]:
        """Nothing in advance: figures are first read when they are asked for."""
        return iter(())

    def _chain(self) -> Iterator[Metric]:
        view = self._service.view
        yield _gauge("medweave_members", len(view.members))
        yield _gauge("medweave_members_silent", len(self._service.gossip.presence.silent))
        yield _gauge("medweave_member", int(self._service.me in view.members))
        yield _gauge("medweave_epoch_active", view.active_epoch)
        yield _gauge("medweave_epoch_fitting", int(view.fitting))
        yield _gauge("medweave_models", len(view.models))
        rounds = GaugeMetricFamily("medweave_rounds", FIGURES["medweave_rounds"], labels=("status",))
        stand = [row.status for row in view.rounds.values()]
        for status in ("open", "finalised", "aborted"):
            rounds.add_metric([status], stand.count(status))
        yield rounds
        reputation = GaugeMetricFamily(
            "medweave_reputation", "0 to 100, by seat of a present member.", labels=("seat",)
        )
        for seat in sorted(view.members):
            reputation.add_metric([str(seat)], view.standing.reputations[seat])
        yield reputation

    def _ledger(self) -> Iterator[Metric]:
        found = self._service.publisher.read(_counts)
        kinds = GaugeMetricFamily(
            "medweave_ledger_transactions", FIGURES["medweave_ledger_transactions"], labels=("kind",)
        )
        for kind, count in found["kinds"].items():
            kinds.add_metric([kind], count)
        yield kinds
        yield _gauge("medweave_ledger_tips", found["tips"])
        yield _gauge("medweave_ledger_outbox", found["outbox"])
        yield _gauge("medweave_ledger_missing", found["missing"])

    def _round(self) -> Iterator[Metric]:
        runners = self._service.conductor.runners if self._service.conductor else {}
        newest = max(tuple(runners), default=0)
        runner = runners.get(newest)
        yield _gauge("medweave_round", newest)
        phases = GaugeMetricFamily("medweave_round_phase", FIGURES["medweave_round_phase"], labels=("phase",))
        for name in _STATES:
            phases.add_metric([name], int(runner is not None and runner.phase == name))
        yield phases
        noted = self._service.journal.recall(newest, "training") if newest else None
        seconds = float(noted["seconds"]) if noted else 0.0
        yield _gauge("medweave_training_seconds", seconds)


def _counts(ledger: Ledger) -> dict[str, Any]:
    numbers = np.bincount(ledger.tangle.graph.columns.column("kind"), minlength=len(Kind)).tolist()
    return {
        "kinds": dict(zip(map(str, Kind), numbers, strict=True)),
        "tips": ledger.tangle.tip_count,
        "outbox": len(ledger.outbox()),
        "missing": len(ledger.missing()),
    }


def _gauge(name: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, FIGURES[name], value=value)


def _route_of(scope: Scope) -> str:
    """The route as it is declared, once the router has found it; one word for all that leads nowhere."""
    route = scope.get("route")
    declared = getattr(route, "path_format", None)
    if route is None or declared is None:
        return "none"
    return str(declared) if route.path_regex.match(scope["path"]) else f"{VERSIONED}{declared}"
