"""Every parser of the ledger under mutated bytes; `python -m tests.dag.fuzzing` runs as many as wanted."""

import random

import cbor2
import pytest

from dag import codec
from dag.errors import MalformedTransaction
from tests.dag.fuzzing import Target, attack, attack_all


def test_some_thousand_mutations_are_refused_by_name_or_mean_themselves():
    """DAG-1, DAG-8: hostile bytes, small."""
    outcomes = attack_all(4000, seed=3)
    for name, outcome in outcomes.items():
        assert outcome.refused, name
        assert outcome.accepted < outcome.cases, name


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_fifty_thousand_mutations():
    """DAG-1, DAG-8: hostile bytes, 50,000 for each parser."""
    outcomes = attack_all(50_000, seed=4)
    assert all(outcome.cases == 50_000 for outcome in outcomes.values())


def test_the_fuzzer_finds_a_parser_that_is_not_strict():
    """A decoder without the canonical check lets a second form through; the search has to find one."""

    def lenient(raw: bytes) -> bytes:
        try:
            return codec.encode(cbor2.loads(raw))
        except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
            raise MalformedTransaction("bytes", "not CBOR") from None

    target = Target("lenient", (codec.encode({"a": 5, "b": [1, 2, 300]}),), lenient)
    with pytest.raises(AssertionError, match="two forms"):
        attack(target, 5000, random.Random(1))
