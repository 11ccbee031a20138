"""What a node begins with is not looked at again and again for garbage."""

import gc
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from node.daemon import service

HEAPS = """
import ctypes, sys, threading
from node.daemon.service import make_lean
if sys.argv[1] == "lean":
    make_lean()
c = ctypes.CDLL(None)
c.malloc.restype = c.fopen.restype = ctypes.c_void_p
together = threading.Barrier(12)
def work():
    together.wait()
    for size in (100, 40_000):
        c.malloc(size)
    together.wait()
threads = [threading.Thread(target=work) for _ in range(12)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = ctypes.c_void_p(c.fopen(sys.argv[2].encode(), b"w"))
c.malloc_info(0, file)
c.fclose(file)
"""


def test_what_is_there_at_the_start_is_set_aside():
    before, interval = gc.get_freeze_count(), sys.getswitchinterval()
    try:
        service._make_quick()
        assert gc.get_freeze_count() > before + 10_000, "modules and ledger are out of every later collection"
    finally:
        gc.unfreeze()
        sys.setswitchinterval(interval)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator is what this is about")
def test_a_lean_process_has_two_heaps_however_many_threads_it_has(tmp_path):
    heaps = {}
    for how in ("lean", "plain"):
        report = tmp_path / how
        subprocess.run([sys.executable, "-c", HEAPS, how, report], check=True, cwd=Path(__file__).parents[2])
        heaps[how] = report.read_text().count("<heap nr=")
    assert heaps["lean"] <= service.ARENAS < heaps["plain"]
