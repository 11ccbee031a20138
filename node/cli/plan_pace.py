"""Deadlines of a plan by how fast this machine trains; apart, as torch is loaded with this."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from node.images.archive import load_saved
from node.learning.parameters import initial
from node.planning.pace import training_seconds, with_deadlines
from node.planning.words import duration
from node.work.learning import settings_of

if TYPE_CHECKING:
    from node.home import Home
    from node.rounds.plan import Plan


def measured(home: Home, plan: Plan) -> Plan:
    """The plan with deadlines that fit a round's training here.

    Args:
        home: The hospital's directory; its images are trained on for a few seconds.
        plan: The plan.
    """
    images = load_saved(home.file(home.config().data.train))
    base = initial(plan.architecture, len(plan.classes), plan.seed)
    seconds = training_seconds(base, images, settings_of(plan))
    click.echo(f"a round's training takes about {duration(seconds)} here", err=True)
    return with_deadlines(plan, seconds)
