"""What one hospital's node is made of: every part is built and wired to the others here; nothing runs yet."""

from __future__ import annotations

import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from chain.client import Chain
from chain.eventlog import EventLog
from chain.fees import GWEI
from chain.intents import IntentBook
from crypto.secrets import ContentKey
from dag.ledger import Ledger
from dag.store.sqlite import Store
from node.api.access.access import Access
from node.calling.member import member_dialer
from node.config import TESTING_VARIABLE
from node.consortium.follower import Follower
from node.daemon.announcing import CALL_SECONDS, Announcer
from node.daemon.cards import CardRegistrar
from node.daemon.inference import Inference
from node.daemon.learner import WorkerLearner
from node.daemon.planning import Planning
from node.daemon.plans import PlanBook
from node.daemon.pruner import Pruner
from node.daemon.resting import Resting
from node.daemon.roster import Seats
from node.daemon.witness import LogWitness, fetch_head
from node.epochs.keeper import Keeper
from node.epochs.policy import KeyPolicy
from node.epochs.start import member_index
from node.epochs.vault import Vault
from node.errors import BadConfig, PeerProblem
from node.home import read_deployment
from node.membership.book import MotionBook
from node.membership.council import Council
from node.membership.evidence import Evidence
from node.membership.exchange import Exchange
from node.membership.findings import seen_in
from node.membership.prosecutor import Prosecutor
from node.planning.board import NoticeBoard
from node.publishing.blobs import PeerBlobs
from node.publishing.gossip import Gossip
from node.publishing.publisher import Publisher
from node.publishing.witness import Cosigner
from node.rounds.checks import UpdateChecks
from node.rounds.journal import Journal
from node.rounds.restored import forgot, last_forgotten
from node.sealing.models import own_key
from node.storage.opening import open_store

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from crypto.keys import JointKey
    from dag.transaction import Transaction
    from node.config import NodeConfig
    from node.consortium.view import ConsortiumView
    from node.daemon.conductor import Conductor
    from node.home import Home, Identity

log = logging.getLogger("medweave")


class Parts:
    """The parts of one hospital's node.

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
        self.loop: asyncio.AbstractEventLoop | None = None
        self.conductor: Conductor | None = None
        self._follow_chain()
        self.me = self._index()
        self.store = open_store(home.blobs, config.storage)
        self.journal = Journal(home.journal)
        self.last_forgotten = last_forgotten(self.journal, max(self.view.rounds, default=0))
        consortium = self.chain.deployment.consortium
        self.dialer = member_dialer(home, config, identity.private_key, consortium)
        self.access = Access(home, config, consortium, lambda: self.view, identity.private_key)
        self.blobs = PeerBlobs(self.store, self.peers, self.dialer)
        self.plans = PlanBook(self.chain.deployment, self.blobs, allow_minimal=self.allow_minimal)
        self.learner = WorkerLearner(home, config, self.me, ContentKey(identity.derive(b"training checkpoint")))
        self.learner.worker.start()  # it loads torch while the rest is read
        self.keeper = Keeper(
            self.me,
            self.chain,
            self.blobs,
            Vault(home, identity.password, self.store, allow_minimal=self.allow_minimal),
            allow_minimal=self.allow_minimal,
            policy=KeyPolicy(config.rounds.min_threshold, config.rounds.min_cohort),
        )
        self.plans.read_all(self.view)
        self._keep_ledger()
        self._govern()
        self._plan()
        self.learner.worker.check()
        self.inference = Inference(home, config)
        self.own_models = own_key(identity.derive)
        self.resting = Resting(
            self.me,
            identity,
            self.dialer,
            self.blobs,
            self.publisher,
            self.journal,
            lambda number: self.plans.size(self.view, number),
        )

    # ---- what others ask -------------------------------------------------------------------------------------------

    @property
    def view(self) -> ConsortiumView:
        """What the chain said so far."""
        return self.follower.view

    def peers(self) -> tuple[str, ...]:
        """The other members' base URLs."""
        return tuple(h.url for seat, h in self.view.present if seat != self.me and h.url)

    def close(self) -> None:
        """Close every store, once nothing uses them any more."""
        self.learner.worker.stop()
        self.inference.stop()
        self.access.close()
        self.publisher.close()
        self.journal.close()
        self._intents.close()
        self._events.close()
        self.book.close()
        self.evidence.close()
        self.planning.close()

    # ---- building --------------------------------------------------------------------------------------------------

    def _follow_chain(self) -> None:
        settings, home = self.config.chain, self.home
        self._intents = IntentBook(home.intents)
        self.chain = Chain(
            settings.rpc,
            read_deployment(home),
            self.identity.account,
            book=self._intents,
            fee_cap=int(settings.max_fee_gwei * GWEI),
            finality=settings.finality,
        )
        self.chain.verify()
        self._events = EventLog(home.events, self.chain.deployment)
        self.follower = Follower(self.chain, self._events)
        self.follower.look()

    def _keep_ledger(self) -> None:
        home, config, key = self.home, self.config, self.identity.private_key
        store = Store(home.ledger)
        ledger = Ledger(store, lambda: self.plans.context(self.view), progress=_read_so_far)
        self.evidence = Evidence(home.evidence)
        self.publisher = Publisher(
            ledger, store, key, Seats(lambda: self.view), self._attached, self.evidence.keep, self._forgotten
        )
        checks = UpdateChecks(self.blobs, self._joint_key, lambda number: self.plans.size(self.view, number))
        self.gossip = Gossip(
            self.publisher, self.dialer, self.peers, checks.check, over=self._unchecked, anchors=self._anchors
        )
        cosigner = Cosigner(home.checkpoint, key)
        self.witness = LogWitness(
            self.chain.deployment.consortium, self.me, cosigner, self.publisher, partial(fetch_head, self.dialer)
        )
        self.pruner = Pruner(self.publisher, store, self.store, config.storage.keep_rounds)

    def _govern(self) -> None:
        membership = self.config.membership
        self.book = MotionBook(self.home.motions, self.chain.deployment)
        self.motions = Exchange(self.book, self.chain.deployment, lambda: self.view, self.dialer)
        self.council = Council(
            self.me,
            self.identity.account,
            self.chain,
            self.book,
            self.motions,
            self.peers,
            membership.exchange_seconds,
        )
        self.prosecutor = Prosecutor(
            self.me,
            self.chain,
            self.publisher,
            self.evidence,
            self.council,
            self.book,
            membership,
            lambda: seen_in(self.conductor.runners if self.conductor else {}, self.view, self.publisher),
        )

    def _index(self) -> int:
        account = str(self.identity.account.address)
        index = member_index(self.view, account)
        if index is None:
            raise BadConfig(f"account {account} is no member of this consortium: ask the members to admit it")
        return index

    def _plan(self) -> None:
        self.planning = Planning(self.home, self.config, self.me, self.chain, self.plans, self.store, self.journal)
        self.notices = NoticeBoard(self.home.notices, self.chain.deployment, lambda: self.view)
        self.announcer = Announcer(
            self.notices,
            self.planning.images,
            self.identity.account,
            self.peers,
            lambda: self.dialer.client(CALL_SECONDS),
        )
        wanted = self.config.data.register_card
        self.cards = CardRegistrar(self.me, self.planning.images, self.chain, wanted=wanted)

    # ---- what the parts ask of each other --------------------------------------------------------------------------

    def _attached(self, transaction: Transaction, approvals: Mapping[bytes, int]) -> None:
        """Called from any thread, under the ledger's lock."""
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._tell, transaction, approvals)

    def _forgotten(self, transaction: Transaction) -> None:
        """A peer brought something that this hospital said and does not remember; called from any thread."""
        if self.loop is not None and transaction.round > self.last_forgotten:
            self.last_forgotten = transaction.round  # at once: no effect of the round may begin any more
            self.loop.call_soon_threadsafe(self._sit_out, transaction.round)

    def _sit_out(self, number: int) -> None:
        forgot(self.journal, number)
        log.error(
            "round %d: a peer has a transaction of this hospital that its own ledger did not know: the directory is older "
            "than what it said; see docs/operations.md, The disk is lost",
            number,
        )
        if self.conductor is not None:
            self.conductor.leave(number, "for what this hospital may have said in it is not known here")

    def _tell(self, transaction: Transaction, approvals: Mapping[bytes, int]) -> None:
        if transaction.parents and transaction.issuer == self.identity.address:
            self.gossip.announce_soon()
        if self.conductor is not None:
            self.conductor.attached(transaction, approvals)

    def _unchecked(self, number: int) -> bool:
        """Whether a round's ciphertexts are no business of this node's: it has ended, or is a cohort's without this hospital."""
        row = self.view.rounds.get(number)
        return row is not None and (not row.open or self.me in row.resting)

    def _anchors(self) -> tuple[bytes, ...]:
        """Ids of the proposals that finished rounds, oldest first: the chain vouches for what lies under them."""
        rounds = self.view.rounds
        return tuple(row.proposal for number in sorted(rounds) if (row := rounds[number]).proposal is not None)

    def _joint_key(self, epoch: int) -> JointKey:
        keys = self.keeper.keys(epoch)
        if keys is None:
            raise PeerProblem(f"this hospital holds no keys of epoch {epoch} yet")
        return keys.joint


def _read_so_far(done: int, total: int) -> None:
    """Says how far the start of a large ledger is; rows come 2,048 at a time."""
    if total > 100_000 and (done == total or done % (50 * 2048) == 0):
        log.info("ledger: %d of %d transactions read", done, total)
