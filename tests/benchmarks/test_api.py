"""The arithmetic of `benchmarks.api`, and its load against a real server."""

import pytest

from benchmarks import api
from benchmarks.errors import NotMeasured
from benchmarks.harness import Row
from benchmarks.load import Load, Sample, drive


def test_quantiles_and_rates():
    sample = Sample(tuple(number / 1000 for number in range(1, 101)), 2.0, 10.0)
    assert sample.rate == 50
    assert (sample.quantile(0.5), sample.quantile(0.99), sample.quantile(1.0)) == (0.051, 0.1, 0.1)


def test_only_what_is_measured_in_training_is_held_against_the_target():
    figures = {"p50_seconds": 0.01, "p99_seconds": 0.2, "answers_a_second": 5}
    rows = [Row(api.REST, "list", figures), Row(api.TRAINING, "list", figures), Row(api.BARE, "before", figures)]
    found = api.summarise(rows, 32, 100, 1.0)
    assert [(each.value, each.holds) for each in found.targets] == [(0.2, False)]


def test_the_load_reaches_a_real_server():
    with api.bare_server() as port:
        sample = drive(Load("127.0.0.1", port, ("/constant",), ("",) * 4, 0.3))
        assert len(sample.latencies) >= 4, "each connection was answered"
        assert sample.size == len(b'{"status":"ok","seconds":1}')
        assert 0 < min(sample.latencies) <= max(sample.latencies) < sample.wall + 1
        with pytest.raises(NotMeasured, match="404"):
            drive(Load("127.0.0.1", port, ("/nothing",), ("",), 0.2))
