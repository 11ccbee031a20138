"""Orders of an operator: durable, given twice is given once, seen by another process at once."""

from __future__ import annotations

import stat

from node.planning.orders import OrderBook


def test_orders_are_kept_and_counted_once(tmp_path):
    book = OrderBook(tmp_path / "orders.sqlite")
    assert (book.start(3), book.start(3), book.pause(), book.pause(), book.leave(2)) == (True, False, True, False, True)
    book.close()
    again = OrderBook(tmp_path / "orders.sqlite")
    assert (again.wanted(3), again.paused, again.left()) == (True, True, {2})
    assert (again.resume(), again.resume(), again.paused) == (True, False, False)
    assert stat.S_IMODE((tmp_path / "orders.sqlite").stat().st_mode) == 0o600


def test_a_round_that_was_opened_is_not_wanted_any_more(tmp_path):
    daemon, shell = OrderBook(tmp_path / "orders.sqlite"), OrderBook(tmp_path / "orders.sqlite")
    shell.start(1)
    assert daemon.wanted(1)
    assert not daemon.wanted(2), "round 1 was opened, by this hospital or another"
    assert not shell.wanted(1)
