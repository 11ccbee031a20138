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
    from node.daemon.learner import LocalLearner
    from node.learning.layouts import initial

    place = Home(home)
    config = place.config()
    plan = Plan.from_toml(place.file(config.rounds.plan))
    learner = LocalLearner(place, config, member)
    vector = initial(plan.architecture, len(plan.classes), plan.seed)
    for number in range(1, (rounds or plan.rounds) + 1):
        vector = learner.train(plan, vector, number, lambda _progress: None).vector
    test = learner.report(plan, vector)
    metrics = {"validation": learner.score(plan, vector).to_json(), "test": test.to_json() if test else None}
    if as_json:
        click.echo(json.dumps(metrics))
        return
    for part, values in metrics.items():
        if values:
            auc = "-" if values["auc"] is None else f"{values['auc']:.3f}"
            click.echo(f"{part:<11} accuracy {values['accuracy']:.3f}  AUC {auc}  images {values['n']}")
