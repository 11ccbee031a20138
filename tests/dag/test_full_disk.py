"""A disk that is really full: a file system of a megabyte and a half. Needs the right to mount one."""

import subprocess
from pathlib import Path

import pytest

from dag.errors import StoreFailed
from dag.ledger import Ledger
from dag.store.sqlite import Store
from tests.dag.support import context, ledger
from tests.dag.test_ledger import chain_of, contents


@pytest.fixture
def tiny(tmp_path: Path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    if mount("-t", "tmpfs", "-o", "size=1500k", "tmpfs", str(folder)):
        pytest.skip("no right to mount a file system; run as root to see a disk fill up")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def mount(*words: str) -> int:
    try:
        return subprocess.run(["mount", *words], check=False, capture_output=True).returncode
    except OSError:
        return 1


@pytest.mark.slow
def test_a_disk_that_fills_up_and_is_given_room(tiny):
    """DAG-7: typed, nothing lost, works again when there is room."""
    made = chain_of(ledger(), 2500)
    book = Ledger(Store(tiny / "ledger.db"), context)

    def fill():
        for start in range(0, len(made), 50):
            book.receive_many(tx.raw for tx in made[start : start + 50])

    with pytest.raises(StoreFailed, match="full"):
        fill()
    held = len(book)
    assert 50 < held < len(made)
    with pytest.raises(StoreFailed, match="full"):
        book.receive_many(tx.raw for tx in made[held - 1 :])
    assert len(book) == held
    assert not mount("-o", "remount,size=20m", str(tiny))
    assert len(book.receive_many(tx.raw for tx in made).attached) == len(made) + 1 - held
    book._store.close()
    with Store(tiny / "ledger.db") as store:
        again = Ledger(store, context)
        again.verify()
        assert contents(again) == contents(book)
