"""Long work in a round is cut short as soon as nobody can use it any more."""

from types import SimpleNamespace

import pytest

from node.daemon.desk import Desk
from node.errors import RoundProblem


@pytest.fixture
def parts():
    return SimpleNamespace(
        planning=SimpleNamespace(orders=SimpleNamespace(left=frozenset)),
        view=SimpleNamespace(rounds={1: SimpleNamespace(open=True)}),
        conductor=SimpleNamespace(runners={1: SimpleNamespace(progress=("", 0.0))}),
    )


def test_work_goes_on_while_its_round_is_open(parts):
    Desk(parts)._progress(1, "training", 0.5)
    assert parts.conductor.runners[1].progress == ("training", 0.5)


@pytest.mark.parametrize("rounds", [{}, {1: SimpleNamespace(open=False)}])
def test_work_of_a_round_that_is_over_is_cut_short(parts, rounds):
    parts.view.rounds = rounds
    with pytest.raises(RoundProblem, match="training was cut short: round 1 is over"):
        Desk(parts)._progress(1, "training", 0.5)


def test_a_stopping_node_cuts_short(parts):
    desk = Desk(parts)
    desk.stop()
    with pytest.raises(RoundProblem, match="stopping"):
        desk._progress(1, "sealing", 0.5)
