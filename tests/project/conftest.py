import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def tracked() -> list[Path]:
    """Paths git tracks, relative to the repository; those deleted in the working tree are left out."""
    if not (REPOSITORY / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [Path(name) for name in listed.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


@pytest.fixture(scope="session")
def texts(tracked) -> dict[Path, str]:
    """The tracked text files and their contents."""
    found = {}
    for path in tracked:
        try:
            found[path] = (REPOSITORY / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
    return found
