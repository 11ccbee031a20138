"""The oracle sees what it is there to see: each thing that may be wrong, made wrong once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from node.demo.faults import oracle
from node.demo.faults.injector import PATIENCE_SECONDS, Happened, Injector, Stage
from node.demo.faults.oracle import Played, _View
from node.demo.faults.spec import Fault, parse_fault

KILL = parse_fault("kill:member-2:18@2.train", 4, 5)
HEAD = bytes([7]) * 32


def update(issuer: str, number: int, name: str) -> Any:
    return SimpleNamespace(issuer=issuer, round=number, hex=name, kind="update")


def view(name: str = "one", **changes: Any) -> _View:
    usual = {
        "model": HEAD.hex(),
        "rounds": ((1, "finalised", HEAD.hex()),),
        "transactions": frozenset({"a", "b"}),
        "updates": (update("0xA", 1, "a"), update("0xB", 1, "b")),
    }
    return _View(name, **(usual | changes))


def predicate(issuers: tuple[str, ...], groups: tuple[tuple[int, ...], ...] = ((0, 1),)) -> Any:
    updates = [SimpleNamespace(issuer=issuer) for issuer in issuers]
    return SimpleNamespace(round=1, updates=updates, groups=[SimpleNamespace(updates=group) for group in groups])


def played(tmp_path: Any, happened: Happened | None = None, fault: Fault = KILL, predicates: Any = ()) -> Played:
    (tmp_path / "node.log").write_text("all is well")
    hospital: Any = SimpleNamespace(name="one", home=tmp_path)
    chain: Any = SimpleNamespace(models=SimpleNamespace(head=lambda: HEAD))
    happened = happened or Happened(recovered=9.0, noticed=10.0)
    return Played([hospital], chain, "", 5, fault, happened, predicates, "verified")


def test_a_fault_that_came_back_and_was_noticed_in_time_is_well(tmp_path: Any) -> None:
    assert list(oracle._happened(played(tmp_path))) == []


@pytest.mark.parametrize(
    ("happened", "word"),
    [
        (Happened(recovered=9.0, noticed=None), "reported silent never"),
        (Happened(recovered=9.0, noticed=15.2), "after 15.2 s"),
        (Happened(recovered=None, noticed=9.0), "never came back"),
        (Happened(problem="no pid"), "could not be done: no pid"),
    ],
)
def test_what_did_not_come_back_or_went_unnoticed_is_told(tmp_path: Any, happened: Happened, word: str) -> None:
    assert word in " ".join(oracle._happened(played(tmp_path, happened)))


def test_hospitals_that_agree_with_each_other_and_the_chain_are_well(tmp_path: Any) -> None:
    assert list(oracle._agreed(played(tmp_path), [view("one"), view("two")])) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model": "00" * 32}, "has model"),
        ({"rounds": ()}, "different rounds"),
        ({"lacking": (2, 3)}, "does not hold the models of rounds 2, 3"),
        ({"transactions": frozenset({"a"})}, "lacks 1 transactions"),
    ],
)
def test_a_hospital_that_says_something_else_is_told(tmp_path: Any, changes: dict[str, Any], word: str) -> None:
    assert word in " ".join(oracle._agreed(played(tmp_path), [view("one"), view("two", **changes)]))


def test_everything_counted_once_is_well(tmp_path: Any) -> None:
    assert list(oracle._counted(played(tmp_path, predicates=[predicate(("0xa", "0xb"))]), [view()])) == []


@pytest.mark.parametrize(
    ("counted", "updates", "word"),
    [
        (predicate(("0xa", "0xa")), None, "counted twice"),
        (predicate(("0xa", "0xc")), None, "the ledger lacks it"),
        (predicate(("0xa", "0xb"), ((0, 1), (1,))), None, "in two sums"),
        (predicate(("0xa",), ((0,),)), (update("0xA", 1, "a"), update("0xA", 1, "b")), "posted two updates"),
    ],
)
def test_what_is_counted_twice_or_lost_is_told(tmp_path: Any, counted: Any, updates: Any, word: str) -> None:
    seen = view() if updates is None else view(updates=updates)
    assert word in " ".join(oracle._counted(played(tmp_path, predicates=[counted]), [seen]))


def test_a_hospital_that_forgot_what_it_said_is_told(tmp_path: Any) -> None:
    run = played(tmp_path)
    (tmp_path / "node.log").write_text(f"a peer has a transaction of this hospital that {oracle.FORGOTTEN}: …")
    assert "had lost what it posted" in " ".join(oracle._counted(run, [view()]))


def test_what_was_logged_with_a_traceback_is_named(tmp_path: Any) -> None:
    log = (
        'T INFO a: b\nTraceback (most recent call last):\n  File "x", line 1\n    y()\nValueError: what\nT INFO a: b\n'
    )
    (tmp_path / "node.log").write_text(log + log)
    hospital: Any = SimpleNamespace(name="one", home=tmp_path)
    assert oracle.exceptions([hospital]) == ["one: ValueError: what"] * 2


def row(finalised: int, model: str = "m", silent: tuple[int, ...] = ()) -> dict[str, Any]:
    peers = [{"index": seat, "silent": seat in silent} for seat in range(3)]
    return {"finalised": finalised, "model": model, "peers": peers}


def test_what_is_seen_after_a_fault_gives_its_times(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {0: [False, False], 1: [True, True]}

    @contextlib.contextmanager
    def client_of(seat: int) -> Iterator[Any]:
        models = [SimpleNamespace(round=0, held=True)]
        models += [SimpleNamespace(round=2 * place + 1, held=held[seat][place]) for place in range(2)]
        yield SimpleNamespace(models=lambda: iter(models))

    monkeypatch.setattr("node.demo.faults.injector.client_of", client_of)
    stage: Any = Stage((0, 1), SimpleNamespace(), 1)  # type: ignore[arg-type]
    injector = Injector(KILL, stage, 5)
    done = injector.happened
    injector.seen([row(1), row(1), row(1)])
    assert (done.noticed, done.recovered) == (None, None), "nothing has happened yet"
    done.begun, done.seat, done.finalised = time.monotonic() - 3, 1, 1
    injector.seen([row(2), None, row(2)])
    assert (done.noticed, done.recovered) == (None, None)
    injector.seen([row(2, silent=(1,)), None, row(2)])
    assert done.noticed == pytest.approx(3, abs=1)
    injector.seen([row(2), row(2), row(2)])
    assert done.recovered is None, "all have heard of the model, and one does not have it"
    done.lifted = time.monotonic()
    assert injector.settled
    assert not injector.followed
    held[0] = [False, True]
    injector.seen([row(2), row(1), row(2)])
    assert done.recovered is None, "not all have heard of it"
    injector.seen([row(2), row(2), row(2)])
    assert done.recovered == pytest.approx(3, abs=1)
    assert injector.followed


def test_a_network_that_never_comes_back_is_not_waited_for_without_end() -> None:
    stage: Any = Stage((), SimpleNamespace(), 1)  # type: ignore[arg-type]
    injector = Injector(KILL, stage, 5)
    injector.happened.lifted = time.monotonic() - PATIENCE_SECONDS - 1
    assert injector.followed
