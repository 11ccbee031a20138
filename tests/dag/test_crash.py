"""A process killed with SIGKILL while it takes in a hostile feed: what it said is durable is there, and nothing else is.

`make test-slow` kills a hundred times.
"""

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dag.bodies import AcknowledgementBody
from dag.ledger import Ledger
from dag.store.sqlite import Store
from dag.transaction import address_of
from tests.dag.ingesting import OWN, Feed, make_feed, the_context
from tests.dag.support import create, key

REPOSITORY = Path(__file__).resolve().parents[2]
LONGEST_SECONDS = 0.4


@dataclass
class Promised:
    """What a process has said, over all its lives."""

    batches: set[int] = field(default_factory=set)
    created: set[bytes] = field(default_factory=set)
    sent: set[bytes] = field(default_factory=set)

    def hear(self, output: bytes) -> int:
        """Takes whole lines only: a torn one was never said. Returns how many."""
        lines = output.decode().split("\n")[:-1]
        for line in lines:
            match line.split():
                case ["B", number]:
                    self.batches.add(int(number))
                case ["C", tx_id]:
                    self.created.add(bytes.fromhex(tx_id))
                case ["S", tx_id]:
                    self.sent.add(bytes.fromhex(tx_id))
        return len(lines)


def live_and_die(path: Path, feed: Path, rng: random.Random) -> bytes:
    """Runs the process, kills it at a random instant after it has opened the ledger, returns what it said."""
    command = [sys.executable, "-m", "tests.dag.ingesting", str(path), str(feed), str(rng.randrange(2**32))]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE)
    said = os.read(process.stdout.fileno(), 1 << 16)
    time.sleep(rng.uniform(0, LONGEST_SECONDS))
    process.send_signal(signal.SIGKILL)
    said += process.stdout.read()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL, said
    return said


def judge(path: Path, feed: Feed, promised: Promised) -> None:
    """Opens the ledger as the next start would, and holds it against the promises."""
    with Store(path) as store:
        assert store.was_dirty
        book = Ledger(store, the_context)
        book.verify()
        attached = set(book.tangle.ids())
        waiting = {tx_id for tx_id in (tx for batch in feed.sure for tx in batch) if tx_id in book._replica.waiting}
        for number in promised.batches:
            assert not set(feed.sure[number]) - attached - waiting
        assert promised.created <= attached
        told = promised.created - promised.sent - set(book.outbox())
        assert len(told) <= 1, (
            "what peers were not told of is still to be told; one the process had no time to speak of"
        )
        promised.sent |= told
        assert not promised.sent & set(book.outbox())
        strange = attached - feed.good - promised.created
        # A kill between the commit and the word leaves an own transaction that was not promised; never anything else.
        assert all(book.get(tx_id).issuer == address_of(key(OWN)) for tx_id in strange)
        promised.created |= strange
        assert len(book.evidence()) <= 1
        create(book, OWN, AcknowledgementBody(None))
        promised.created |= set(book.outbox())


def killed(tmp_path: Path, times: int, seed: int) -> Promised:
    rng = random.Random(seed)
    feed, path, feed_file = make_feed(seed), tmp_path / "ledger.db", tmp_path / "feed"
    feed_file.write_bytes(pickle.dumps(feed))
    promised = Promised()
    heard = 0
    for _ in range(times):
        heard += promised.hear(live_and_die(path, feed_file, rng))
        judge(path, feed, promised)
    assert heard > times, "the process was killed before it did anything"
    return promised


def test_what_was_said_to_be_durable_survives_a_kill(tmp_path):
    """DAG-7, small: the same as below, four times."""
    promised = killed(tmp_path, times=4, seed=11)
    assert promised.batches
    assert promised.created


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_kills(tmp_path, seed):
    """DAG-7: kill -9 at 25 random instants, over four feeds."""
    promised = killed(tmp_path, times=25, seed=seed)
    assert len(promised.batches) > 10
