"""Small hard runs by seed; the files test_simulator_seeds_*.py share them out, so that they run side by side."""

from dataclasses import replace

from dag.simulator.scenario import Scenario, rough
from dag.simulator.world import World

PLAIN = Scenario(nodes=7, minutes=2.0, round_seconds=40.0, ack_seconds=6.0, loss=0.1, seed=3, settle_minutes=3.0)


def attacked(*behaviours, **changes) -> World:
    """A run with one node for each of these behaviours."""
    faulty = len(behaviours) / PLAIN.nodes
    return World(replace(PLAIN, byzantine=faulty, behaviours=behaviours, **changes))


def run_and_check(seed: int) -> World:
    """A run of `rough(seed)`, with every property checked by the oracle."""
    world = World(rough(seed))
    world.run()
    figures = world.metrics.figures
    assert figures.honest > 20, "members posted"
    assert figures.anchored >= 1, "the chain went on"
    return world
