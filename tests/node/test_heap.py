"""What a node begins with is not looked at again and again for garbage."""

import gc
import sys

from node.daemon import service


def test_what_is_there_at_the_start_is_set_aside():
    before, interval = gc.get_freeze_count(), sys.getswitchinterval()
    try:
        service._make_quick()
        assert gc.get_freeze_count() > before + 10_000, "modules and ledger are out of every later collection"
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval)
