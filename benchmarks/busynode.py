"""A hospital's real daemon with a large ledger, at rest and while it trains, for `benchmarks.api`.

A consortium of three on a local chain. The first hospital's ledger is filled beforehand with signed transactions of rounds that
no chain knows; its daemon is measured alone first, when no key exists yet and nobody can train. Then the others are started,
the key is made, a round opens; once the first hospital trains the others are stopped: its training lasts for many epochs.
"""

from __future__ import annotations

import multiprocessing
import random
import secrets
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import httpx
import tomli_w

from benchmarks.errors import NotMeasured
from benchmarks.ledger_store import CAP, LAYOUT, PARAMETERS, SAMPLES, SIZE, SLOTS
from chain.deployment import Deployment
from dag.bodies import AcknowledgementBody, Body, UpdateBody, commit
from dag.ids import RAW, cid_bytes, cid_of, cid_text, sha256
from dag.ledger import Ledger
from dag.rules import Context, Member, RoundTerms
from dag.store.sqlite import Store
from dag.transaction import Unsigned, address_of, sign
from dag.weights import contribution_weight
from node.api.access.roles import Role
from node.api.access.tokens import Tokens
from node.consortium.view import address_bytes
from node.demo.data import prepare
from node.demo.network import founded
from node.demo.options import DemoOptions
from node.demo.processes import stop_all, wait_until_up
from node.home import Home, unlock_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from node.demo.processes import HospitalProcess

HOSPITALS = 3
QUORUM = 2
ROUND = 100
FIRST_ROUND = 1_000_000
"""Far above any the chain will open."""
COMMIT = 256
IN_FLIGHT = 5
EPOCHS = 1000
SAMPLED = 480
"""Images, a third of them at each hospital."""
WAIT_SECONDS = 180.0
PLENTY = 100_000.0
"""Requests a second that a caller may make: what is measured is the node, not its limit."""


@dataclass
class BusyNode:
    """The first hospital's daemon."""

    hospitals: tuple[HospitalProcess, ...]
    tokens: tuple[str, ...]
    ids: tuple[str, ...]
    """CIDs of transactions spread over the ledger."""

    @property
    def port(self) -> int:
        """Where it answers."""
        return self.hospitals[0].port

    def ask(self, path: str) -> Any:
        """One answer, parsed."""
        headers = {"Authorization": f"Bearer {self.tokens[0]}"}
        answer = httpx.get(f"{self.hospitals[0].url}{path}", headers=headers, timeout=30, trust_env=False)
        return answer.raise_for_status().json()

    def train(self, say: Callable[[str], None]) -> None:
        """Have it train, and nothing else on this machine with it.

        Raises:
            NotMeasured: It does not come to that.
        """
        others = self.hospitals[1:]
        say("starting the others, making the key, opening a round")
        for hospital in others:
            hospital.start(1)
        wait_until_up(others)
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.training():
            if time.monotonic() > deadline:
                raise NotMeasured(f"no training began within {WAIT_SECONDS:.0f} s: {self.hospitals[0].last_words()}")
            time.sleep(0.5)
        stop_all(others)

    def training(self) -> bool:
        """Whether it trains now."""
        found = self.ask("/v1/status")["round"]
        return found is not None and found["phase"] == "train" and found["progress"] > 0


@contextmanager
def busy_node(out: Path, size: int, clients: int, say: Callable[[str], None]) -> Iterator[BusyNode]:
    """The daemon, running alone.

    Args:
        out: An empty directory.
        size: Transactions in its ledger.
        clients: Tokens to make.
        say: Told what is being done.
    """
    options = DemoOptions(
        out=out,
        hospitals=HOSPITALS,
        min_group=2,
        rounds=1,
        epochs=EPOCHS,
        architecture="cnn-529k",
        samples=SAMPLED,
        round_seconds=7200,
    )
    with founded(options, prepare(options), say) as (hospitals, deployment, _):
        first = hospitals[0]
        home = Home(first.home)
        keys = [unlock_identity(Home(h.home), h.password).private_key for h in hospitals]
        say(f"filling a ledger with {size:,} transactions")
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            ids = pool.submit(fill, str(home.ledger), deployment.to_json(), keys, size).result()
        book = Tokens(home.tokens)
        tokens = tuple(book.create(f"client {number}", Role.OPERATOR, 1).secret for number in range(clients))
        _lift_limits(home)
        first.start(1)
        try:
            wait_until_up([first])
            yield BusyNode(hospitals, tokens, tuple(ids))
        finally:
            stop_all(hospitals)


def fill(path: str, where: str, keys: Sequence[bytes], size: int) -> list[str]:
    """Write a ledger of signed transactions under a deployment (JSON); returns CIDs of a hundred of them."""
    deployment = Deployment.from_json(where)
    consortium = deployment.consortium
    members = {address_of(key): Member(seat, SIZE) for seat, key in enumerate(keys)}
    terms = RoundTerms(1, QUORUM, PARAMETERS, CAP, SLOTS, 2, LAYOUT)
    rounds = dict.fromkeys(range(FIRST_ROUND, FIRST_ROUND + size // ROUND + 4), terms)
    here = Context(consortium, deployment.chain_id, address_bytes(deployment.registry), members, QUORUM, rounds)
    found = []
    with Store(path) as store:
        book = Ledger(store, lambda: here)
        source = _stream(book.genesis_id, consortium, keys)
        while len(book) <= size:
            batch = list(islice(source, COMMIT))
            answer = book.receive_many([raw for _, raw in batch])
            if len(answer.attached) != len(batch):
                raise NotMeasured(f"the ledger refused what it should take: {answer.refused[:1]}")
            found.append(cid_of(batch[0][0]))
    return found[:: max(1, len(found) // 100)]


def _stream(start: bytes, consortium: bytes, keys: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    """Signed transactions without end, as members post them: an update of each a round, acknowledgements after."""
    rng = random.Random(1)
    under_way, tips, last = deque[bytes](), [start], start
    sequences = [0] * len(keys)
    weight = contribution_weight(SAMPLES, SIZE, CAP, SLOTS, SLOTS)
    number = 0
    while True:
        place, seat = number % ROUND, number % len(keys)
        updates = place < len(keys)
        body: Body = (
            UpdateBody(weight, SAMPLES, SLOTS, commit(secrets.token_bytes(32)), PARAMETERS, LAYOUT)
            if updates
            else AcknowledgementBody(None)
        )
        payload = cid_text(cid_bytes(RAW, sha256(number.to_bytes(8, "big")))) if updates else None
        parents = (rng.choice(tips or [last]), rng.choice(tips or [last]))
        tips = [tip for tip in tips if tip not in parents] if len(tips) > IN_FLIGHT else tips
        where = FIRST_ROUND + number // ROUND
        posted = sign(Unsigned(body.kind, consortium, 1, where, sequences[seat], parents, payload, body), keys[seat])
        sequences[seat] += 1
        number += 1
        under_way.append(posted.id)
        if len(under_way) > IN_FLIGHT:
            last = under_way.popleft()
            tips.append(last)
        yield posted.id, posted.raw


def _lift_limits(home: Home) -> None:
    config = home.config()
    api = config.api.model_copy(update={"people_per_second": PLENTY})
    config = config.model_copy(update={"api": api})
    home.config_file.write_text(tomli_w.dumps(config.model_dump(mode="json")), encoding="utf-8")
