"""The daemon: puts everything of one hospital together and keeps it going until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import uvicorn

from chain.client import Chain
from chain.eventlog import EventLog
from chain.fees import GWEI
from chain.heads import HeadWatcher
from chain.intents import IntentBook
from crypto.secrets import ContentKey
from dag.ledger import Ledger
from dag.store.sqlite import Store
from node.api.app import create_app
from node.config import TESTING_VARIABLE
from node.consortium.follower import Follower
from node.daemon.conductor import Conductor
from node.daemon.learner import LocalLearner
from node.daemon.opening import RoundOpener
from node.daemon.plans import PlanBook
from node.daemon.pruner import Pruner
from node.daemon.roster import Seats, consortium_of, electorate, sealed_at_peers, why_not
from node.daemon.witness import LogWitness
from node.epochs.keeper import Keeper
from node.epochs.start import member_index
from node.epochs.vault import Vault
from node.errors import BadConfig, BadEnvironment, PeerProblem, RoundProblem
from node.home import read_deployment
from node.membership.book import MotionBook
from node.membership.council import Council
from node.membership.evidence import Evidence
from node.membership.exchange import Exchange
from node.membership.findings import seen_in
from node.membership.prosecutor import Prosecutor
from node.membership.succession import is_due
from node.provenance.envelopes import EnvelopeKeeper
from node.publishing.blobs import PeerBlobs
from node.publishing.gossip import Gossip
from node.publishing.publisher import Publisher
from node.publishing.witness import Cosigner
from node.rounds.checks import UpdateChecks
from node.rounds.dsse import sign_statement
from node.rounds.journal import Journal
from node.rounds.onchain import OnChain
from node.rounds.plan import Plan
from node.rounds.ports import Policy, Ports
from node.rounds.worker import EXPECTED
from node.storage.opening import open_store

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from numpy.typing import NDArray

    from crypto.keys import JointKey
    from dag.transaction import Transaction
    from node.config import NodeConfig
    from node.consortium.records import RoundView
    from node.consortium.view import ConsortiumView
    from node.home import Home, Identity

log = logging.getLogger("medweave")

EFFECT_THREADS = 4
TICK_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0
HOUSE_SECONDS = 1.0
"""Between two looks whether a head of the log is to be signed, or ciphertexts are to be deleted."""
WATCHED_POLL_SECONDS = 5.0
"""While new blocks are announced over a WebSocket, the chain is asked all the same, this seldom."""


class Daemon:
    """One hospital's running node.

    Args:
        home: The hospital's directory.
        config: Its configuration.
        identity: Its unlocked keys.

    Raises:
        MedweaveError: Something it needs is missing or contradicts itself; the message says what to do.
        ChainError: The chain cannot be reached, or is another one.
    """

    def __init__(self, home: Home, config: NodeConfig, identity: Identity) -> None:
        self.home, self.config, self.identity = home, config, identity
        self.started = time.time()
        self.allow_minimal = os.environ.get(TESTING_VARIABLE) == "1"
        self._intents = IntentBook(home.intents)
        self.chain = self._chain()
        self.chain.verify()
        self._events = EventLog(home.events, self.chain.deployment)
        self.follower = Follower(self.chain, self._events)
        self.follower.look()
        self.me = self._index()
        self.store = open_store(home.blobs, config.storage)
        self.journal = Journal(home.journal)
        self.blobs = PeerBlobs(self.store, self.peers)
        self.plans = PlanBook(self.chain.deployment, self.blobs, allow_minimal=self.allow_minimal)
        self.learner = LocalLearner(home, config, self.me, ContentKey(identity.derive(b"training checkpoint")))
        self.keeper = Keeper(
            self.me,
            self.chain,
            self.blobs,
            Vault(home, identity.password, self.store, allow_minimal=self.allow_minimal),
            allow_minimal=self.allow_minimal,
            min_threshold=config.rounds.min_threshold,
        )
        self.opener, self.plan = self._opener()
        self.plans.read_all(self.view)
        store = Store(home.ledger)
        ledger = Ledger(store, lambda: self.plans.context(self.view), progress=_read_so_far)
        self.evidence = Evidence(home.evidence)
        self.publisher = Publisher(
            ledger, store, identity.private_key, Seats(lambda: self.view), self._attached, self.evidence.keep
        )
        checks = UpdateChecks(self.blobs.obtain, self._joint_key, lambda number: self.plans.size(self.view, number))
        self.gossip = Gossip(
            self.publisher, config.hospital.url, self.peers, checks.check, over=self._over, anchors=self._anchors
        )
        self.witness = LogWitness(
            self.chain.deployment.consortium, self.me, Cosigner(home.checkpoint, identity.private_key), self.publisher
        )
        self.pruner = Pruner(self.publisher, store, self.store, config.storage.keep_rounds)
        self._pool = ThreadPoolExecutor(EFFECT_THREADS, thread_name_prefix="effect")
        self.conductor: Conductor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._block_announced = asyncio.Event()
        address = config.chain.websocket
        self.heads = HeadWatcher(address, self._block_announced.set) if address else None
        self._stopping = False
        self._aside: dict[int, str] = {}
        self.book = MotionBook(home.motions, self.chain.deployment)
        self.motions = Exchange(self.book, self.chain.deployment, lambda: self.view)
        every = config.membership.exchange_seconds
        self.council = Council(self.me, identity.account, self.chain, self.book, self.motions, self.peers, every)
        self.prosecutor = Prosecutor(
            self.me,
            self.chain,
            self.publisher,
            self.evidence,
            self.council,
            self.book,
            config.membership,
            lambda: seen_in(self.conductor.runners if self.conductor else {}, self.view, self.publisher),
        )

    # ---- what others ask -----------------------------------------------------------------------------------------

    @property
    def view(self) -> ConsortiumView:
        """What the chain said so far."""
        return self.follower.view

    def peers(self) -> tuple[str, ...]:
        """The other members' base URLs."""
        return tuple(h.url for seat, h in self.view.present if seat != self.me and h.url)

    # ---- running ---------------------------------------------------------------------------------------------------

    async def run(self) -> bool:
        """Serve and take part until SIGTERM or SIGINT, or until the members have agreed to this hospital's next keys.

        Returns:
            Whether the next keys are due: put them in place (`node.membership.succession`) and start again with them.

        Raises:
            BadEnvironment: The port is in use.
        """
        self._loop = asyncio.get_running_loop()
        self.conductor = Conductor(
            self._loop, self._pool, self._ports, self.publisher.replay, lambda m: self.journal.model(m) is not None
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn stops serving on these and then raises them again: that must not end the process before its stores
            # are closed.
            self._loop.add_signal_handler(number, lambda: None)
        hospital = self.config.hospital
        listener = listen(hospital.host, hospital.port)
        server = uvicorn.Server(uvicorn.Config(create_app(self), log_config=None, access_log=False, lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        succession = asyncio.create_task(self._until_succession())
        jobs = (
            self._follow(),
            self._keep_epochs(),
            self._keep_envelopes(),
            self._open_rounds(),
            self._govern(),
            self._keep_house(),
            self._tick(),
            self.gossip.run(),
        )
        work = [succession, *(asyncio.create_task(job) for job in jobs)]
        if self.heads is not None:
            work.append(asyncio.create_task(self.heads.run()))
        done, _ = await asyncio.wait([serving, *work], return_when=asyncio.FIRST_COMPLETED)
        server.should_exit = True
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await asyncio.gather(serving, return_exceptions=True)
        self._stopping = True
        self.conductor.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self.publisher.close()
        self.journal.close()
        self._intents.close()
        self._events.close()
        self.book.close()
        self.evidence.close()
        for task in done:
            if not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return succession in done

    async def _follow(self) -> None:
        async def look() -> None:
            changed = await asyncio.to_thread(self.follower.look)
            try:
                if changed:
                    for problem in await asyncio.to_thread(self.plans.read_all, self.view):
                        log.info("%s", problem)
                    self.gossip.retry_held()
                if self.conductor is not None:
                    self.conductor.look(self.view)
            finally:
                if self.follower.news is not None:
                    await asyncio.to_thread(self.chain.watch, self.follower.news)

        async def until_a_block(seconds: float) -> None:
            if self.heads is not None and self.heads.connected:
                seconds = max(seconds, WATCHED_POLL_SECONDS)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._block_announced.wait(), seconds)
            self._block_announced.clear()

        await self._again_and_again("chain", look, until_a_block)

    async def _keep_envelopes(self) -> None:
        keeper = EnvelopeKeeper(self.publisher, self.store, self.journal)
        await self._again_and_again("envelopes", lambda: asyncio.to_thread(keeper.look, self.view))

    async def _keep_epochs(self) -> None:
        async def step() -> None:
            if self.plan is not None and (self.config.membership.new_epochs or not self.view.active_epoch):
                plan = self.plan
                await asyncio.to_thread(self.keeper.open_if_due, self.view, plan.parameter_set, plan.threshold)
            await asyncio.to_thread(self.keeper.step, self.view)

        await self._again_and_again("key epoch", step)

    async def _govern(self) -> None:
        async def step() -> None:
            await asyncio.to_thread(self.council.step, self.view)
            await asyncio.to_thread(self.prosecutor.step, self.view)

        await self._again_and_again("membership", step)

    async def _until_succession(self) -> None:
        due = asyncio.Event()

        def look() -> None:
            if is_due(self.home, self.view):
                due.set()

        watching = asyncio.create_task(self._again_and_again("succession", look))
        try:
            await due.wait()
        finally:
            watching.cancel()

    async def _open_rounds(self) -> None:
        opener = self.opener
        if opener is not None:
            await self._again_and_again("opening", lambda: asyncio.to_thread(opener.open_if_due, self.view))
        await asyncio.Event().wait()

    async def _keep_house(self) -> None:
        def step() -> None:
            self.witness.step(self.view)
            self.pruner.step(self.view)

        await self._again_and_again("housekeeping", lambda: asyncio.to_thread(step), _unhurried)

    async def _tick(self) -> None:
        while True:
            if self.conductor is not None:
                self.conductor.tick()
            await asyncio.sleep(TICK_SECONDS)

    async def _again_and_again(
        self, what: str, once: Callable[[], object], wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Do something for ever; what can go wrong is logged once a spell and tried again, slower and slower."""
        pause, said = self.config.chain.poll_seconds, ""
        while True:
            try:
                result = once()
                if asyncio.iscoroutine(result):
                    await result
                pause, said = self.config.chain.poll_seconds, ""
            except EXPECTED as error:
                if str(error) != said:
                    said = str(error)
                    log.warning("%s: %s", what, said)
                pause = min(LONGEST_PAUSE_SECONDS, pause * 2)
            await wait(pause)

    def _over(self, number: int) -> bool:
        """Whether a round has ended, as far as this node has read the chain."""
        row = self.view.rounds.get(number)
        return row is not None and not row.open

    def _anchors(self) -> tuple[bytes, ...]:
        """Ids of the proposals that finished rounds, oldest first: the chain vouches for what lies under them."""
        rounds = self.view.rounds
        return tuple(row.proposal for number in sorted(rounds) if (row := rounds[number]).proposal is not None)

    # ---- wiring ----------------------------------------------------------------------------------------------------

    def _attached(self, transaction: Transaction, approvals: Mapping[bytes, int]) -> None:
        """Called from any thread, under the ledger's lock."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell, transaction, approvals)

    def _tell(self, transaction: Transaction, approvals: Mapping[bytes, int]) -> None:
        if transaction.parents and transaction.issuer == self.identity.address:
            self.gossip.announce_soon()
        if self.conductor is not None:
            self.conductor.attached(transaction, approvals)

    def _ports(self, row: RoundView) -> Ports | None:
        """What this hospital brings to a round; None where it takes no part, or holds no keys of its epoch."""
        reason = why_not(self.view, row, self.me)
        keys = self.keeper.keys(row.epoch) if reason is None else None
        if keys is None and reason is None:
            reason = f"this hospital holds no keys of epoch {row.epoch}"
        if reason is not None or keys is None:
            if row.open and self._aside.get(row.round) != reason:
                log.warning("round %d: taking no part: %s", row.round, reason)
                self._aside = {row.round: str(reason)}
            return None
        return Ports(
            me=self.me,
            consortium=consortium_of(self.chain.deployment, self.view, row),
            chain=OnChain(self.chain),
            ledger=self.publisher,
            blobs=self.blobs,
            learner=self.learner,
            keys=keys,
            journal=self.journal,
            policy=Policy(
                self.config.rounds.min_group,
                allow_minimal=self.allow_minimal,
                keep_quantised=self._keep_quantised if self.config.debug.keep_quantised else None,
            ),
            secret_for=self.identity.derive,
            sign_statement=lambda statement: sign_statement(statement, self.identity.private_key),
            url_of=lambda member: self.view.hospitals[member].url or None,
            electorate=lambda: electorate(self.view),
            keys_of=self.keeper.keys,
            sealed_elsewhere=lambda model, epoch: sealed_at_peers(self.peers(), model, epoch),
            generation_at=self._generation_at,
            progress=self._progress,
        )

    def _chain(self) -> Chain:
        settings = self.config.chain
        return Chain(
            settings.rpc,
            read_deployment(self.home),
            self.identity.account,
            book=self._intents,
            fee_cap=int(settings.max_fee_gwei * GWEI),
            finality=settings.finality,
        )

    def _progress(self, what: str, share: float) -> None:
        if self._stopping:
            raise RoundProblem(f"{what} was cut short: this node is stopping")
        if self.conductor is not None and self.conductor.runners:
            self.conductor.runners[max(self.conductor.runners)].progress = (what, share)

    def _keep_quantised(self, round_number: int, values: NDArray[np.int64]) -> None:
        directory = self.home.root / "debug"
        directory.mkdir(exist_ok=True)
        np.save(directory / f"round-{round_number}.npy", values)

    def _generation_at(self, round_number: int, proposal: bytes) -> int | None:
        row = self.view.rounds.get(round_number)
        return next((p.generation for p in row.proposals if p.proposal == proposal), None) if row else None

    def _joint_key(self, epoch: int) -> JointKey:
        keys = self.keeper.keys(epoch)
        if keys is None:
            raise PeerProblem(f"this hospital holds no keys of epoch {epoch} yet")
        return keys.joint

    def _index(self) -> int:
        account = str(self.identity.account.address)
        index = member_index(self.view, account)
        if index is None:
            raise BadConfig(f"account {account} is no member of this consortium: ask the members to admit it")
        return index

    def _opener(self) -> tuple[RoundOpener | None, Plan | None]:
        path, target = self.home.file(self.config.rounds.plan), self.config.rounds.target
        if not path.exists():
            if target:
                raise BadConfig(f"[rounds] target is {target}, but {path} is missing: write a plan or set target = 0")
            return None, None
        plan = Plan.from_toml(path)
        return (RoundOpener(self.me, plan, target, self.chain, self.store, self.journal) if target else None), plan


async def _unhurried(seconds: float) -> None:
    """Wait longer than others do: nothing waits for the house to be kept."""
    await asyncio.sleep(max(seconds, HOUSE_SECONDS))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        BadEnvironment: The address cannot be had, with what to change.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise BadEnvironment(
            f"cannot listen on {host}:{port} ({error.strerror}): choose another [hospital] host or port"
        ) from None
    return listener


def _read_so_far(done: int, total: int) -> None:
    """Says how far the start of a large ledger is; rows come 2,048 at a time."""
    if total > 100_000 and (done == total or done % (50 * 2048) == 0):
        log.info("ledger: %d of %d transactions read", done, total)
