"""Members that misbehave. Each runs the real ledger and machine, so that it knows what the others do, and lies on top of them.

| behaviour | what it does |
|---|---|
| parasite | builds a chain of its own on an old transaction in secret, publishes all of it at once, and begins again |
| lazy | posts all the time, always on the same old parents |
| equivocate | signs two different transactions with one sequence number, and two updates in a round; tells each half of its peers one |
| withhold | tells half of its peers only, and answers nobody else |
| spam | posts valid acknowledgements as fast as it can, and sends junk between them |
| forge | sends transactions with signatures of nobody, of strangers, wrong weights, unknown rounds |
| oversize | sends messages and transactions beyond every limit |
| replay | sends again what it has heard, to everybody, over and over |

Members vote on the chain as honest ones do; a Byzantine one also leads when it is its turn. What it posts besides is its
behaviour. All of it ends when members stop posting, so that what is left to see is what it did to the others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from dag.bodies import AcknowledgementBody, UpdateBody
from dag.simulator.chain import REGISTERED, TERMS
from dag.simulator.member import QUIET, SLOTS, Member
from dag.simulator.node import number_of
from dag.simulator.seeds import digest
from dag.sync.messages import Announce, Answer, Push
from dag.transaction import Transaction, Unsigned, sign
from dag.weights import contribution_weight

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dag.simulator.node import Node
    from dag.simulator.scenario import Behaviour
    from dag.sync import Send

CHAIN: Final = 6
"""Transactions that a parasite builds before it publishes them."""
ASIDE: Final = 1000
"""Sequence numbers left free below a hidden chain, for what its member posts in the open meanwhile."""
FLOOD: Final = 8
"""Messages or transactions of one outburst."""
REMEMBERED: Final = 64
"""Messages that a replayer keeps."""
OVERSIZED: Final = b"\xa3" + bytes(2 * 1024 * 1024)
"""More bytes than any message may have."""


class Byzantine(Member):
    """A member whose outbursts come as often as an honest member's acknowledgements."""

    def _acknowledge(self) -> None:
        self._plan_acknowledgement()
        if self.world.chain.round and not self.world.is_over:
            self.misbehave()

    def _update(self, round_: int) -> None:
        """Posts no update: nobody is to wait for it."""

    def misbehave(self) -> None:
        """One outburst."""

    def tell(self, transactions: Sequence[Transaction], targets: Iterable[int]) -> None:
        """Sends transactions to some peers, past its own machine."""
        for target in targets:
            self.world.network.send(self.node.index, target, Push(tuple(tx.raw for tx in transactions)).encode())

    def shout(self, message: bytes) -> None:
        """Sends bytes to every peer."""
        for target in self.node.peers:
            self.world.network.send(self.node.index, target, message)


class Parasite(Byzantine):
    """A hidden subtangle, published when it is long enough."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._hidden: list[Transaction] = []
        self._root = b""

    def misbehave(self) -> None:
        """Adds to the chain, or publishes it."""
        ledger = self.node.ledger
        if not self._hidden:
            self._root = ledger.tangle.id_at(max(0, len(ledger) - 1 - CHAIN))
        sequence = ledger.next_sequence(self.node.address) + ASIDE + len(self._hidden)
        last = self._hidden[-1].id if self._hidden else self._root
        self._hidden.append(self.node.forge(QUIET, (last, self._root), sequence))
        if len(self._hidden) >= CHAIN:
            self.world.misdeeds(self._hidden, valid=True)
            ledger.receive_many([tx.raw for tx in self._hidden])
            out = [tx.id for tx in self._hidden if tx.id in ledger]
            self.node.carry(self.node.machine.created(out, self.node.clock))
            self._hidden = []


class Lazy(Byzantine):
    """Always the same old parents: its transactions help nobody."""

    def misbehave(self) -> None:
        """One more on genesis and the first transaction that ever was."""
        ledger = self.node.ledger
        old = (ledger.genesis_id, ledger.tangle.id_at(min(1, len(ledger) - 1)))
        self.world.misdeeds((self.node.post(QUIET, parents=old),), valid=True)


class Equivocator(Byzantine):
    """Two truths, one for each half of its peers."""

    def misbehave(self) -> None:
        """Signs one sequence number twice, or a round's update twice, and then is found out."""
        ledger, tangle = self.node.ledger, self.node.ledger.tangle
        if tangle.is_faulty(self.node.index):
            return
        tip = tangle.tips()[-1]
        sequence = ledger.next_sequence(self.node.address)
        if self.rng.random() < 0.5:
            halves = [self.node.forge(QUIET, (parent, tip), sequence) for parent in (tip, ledger.genesis_id)]
        else:
            halves = [self.node.forge(_update(samples), (tip, tip), sequence + samples - 1) for samples in (1, 2)]
        self.world.misdeeds(halves, valid=True)
        for half, side in zip(halves, (0, 1), strict=True):
            self.tell((half,), [peer for peer in self.node.peers if peer % 2 == side])
        ledger.receive_many([halves[0].raw])


class Withholder(Byzantine):
    """Posts as an honest member does, but half of its peers never hear anything from it."""

    def misbehave(self) -> None:
        """Posts."""
        self.world.misdeeds((self.node.post(QUIET),), valid=True)

    def sends(self, send: Send) -> Iterable[bytes]:
        """Nothing to peers with odd numbers."""
        return () if number_of(send.peer) % 2 else (send.message,)


class Spammer(Byzantine):
    """Valid transactions and junk, as fast as it can."""

    def misbehave(self) -> None:
        """An outburst of transactions, now and then of junk."""
        for _ in range(FLOOD):
            self.world.misdeeds((self.node.post(QUIET),), valid=True)
        if self.rng.random() < 0.75:  # junk alone would have it ignored, and the rest never be read
            return
        for _ in range(FLOOD):
            self.shout(self.rng.randbytes(self.rng.randrange(1, 200)))
        self.shout(Announce(tuple(self.rng.randbytes(32) for _ in range(FLOOD))).encode())


class Forger(Byzantine):
    """Transactions that the rules refuse."""

    def misbehave(self) -> None:
        """One of each kind, to everybody."""
        tip = self.node.ledger.tangle.tips()[-1]
        sequence = self.node.ledger.next_sequence(self.node.address)
        honest = self.node.forge(QUIET, (tip, tip), sequence)
        stranger = digest(self.world.scenario.seed, f"stranger {self.rng.random()}")
        plain = Unsigned(**{name: getattr(honest, name) for name in Unsigned.__dataclass_fields__})
        forged = (
            replace(honest, signature=self.rng.randbytes(64) + b"\x00"),
            replace(honest, signature=honest.signature[:64] + b"\x1b"),
            sign(plain, stranger),
            self.node.forge(replace(_update(3), weight_ppm=999_999), (tip, tip), sequence),
            self.node.forge(AcknowledgementBody(self.rng.randbytes(32)), (tip, tip), sequence),
            self.node.forge(QUIET, (tip, tip), sequence, round=10_000),
            self.node.forge(QUIET, (tip, tip), sequence, epoch=9),
            self.node.forge(QUIET, (tip, tip), sequence, consortium=self.rng.randbytes(32)),
        )
        self.world.misdeeds(forged, valid=False)
        for transaction in forged:
            self.tell((transaction,), self.node.peers)
        self.shout(Answer(self.rng.randrange(100), (forged[0].raw,), ()).encode())


class Oversizer(Byzantine):
    """More than anybody may send."""

    def misbehave(self) -> None:
        """A message beyond the limit, and one that claims to hold more than it does."""
        self.shout(OVERSIZED)
        self.shout(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff")
        self.shout(b"\x81" * 4096)


class Replayer(Byzantine):
    """Sends again what it heard, bytes by bytes."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._heard: deque[bytes] = deque(maxlen=REMEMBERED)

    def heard(self, message: bytes) -> None:
        """Keeps the message."""
        self._heard.append(message)

    def misbehave(self) -> None:
        """Some of what it heard, to everybody."""
        for message in self.rng.sample(self._heard, min(FLOOD, len(self._heard))):
            self.shout(message)


BEHAVIOURS: Final[dict[Behaviour, type[Byzantine]]] = {
    "parasite": Parasite,
    "lazy": Lazy,
    "equivocate": Equivocator,
    "withhold": Withholder,
    "spam": Spammer,
    "forge": Forger,
    "oversize": Oversizer,
    "replay": Replayer,
}


def _update(samples: int) -> UpdateBody:
    weight = contribution_weight(samples, REGISTERED, TERMS.cap, SLOTS, TERMS.max_slots)
    return UpdateBody(
        weight, samples, SLOTS, digest(0, f"commitment {samples}"), TERMS.parameter_set, digest(0, "layout")
    )
