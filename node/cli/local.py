"""`medweave local`: what this hospital would have without the others."""

from __future__ import annotations

import json
from pathlib import Path

import click

from node.cli.options import home_option
from node.home import Home
from node.rounds.plan import Plan


@click.command("local")
@home_option
@click.option("--rounds", type=click.IntRange(1), help="Rounds' worth of epochs to train; the plan's where not given.")
@click.option(
    "--member", type=click.IntRange(0), default=0, help="Member index; gives the shuffles the federated run had."
)
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON.")
def command(home: Path, rounds: int | None, member: int, *, as_json: bool) -> None:
    """Train on this hospital's images alone, for as many epochs as the rounds have; report on validation and test."""
    from node.daemon.learner import setup_of
    from node.learning.layouts import initial
    from node.work.learning import Learning

    place = Home(home)
    config = place.config()
    plan = Plan.from_toml(place.file(config.rounds.plan))
    learning = Learning(setup_of(place, config))
    vector = initial(plan.architecture, len(plan.classes), plan.seed)
    for number in range(1, (rounds or plan.rounds) + 1):
        vector = learning.train(plan, vector, number, member, lambda _progress: None).vector
    parts = ("validation", "test") if config.data.test else ("validation",)
    metrics = {"test": None} | {part: learning.measure(plan, part, vector).to_json() for part in parts}
    if as_json:
        click.echo(json.dumps(metrics))
        return
    for part, values in metrics.items():
        if values:
            auc = "-" if values["auc"] is None else f"{values['auc']:.3f}"
            click.echo(f"{part:<11} accuracy {values['accuracy']:.3f}  AUC {auc}  images {values['n']}")
