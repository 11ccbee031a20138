"""The chain, as far as the ledger needs one: it names members, opens rounds, and anchors at most one head a round.

Rounds follow each other at fixed times. In a round one member after the other is the leader; the leader names an
acknowledgement of its own as the round's *head*, and members that hold it vote. The first head that a quorum votes for is
anchored: from then on the order of everything in its past cone is final. That is what a proposal and its outcome come to
for the ledger; their bodies are verified in the tests of the rounds, at tens of members, not here at thousands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from dag.rules import Context, Member, RoundTerms
from dag.simulator.seeds import digest, stream
from dag.transaction import address_of

if TYPE_CHECKING:
    from dag.simulator.scenario import Scenario

ATTEMPTS: Final = 3
"""Leaders a round."""
CALM: Final = 0.4
"""Share of a round before its first leader names a head."""
REGISTERED: Final = 400
"""Images that every simulated member has registered."""
TERMS: Final = RoundTerms(
    epoch=1, threshold=1, parameter_set=b"simulation......", cap=500, max_slots=4, min_group=2, layout=None
)


@dataclass(frozen=True)
class Anchor:
    """A head that the chain accepted.

    Attributes:
        round: its round.
        head: id (32 bytes) of the head.
        time: virtual seconds at which a quorum had voted.
    """

    round: int
    head: bytes
    time: float


class SimulatedChain:
    """One chain that everybody trusts. Nodes hear of what it says with a delay of their own (`dag.simulator.world`)."""

    def __init__(self, scenario: Scenario) -> None:
        """A chain that knows the members and no round."""
        self._scenario = scenario
        self.keys = [digest(scenario.seed, f"key {node}") for node in range(scenario.nodes)]
        self.addresses = [address_of(key) for key in self.keys]
        self.context = Context(
            consortium=digest(scenario.seed, "consortium"),
            chain_id=31337,
            registry=digest(scenario.seed, "registry")[:20],
            members={address: Member(index, REGISTERED) for index, address in enumerate(self.addresses)},
            quorum=scenario.quorum,
            rounds={},
        )
        self.anchors: list[Anchor] = []
        self._votes: dict[tuple[int, bytes], dict[int, None]] = {}
        self._voted: dict[tuple[int, int, int], None] = {}

    @property
    def round(self) -> int:
        """The newest round; 0 before the first."""
        return len(self.context.rounds)

    def open(self) -> int:
        """Opens the next round and returns its number; what was not anchored before then never is."""
        number = self.round + 1
        self.context = replace(self.context, rounds={**self.context.rounds, number: TERMS})
        return number

    def leader(self, round_: int, attempt: int) -> int:
        """Index of the member that may name a round's head in an attempt, 0 ≤ attempt < `ATTEMPTS`."""
        order = stream(self._scenario.seed, f"leaders {round_}").sample(range(self._scenario.nodes), ATTEMPTS)
        return order[attempt]

    def vote(self, round_: int, attempt: int, head: bytes, member: int, now: float) -> Anchor | None:
        """Counts one vote a member and attempt; returns the anchor if this vote made it one."""
        ballot = (round_, attempt, member)
        anchored = bool(self.anchors) and self.anchors[-1].round == round_
        if round_ != self.round or anchored or ballot in self._voted:
            return None
        self._voted[ballot] = None
        votes = self._votes.setdefault((round_, head), {})
        votes[member] = None
        if len(votes) < self._scenario.quorum:
            return None
        self.anchors.append(Anchor(round_, head, now))
        return self.anchors[-1]
