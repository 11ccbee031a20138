"""What `--attack` takes."""

from __future__ import annotations

import pytest

from node.attacks.spec import KINDS, Attack, parse_attack
from node.errors import BadInput


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sign-flip@3", Attack("sign-flip", frozenset({2}), 0.0)),
        ("scaled:50@1,4", Attack("scaled", frozenset({0, 3}), 50.0)),
        ("scaled@1", Attack("scaled", frozenset({0}), 100.0)),
        ("scaled:-2.5@1", Attack("scaled", frozenset({0}), -2.5)),
        ("backdoor:0.25@2", Attack("backdoor", frozenset({1}), 0.25)),
    ],
)
def test_what_is_written_is_read(text, expected):
    assert parse_attack(text, 4) == expected
    assert parse_attack(str(expected), 4) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_read_and_written(kind):
    attack = parse_attack(f"{kind}@2,1", 2)
    assert parse_attack(str(attack), 2) == attack
    assert KINDS[kind]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "expected KIND"),
        ("sign-flip", "expected KIND"),
        ("sign-flip@", "expected KIND"),
        ("sign-flip@x", "expected KIND"),
        ("nonsense@1", "no kind"),
        ("sign-flip@0", "from 1 to 4"),
        ("sign-flip@5", "from 1 to 4"),
        ("sign-flip@1,1", "different"),
        ("sign-flip:2@1", "no amount"),
        ("noise:-1@1", "from 0"),
        ("scaled:1e9@1", "from -1e+06"),
        ("backdoor:2@1", "to 1"),
        ("scaled:e@1", "the amount is"),
        ("scaled:1@1; rm -rf", "expected KIND"),
    ],
)
def test_what_is_none_is_refused_by_name(text, problem):
    with pytest.raises(BadInput, match=problem.replace("+", r"\+")):
        parse_attack(text, 4)
