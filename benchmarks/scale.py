"""What a round asks of one hospital as a consortium grows to 10, 100 and 1,000: time, bytes, processor time, gas.

The round's own core, `node.rounds.machine`, runs for every hospital on virtual time (`benchmarks.scaling`): it decides what
is posted, fetched, added, opened and signed. Carrying that out takes what was measured on one core here (a sample of chunks
of an update of 529,347 parameters sealed, added, opened and combined; transactions verified) and sends the bytes that the
real records have, over links that are assumed. Gas is measured with 4, 10 and 50 members; more is the line through them.

Before: all take part. Every member fetches every update and, of every sum, the openings of two thirds of the members. The
number of sums is the plan's: `min_group` 3, the default, makes N/3 of them, `min_group` N/10 makes ten. After: a cohort of M
members is drawn for each key epoch, holds its key and trains its rounds; the others follow the chain and the ledger and
fetch the model.

    python -m benchmarks.scale [--members N ...] [--cohorts M ...] [--picture F] [--processes P] [--json F] [--repeats N]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.gas import measure_consortium
from benchmarks.scaling.cases import cases, transactions_singly
from benchmarks.scaling.tables import picture, summarise
from benchmarks.scaling.units import measure_units
from chain.errors import ChainError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from benchmarks.harness import Result

MEMBERS: Final = (10, 100, 1000)
COHORTS: Final = (32, 64)
MEASURED_GAS: Final = (4, 10, 50)
"""Consortia whose rounds run on a chain; the line through them gives the others."""
SINGLY_AMONG: Final = 100
"""Largest consortium in which, for comparison, each update is acknowledged by itself: a thousand would post a million."""


def measure(options: Namespace) -> Result:
    """Measure unit costs and gas, then simulate.

    Args:
        options: The command's.

    Raises:
        NotMeasured: A chain did not run or refused a step, or a simulated round did not end.
    """
    try:
        costs = [measure_consortium(size, 1) for size in MEASURED_GAS]
    except ChainError as error:
        raise NotMeasured(f"the local chain: {error}") from error
    sizes, cohorts = sorted(set(options.members)), sorted(set(options.cohorts))
    units = measure_units(options.repeats)
    found = cases(units, sizes, cohorts, options.processes)
    alone = {size: transactions_singly(units, size) for size in sizes if size <= SINGLY_AMONG}
    if options.picture is not None:
        options.picture.parent.mkdir(parents=True, exist_ok=True)
        options.picture.write_text(picture(found), encoding="utf-8")
    return summarise(units, costs, found, alone)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = harness.parser(__doc__ or "", repeats=5)
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS, metavar="N", help=f"default {MEMBERS}")
    parser.add_argument("--cohorts", type=int, nargs="*", default=COHORTS, metavar="M", help=f"default {COHORTS}")
    parser.add_argument("--picture", type=Path, metavar="F", help="also draw the curves to this SVG file")
    parser.add_argument("--processes", type=int, default=1, metavar="P", help="simulated at a time, default 1")
    options = parser.parse_args(arguments)
    if bad := [size for size in (*options.members, *options.cohorts) if not 4 <= size <= 4096]:
        parser.error(f"{bad[0]}: simulated are 4 to 4,096 members")
    return harness.run(lambda: measure(options), options.json)


if __name__ == "__main__":
    sys.exit(main())
