"""The Makefile's help is complete, and .ci/run reports what happened."""

import os
import re
import subprocess

import pytest

PLAIN = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


@pytest.fixture(scope="module")
def makefile(repository):
    return (repository / "Makefile").read_text()


def test_help_lists_every_target(repository, makefile):
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=repository, env=PLAIN, capture_output=True, text=True, check=True
    ).stdout
    listed = dict(re.findall(r"^  make ([\w-]+) +(\S.*)$", shown, re.MULTILINE))
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    assert set(listed) == targets
    assert {"help", "demo", "test", "check", "bench", "clean"} <= targets


def test_every_named_target_is_phony(makefile):
    targets = set(re.findall(r"^([a-z][\w-]*):", makefile, re.MULTILINE))
    assert set(re.findall(r"^\.PHONY: ([\w-]+)$", makefile, re.MULTILINE)) == targets


FAKE_MAKE = """#!/bin/sh
case $1 in
  check) echo "checking"; exit {check} ;;
  test) printf '%b\\n' "{lines}"; echo "make: *** [test] Error {test}"; exit {test} ;;
esac
"""


@pytest.mark.parametrize(
    ("check", "test", "lines", "last"),
    [
        (0, 0, "....\\n12 passed in 1.30s", "12 passed in 1.30s"),
        (0, 0, "3 passed in 9s of thought\\n12 passed, 1 skipped, 2 warnings in 61.30s (0:01:01)",
         "12 passed, 1 skipped, 2 warnings in 61.30s (0:01:01)"),
        (0, 1, "FAILED x\\n1 failed, 11 passed in 1.30s", "1 failed, 11 passed in 1.30s"),
        (0, 0, "\\033[32m\\033[32m\\033[1m12 passed\\033[0m\\033[32m in 1.30s\\033[0m", "12 passed in 1.30s"),
        (2, 0, "12 passed in 1.30s", "12 passed in 1.30s"),
        (0, 5, "no tests ran in 0.01s", "no tests ran in 0.01s"),
        (0, 4, "ERROR: usage", "pytest printed no closing line"),
    ],
)  # fmt: skip
def test_ci_ends_with_pytests_closing_line(repository, tmp_path, check, test, lines, last):
    fake = tmp_path / "make"
    fake.write_text(FAKE_MAKE.format(check=check, test=test, lines=lines))
    fake.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{PLAIN['PATH']}"
    done = subprocess.run(
        [repository / ".ci" / "run"], cwd="/", env={**PLAIN, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.stdout.splitlines()[-1] == last
    assert (done.returncode == 0) == (check == test == 0)
    assert ("make check failed" in done.stdout) == (check != 0)
    assert "checking" in done.stdout
