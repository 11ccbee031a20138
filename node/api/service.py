"""What the API needs of the daemon, as a protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from chain.client import Chain
    from crypto.secrets import ContentKey
    from dag.proofs.roundlog import RoundLog
    from node.api.access.access import Access
    from node.config import NodeConfig
    from node.consortium.view import ConsortiumView
    from node.epochs.keeper import Keeper
    from node.home import Home
    from node.membership.book import MotionBook
    from node.membership.exchange import Exchange
    from node.planning.board import NoticeBoard
    from node.planning.choice import Choice
    from node.planning.orders import OrderBook
    from node.planning.timetable import Opening
    from node.publishing.gossip import Gossip
    from node.publishing.publisher import Publisher
    from node.rounds.journal import Journal
    from node.rounds.plan import Plan
    from node.rounds.runner import RoundRunner
    from node.storage import BlobStore
    from node.work.messages import Answered
    from node.work.questions import Question


class Rounds(Protocol):
    """The rounds under way."""

    @property
    def runners(self) -> dict[int, RoundRunner]:
        """By round; the newest few."""


class Log(Protocol):
    """Who keeps the log of finalised rounds."""

    @property
    def log(self) -> RoundLog | None:
        """The log as it was last read off ledger and chain; None before the first finalised round."""


class Asking(Protocol):
    """Models asked about images."""

    def ask(self, question: Question) -> Answered:
        """What a model says about an image."""


class Plans(Protocol):
    """Which plan is in force, and what follows from it."""

    orders: OrderBook

    @property
    def plan(self) -> Plan | None:
        """The plan in force; None where there is none, or it could not be fetched yet."""

    def choice(self, view: ConsortiumView) -> Choice:
        """Where it comes from."""

    def outlook(self, view: ConsortiumView, fresh: int) -> Opening:
        """When this hospital opens the next round."""


class Service(Protocol):
    """A running node, as its API sees it."""

    me: int
    home: Home
    started: float
    config: NodeConfig
    access: Access
    chain: Chain
    keeper: Keeper
    publisher: Publisher
    gossip: Gossip
    motions: Exchange
    notices: NoticeBoard
    book: MotionBook
    journal: Journal
    own_models: ContentKey
    """Opens models that were passed on to this hospital while it rested."""

    @property
    def inference(self) -> Asking:
        """Models asked about images."""

    @property
    def store(self) -> BlobStore:
        """The blob store."""

    @property
    def planning(self) -> Plans:
        """The plan in force."""

    @property
    def witness(self) -> Log:
        """The log of finalised rounds."""

    @property
    def conductor(self) -> Rounds | None:
        """The rounds under way, once the daemon runs."""

    @property
    def view(self) -> ConsortiumView:
        """What the chain said so far."""
