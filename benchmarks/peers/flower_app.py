"""What runs inside Flower: the server's and the clients' applications (`flwr.serverapp`, `flwr.clientapp`).

Copied into a Flower app of its own by `flower.py`; never imported in this project's environment.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

from benchmarks.peers.local import Local, first
from benchmarks.peers.running import note
from node.rounds.plan import Plan


def _local(context: Any) -> Local:
    config, hospital = context.run_config, context.node_config
    return Local(Path(config["directory"]), int(hospital["hospital"]), int(config["hospitals"]))


def _tensors(message: Any) -> dict[str, Any]:
    return {name: array.numpy() for name, array in message.content["arrays"].items()}


def _record(tensors: dict[str, Any]) -> Any:
    return ArrayRecord(OrderedDict((name, _array(value)) for name, value in tensors.items()))


def _array(value: Any) -> Any:
    from flwr.app import Array

    return Array(value)


def train(message: Any, context: Any) -> Any:
    """One client's training."""
    number = int(message.content["config"]["server-round"])
    model, result = _local(context).train(_tensors(message), number)
    record = _record(model)
    file, client = Path(context.run_config["events"]), int(context.node_config["hospital"])
    size = sum(len(array.data) for array in record.values())
    note(file, event="trained", number=number, client=client, seconds=result.seconds, bytes=size)
    metrics = MetricRecord({"num-examples": result.samples})
    return Message(content=RecordDict({"arrays": record, "metrics": metrics}), reply_to=message)


def evaluate(message: Any, context: Any) -> Any:
    """One client's scores of the average."""
    number = int(message.content["config"]["server-round"])
    accuracy = _local(context).score(_tensors(message))
    file, client = Path(context.run_config["events"]), int(context.node_config["hospital"])
    note(file, event="scored", number=number, client=client, accuracy=accuracy)
    metrics = MetricRecord({"num-examples": 1, "accuracy": accuracy})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=message)


def serve(grid: Any, context: Any) -> None:
    """Every round of the plan."""
    config = context.run_config
    plan = Plan.from_toml(Path(config["directory"]) / "plan.toml")
    file, hospitals = Path(config["events"]), int(config["hospitals"])

    def ended(records: Any, weight: str) -> Any:
        # The last thing a round does: Flower has the scores of all clients.
        ended.number += 1  # type: ignore[attr-defined]
        note(file, event="round", number=ended.number, at=time.monotonic())  # type: ignore[attr-defined]
        return aggregate_metricrecords(records, weight)

    ended.number = 0  # type: ignore[attr-defined]
    strategy = FedAvg(
        min_train_nodes=hospitals,
        min_evaluate_nodes=hospitals,
        min_available_nodes=hospitals,
        evaluate_metrics_aggr_fn=ended,
    )
    note(file, event="round", number=0, at=time.monotonic())
    strategy.start(grid=grid, initial_arrays=_record(first(plan)), num_rounds=plan.rounds, train_config=ConfigRecord())


server_app = ServerApp()
server_app.main()(serve)
client_app = ClientApp()
client_app.train()(train)
client_app.evaluate()(evaluate)
