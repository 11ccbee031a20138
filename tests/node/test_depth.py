"""Nested JSON from a stranger is an error, never the end of the process."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["chain", "node.daemon.service", "node.audit.run"])
def test_deeply_nested_json_is_refused(module):
    """A library raises the limit on recursion when it is imported; past the C stack Python ends with SIGSEGV."""
    code = f"""
import json, {module}
try:
    json.loads("[" * 100_000)
except RecursionError:
    raise SystemExit(0)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
