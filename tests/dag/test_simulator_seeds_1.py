"""Seeds 0 to 49: loss, a partition, crashes, one to three Byzantine nodes; every property of the oracle holds (DAG-10)."""

import pytest

from tests.dag.rough_runs import run_and_check


@pytest.mark.parametrize("seed", range(50))
def test_every_property_holds(seed):
    run_and_check(seed)
