"""A consortium's chain as one object: four contracts, their events, the chain's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chain.artifact import load
from chain.connection import Connection, checked_number
from chain.cursor import EventCursor
from chain.epochs import KeyEpochs
from chain.errors import NotDeployed, WrongChain
from chain.eventlog import EventLog
from chain.events import Event, decode_log
from chain.fees import FEE_CAP, price_now
from chain.logs import read_logs
from chain.models import ModelLedger
from chain.outbox import FINALITY
from chain.records import checked_integer
from chain.registry import HospitalRegistry
from chain.rounds import TrainingRounds
from chain.sender import Sender

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

    from chain.cursor import News
    from chain.deployment import Deployment
    from chain.intents import IntentBook


class Chain:
    """The contracts of one deployment, seen through one endpoint; with an account, also written.

    Opening it makes no request: call ``verify`` once before trusting an endpoint. Safe to use from several threads.
    Confirmed transactions may be undone: a local chain that was killed comes back a second older, so whoever acts on
    events must cope with ``block_number`` going back.

    Attributes:
        deployment: Where the contracts are.
        account: The address that writes, checksummed hex; None if this client only reads.
        registry: The members.
        epochs: The key ceremonies.
        rounds: The rounds.
        models: The lineage.
    """

    def __init__(
        self,
        rpc_url: str,
        deployment: Deployment,
        account: LocalAccount | None = None,
        *,
        timeout: float = 10.0,
        attempts: int = 6,
        patience: float = 60.0,
        book: IntentBook | None = None,
        fee_cap: int = FEE_CAP,
        finality: int = FINALITY,
    ) -> None:
        """Makes no request yet.

        Args:
            rpc_url: An http or https JSON-RPC endpoint.
            deployment: Where the contracts are.
            account: Signs and pays; None to only read.
            timeout: Seconds to wait for one answer.
            attempts: How often to ask before ChainUnreachable.
            patience: Seconds to wait for a receipt before TransactionLost.
            book: Where what is sent is written down before it is; None to keep that in memory.
            fee_cap: Wei a unit of gas that may be paid.
            finality: Blocks on top of one that the chain keeps.
        """
        self.deployment = deployment
        self.account = None if account is None else str(account.address)
        self._connection = Connection(rpc_url, timeout, attempts)
        sender = None
        if account is not None:
            limits = {"fee_cap": fee_cap, "finality": finality}
            sender = Sender(self._connection, account, deployment.chain_id, patience, book, **limits)
        self._sender = sender
        self.registry = HospitalRegistry(deployment, self._connection, sender)
        self.epochs = KeyEpochs(deployment.epochs, self._connection, sender)
        self.rounds = TrainingRounds(deployment, self._connection, sender)
        self.models = ModelLedger(deployment.models, self._connection, sender)

    def verify(self) -> None:
        """Checks that the endpoint serves the deployment: the chain's id, the four contracts' code, how they are wired.

        Raises:
            WrongChain: If it serves another chain.
            NotDeployed: Naming the first contract that is missing, is another, or belongs to another consortium.
            ChainUnreachable: If it does not answer.
        """
        found = self._connection.chain_id()
        if found != self.deployment.chain_id:
            raise WrongChain(self._connection.url, self.deployment.chain_id, found)
        for name, address in self.deployment.addresses.items():
            code = self._connection.code(address)
            if not load(name).matches(code):
                what = f"other code ({len(code)} bytes)" if code else "no contract"
                raise NotDeployed(name, address, what)
        self._verify_wiring()

    def now(self) -> int:
        """The latest block's time, in Unix seconds.

        A chain that mines on demand makes no block while nothing is sent: a deadline may have passed although this
        has not moved. The contracts judge by the time of the block a transaction gets.
        """
        return int(self._connection.block()["timestamp"])

    def block_number(self) -> int:
        """The latest block's number."""
        return int(self._connection.block()["number"])

    def balance(self, address: str) -> int:
        """An account's funds, in wei.

        Args:
            address: Checksummed hex.
        """
        w3, what = self._connection.w3, "eth_getBalance"
        return checked_number(
            what, self._connection.run(what, lambda: w3.eth.get_balance(w3.to_checksum_address(address)))
        )

    def gas_price(self) -> int:
        """What a transaction of ours pays for a unit of gas in the next block, tip included, in wei.

        Raises:
            ChainUnreachable: If the endpoint does not answer.
        """
        return price_now(self._connection)

    def events(self, from_block: int, to_block: int | None = None) -> list[Event]:
        """What the four contracts emitted, in order; one request for each 10,000 blocks.

        Args:
            from_block: The first block, such as ``deployment.block``.
            to_block: The last block, inclusive; None for the latest.

        Returns:
            The events; none if ``from_block`` lies beyond the chain's end.

        Raises:
            MalformedAnswer: If a log does not follow the ABI.
            RpcRefused: If the endpoint refuses to give the logs of even one block.
        """
        checked_integer("from_block", from_block, 0, 2**63 - 1)
        head = self.block_number()
        last = head if to_block is None else min(checked_integer("to_block", to_block, 0, 2**63 - 1), head)
        if from_block > last:
            return []
        addresses = list(self.deployment.addresses.values())
        logs = (log for _, part in read_logs(self._connection, addresses, from_block, last) for log in part)
        return [event for event in (decode_log(log.as_rpc()) for log in logs) if event is not None]

    def cursor(self, events: EventLog | None = None) -> EventCursor:
        """What follows this deployment's events and notices when the chain takes some back.

        Args:
            events: Where to keep what was read, and to go on from; None to keep it in memory.
        """
        return EventCursor(self._connection, self.deployment, events or EventLog(":memory:", self.deployment))

    def watch(self, news: News) -> None:
        """Looks after what this client sent and is not final yet: call it after every look of a cursor.

        What the chain took back is sent again; what never arrived, also that of an earlier process, is brought there or
        given up if the contracts refuse it by now; gaps among the nonces are filled. A client without an account has
        nothing to look after.

        Args:
            news: What the look found.

        Raises:
            ChainUnreachable: If the endpoint does not answer; call it again.
        """
        if self._sender is not None:
            self._sender.watch(news.head, news.went_back.ancestor if news.went_back else None)

    def _verify_wiring(self) -> None:
        here = self.deployment
        if self.registry.consortium() != here.consortium:
            raise NotDeployed("HospitalRegistry", here.registry, "the registry of another consortium")
        if self.epochs.registry() != here.registry:
            raise NotDeployed("KeyEpochs", here.epochs, "the epochs of another registry")
        if self.epochs.rounds() != here.rounds:
            raise NotDeployed("KeyEpochs", here.epochs, "epochs that draw cohorts by another contract")
        if self.rounds.wiring() != (here.registry, here.epochs, here.models):
            raise NotDeployed("TrainingRounds", here.rounds, "the rounds of another deployment")
        if self.models.writer() != here.rounds:
            raise NotDeployed("ModelLedger", here.models, "a ledger written by another contract")
