"""Walks in the laboratory: what each defence is worth. The figures of docs/results.md, small (DAG-5)."""

import pytest

from benchmarks import ledger_attacks as bench
from dag.bodies import Kind
from dag.simulator.laboratory import Laboratory, Setting

HONEST = bench.HONEST


def grown(count: int = 250, **settings) -> Laboratory:
    laboratory = Laboratory(Setting(**settings))
    laboratory.grow(count, HONEST)
    return laboratory


def share(ends, bad) -> float:
    return bench.captured(ends, bad)


def test_a_member_sees_its_own_at_once_and_others_late():
    laboratory = Laboratory(Setting(members=4, in_flight=2))
    first = laboratory.post(0)
    assert [first in view for view in laboratory.views] == [True, False, False, False]
    laboratory.post(1)
    assert first not in laboratory.views[2]
    laboratory.post(2)
    assert all(first in view for view in laboratory.views)
    assert laboratory.order == [first]
    laboratory.land_all()
    assert len({frozenset(view.ids()) for view in laboratory.views}) == 1
    assert len(laboratory.order) == 3


def test_equal_settings_give_equal_graphs():
    one, two, other = (grown(60, seed=seed) for seed in (1, 1, 2))
    assert one.parents == two.parents
    assert one.parents != other.parents


def test_rescue_leaves_no_orphans():
    """In flight 20: without rescue one transaction in ten is approved by nobody else, with it none."""
    left = {}
    for rescue in (True, False):
        laboratory = Laboratory(Setting(in_flight=20, rescue=rescue))
        laboratory.grow(360, range(10))
        laboratory.land_all()
        left[rescue] = laboratory.orphans(laboratory.order[50:200])
    assert left[True] <= 0.01
    assert left[False] > 0.05


@pytest.mark.parametrize("ladder", [False, True])
def test_no_number_of_transactions_buys_walks_but_it_would_if_they_were_counted(ladder):
    laboratory = grown(in_flight=5)
    hidden = bench.parasite(laboratory, 50, ladder=ladder)
    assert len(hidden) >= 3 * 50
    assert share(laboratory.ends(60, 0), hidden) <= 0.02
    summed = bench.transactions_over(laboratory.views[0])
    assert share(bench.naive_walks(laboratory, summed.__getitem__, 100), hidden) > 0.5


def test_without_one_candidate_a_member_many_short_branches_win():
    """Fifty transactions under each of the newest: counting members alone does not help where nobody has many yet."""
    laboratory = grown(in_flight=5)
    bushes = [laboratory.attack(bench.ATTACKER, (root, root)) for root in laboratory.order[-15:-5] for _ in range(50)]
    weights = laboratory.views[0].graph.table.weight
    with_all = share(bench.naive_walks(laboratory, weights.__getitem__, 200), bushes)
    with_one = share(laboratory.ends(200, 0), bushes)
    assert with_one < with_all / 2


def test_refused_transactions_are_taken_off_the_walks_way():
    laboratory = grown(in_flight=5)
    hidden = bench.parasite(laboratory, 2, ladder=True)
    assert share(laboratory.ends(50, 0), hidden) > 0
    for tx_id in hidden:
        laboratory.views[0].refuse(tx_id)
    assert share(laboratory.ends(50, 0), hidden) == 0
    assert share(bench.naive_walks(laboratory, lambda _: 1.0, 50), hidden) == 0


def test_lazy_tips_are_left_alone():
    approved, captured = bench.lazy(1, "approval", 0, 160)
    assert approved <= 0.02
    assert captured <= 0.02


def test_summed_weights_count_every_transaction_once():
    """IRI's trap: a transaction that approves along two ways counts once."""
    laboratory = Laboratory(Setting(members=4, in_flight=0))
    root = laboratory.attack(0, (laboratory.genesis, laboratory.genesis))
    left, right = (laboratory.attack(member, (root, root)) for member in (1, 2))
    laboratory.attack(3, (left, right))
    assert bench.transactions_over(laboratory.views[0]) == [5, 4, 2, 2, 1]


def test_everybody_posting_at_once_confirms_in_few_transactions():
    assert bench.lag(10, "approval", 0) <= 10
    laboratory = Laboratory(Setting(members=4, in_flight=4))
    updates = [laboratory.post(member, Kind.UPDATE) for member in range(4)]
    laboratory.land_all()
    late = laboratory.post(0)
    assert any(parent in updates[1:] for parent in laboratory.parents[late]), "it approves an update it had not"
