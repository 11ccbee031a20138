"""Who runs the kernels: Python itself, or numba once a ledger is large.

Compiled, an attach and a walk are some fifty times faster; but numba takes some 145 MB of memory, half a second to import
and several to compile for the first time on a machine. A round of ten hospitals has a few hundred transactions, so a node
gets by without for its first hundred rounds. Both ways give equal results (a test compares them), so nothing depends on
when a ledger crosses the line.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dag.index import kernels
from dag.index.columns import Columns, Lots

if TYPE_CHECKING:
    from collections.abc import Callable

    from dag.index.columns import Cells, Floats, Table

_log = logging.getLogger(__name__)

COMPILE_FROM: Final = 20_000
"""Transactions from which compiling pays: plain walks take a millisecond there, and a restart a second."""

_PREPARE_FROM: Final = 0.75
"""Share of that line from which a thread compiles ahead, so that no caller waits where the line is crossed."""

_HELPERS: Final = (kernels.attach_row, kernels.walk, kernels.gather)
"""Kernels that other kernels call."""


@dataclass(frozen=True)
class Engine:
    """The kernels in one of their two forms, and what they take.

    Attributes:
        compiled: whether numba runs them.
        attach_row: `kernels.attach_row`; the others after their names too.
    """

    compiled: bool
    attach_row: Callable[..., int]
    attach_rows: Callable[..., None]
    reaches: Callable[..., bool]
    approving: Callable[..., bool]
    region: Callable[..., int]
    find_tips: Callable[..., int]

    def table(self, columns: Columns) -> Table:
        """The columns in the form that is fast here."""
        return columns.arrays if self.compiled else columns.views

    def cells(self, array: np.ndarray[Any, Any]) -> Cells:
        """An array of integers in the form that is fast here."""
        return array if self.compiled else array.data

    def powers(self, values: tuple[float, ...]) -> Floats:
        """Floats in the form that is fast here."""
        return np.array(values) if self.compiled else list(values)

    def lots(self, members: int, ends: int) -> Lots:
        """Fresh working memory for walks."""
        if self.compiled:
            picks, ratings, ties = (np.zeros(members, np.int32) for _ in range(3))
            slots, shares = np.full(members, -1, np.int32), np.zeros(members)
            return Lots(slots, picks, ratings, ties, shares, np.zeros(ends, np.int32), np.zeros(1, np.int32))
        zeros = [0] * members
        return Lots([-1] * members, zeros, zeros.copy(), zeros.copy(), [0.0] * members, [0] * ends, [0])


def _engine(form: Callable[[Any], Any], *, compiled: bool) -> Engine:
    return Engine(
        compiled,
        form(kernels.attach_row),
        form(kernels.attach_rows),
        form(kernels.reaches),
        form(kernels.approving),
        form(kernels.region),
        form(kernels.find_tips),
    )


PLAIN: Final = _engine(lambda kernel: kernel, compiled=False)
"""The kernels as Python runs them."""


@dataclass
class _Line:
    transactions: int = COMPILE_FROM


_line = _Line()


def compile_from(transactions: int) -> None:
    """Sets, for this process, how many transactions a graph must hold before its kernels are compiled; 0 for always."""
    _line.transactions = transactions


def engine_for(transactions: int) -> Engine:
    """The engine for a graph of this size."""
    if transactions >= _line.transactions:
        return compiled()
    if transactions >= _PREPARE_FROM * _line.transactions:
        _prepare()
    return PLAIN


def compiled() -> Engine:
    """The kernels compiled by numba, kept on disk for the next process where some directory may be written.

    Waits while another thread compiles them. `PLAIN` where numba cannot be imported: slower, nothing else.
    """
    with _compiling:
        return _compiled()


_compiling: Final = threading.Lock()


@cache
def _prepare() -> None:
    """Compiles in a thread of its own, once a process; whoever comes before it is done waits for the rest."""
    threading.Thread(target=compiled, name="ledger-kernels", daemon=True).start()


@cache
def _compiled() -> Engine:
    try:
        return _compile(keep=True)
    except ImportError:
        _log.warning("numba cannot be imported: the ledger's index stays with plain Python, fifty times slower")
        return PLAIN
    except Exception as error:  # noqa: BLE001  (no directory to write to, a full disk, a damaged file: numba raises anything)
        _log.warning("compiled kernels are not kept on disk (%s): every process compiles them again", error)
        return _compile(keep=False)


def _compile(*, keep: bool) -> Engine:
    import numba
    from numba.extending import register_jitable

    for helper in _HELPERS:
        register_jitable(helper)
    engine = _engine(numba.njit(cache=keep), compiled=True)
    _warm_up(engine)
    return engine


def _warm_up(engine: Engine) -> None:
    """Runs every kernel once: compiles it, or reads it from disk, now and not in the middle of a walk."""
    columns = Columns()
    columns.append(-1, -1, 0, 0, 0)
    table, counts, scratch = engine.table(columns), engine.cells(columns.counts), engine.cells(columns.scratch)
    engine.attach_row(table, 0, columns.words, counts, 1, scratch)
    engine.attach_rows(table, 0, 0, columns.words, counts, 1, scratch)
    engine.reaches(table, scratch, 1, 0, 1)
    engine.approving(table, scratch, 1, 0, 2, engine.cells(np.zeros(columns.members, np.int8)))
    engine.region(table, scratch, 0, False, 4)
    lots, powers = engine.lots(columns.members, 1), engine.powers((1.0,))
    engine.find_tips(table, 0, 1, 1, table.weight, table.refused, powers, 1, lots)
