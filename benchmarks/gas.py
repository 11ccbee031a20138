"""What a round costs on chain, in gas, by members; beside it what one storage slot a hospital would cost.

A consortium of real accounts on a local chain of its own: registry, key epoch, then rounds in which a quorum signs. Gas is
counted by the chain and does not depend on the machine.

    python -m benchmarks.gas [--members N ...] [--json F] [--repeats N]
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from eth_account import Account
from eth_typing import Hash32

from benchmarks import harness
from benchmarks.errors import NotMeasured
from benchmarks.harness import Result, Row, Target
from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.connection import Connection
from chain.deployment import deploy, fund
from chain.errors import ChainError
from chain.records import Hospital, Outcome
from chain.sender import Sender
from chain.votes import Admission, vote_digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eth_account.signers.local import LocalAccount

MEMBERS: Final = (4, 10, 50, 200)
FOUNDERS: Final = 100
"""At most so many are founded by the deployment; the others are admitted by vote."""
ROUND_GAS: Final = 400_000
SLOPE_GAS: Final = 8_000
"""Promises: a round of ten members, and what a further member adds (CHN-3)."""
THREADS: Final = 8
SLOT_CODE: Final = bytes.fromhex("65600035335500" + "5f52" + "6006" + "601a" + "f3")
"""Deploys the cheapest contract that keeps a word for its caller: SSTORE(caller, first word of the calldata)."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Gas of one consortium; of a round, the median of several."""

    members: int
    deploy: int
    ceremony: int
    """One member's four transactions of a key ceremony, the dearest member's."""
    open: int
    propose: int
    finalise: int
    slots: int
    """A transaction of every member that writes one storage slot, all together."""

    @property
    def round(self) -> int:
        """Everything a round sends."""
        return self.open + self.propose + self.finalise


class Consortium:
    """N members with keys and funds on one chain."""

    def __init__(self, url: str, size: int) -> None:
        self.url = url
        self.accounts = [Account.from_key(_digest(f"member {index}")) for index in range(size)]
        start = Connection(url).block()["number"]
        self.deployment = deploy(url, dev_account(0), _digest(f"consortium {size}"), self._hospitals()[:FOUNDERS])
        self.deploy_gas = _gas_between(url, int(start) + 1)
        fund(url, dev_account(0), [account.address for account in self.accounts], 10)
        self.clients = [Chain(url, self.deployment, account) for account in self.accounts]
        for hospital in self._hospitals()[FOUNDERS:]:
            self._admit(hospital)

    def _hospitals(self) -> list[Hospital]:
        return [
            Hospital(account.address, _digest(f"box {index}"), 100, f"Hospital {index}", f"https://h{index}.example")
            for index, account in enumerate(self.accounts)
        ]

    def _admit(self, hospital: Hospital) -> None:
        registry = self.clients[0].registry
        vote = Admission(hospital=hospital, decision=registry.decisions(), deadline=2**40)
        registry.admit(vote, signed(self.accounts, vote_digest(vote, self.deployment), registry.quorum()))

    def run_ceremony(self) -> int:
        """Activates a key epoch; the gas of the member that paid most."""
        first = self.clients[0]
        threshold = first.registry.quorum()
        first.epochs.open(_digest("parameters"), threshold, first.now() + 3_600)
        epoch = first.epochs.latest()
        spent = [0] * len(self.clients)
        with ThreadPoolExecutor(THREADS) as pool:
            for step in ("announce", "commit", "deal", "test", "confirm"):
                send = partial(_step, step=step, epoch=epoch)
                for index, gas in enumerate(pool.map(send, self.clients)):
                    spent[index] += gas
        return max(spent)

    def run_round(self, plan: bytes, leader: int) -> tuple[int, int, int]:
        """Gas of opening, proposing and finalising one round by a bare quorum."""
        chain = self.clients[leader]
        base = chain.models.head()
        opened = chain.rounds.open(plan, base, 600, 3_000).gas_used
        number = chain.rounds.current()
        proposal, updates, sums = (_digest(f"{what} {number}") for what in ("proposal", "updates", "sums"))
        proposed = chain.rounds.propose(number, proposal, updates, sums).gas_used
        outcome = Outcome(
            round=number,
            base=base,
            model=_digest(f"model {number}"),
            plan=plan,
            leader=self.accounts[leader].address,
            proposal=proposal,
            updates_root=updates,
            sums_root=sums,
            statement=_digest(f"statement {number}"),
            seed_material=_digest(f"reveals {number}"),
        )
        signatures = signed(self.accounts, chain.rounds.outcome_digest(outcome), chain.registry.quorum())
        return opened, proposed, chain.rounds.finalise(outcome, signatures).gas_used

    def fill_slots(self) -> int:
        """The cheapest way to keep one word a member in storage: gas of all of them together."""
        connection = Connection(self.url)
        _, keeper = Sender(connection, dev_account(1), self.deployment.chain_id).create("slots", SLOT_CODE)
        senders = [Sender(connection, account, self.deployment.chain_id) for account in self.accounts]
        with ThreadPoolExecutor(THREADS) as pool:
            return sum(pool.map(lambda sender: sender.send("slot", keeper, _digest("word")).gas_used, senders))


def signed(accounts: Sequence[LocalAccount], digest: bytes, count: int) -> dict[int, bytes]:
    """Signatures of the first `count` members under one digest, by member index."""
    return {i: bytes(account.unsafe_sign_hash(Hash32(digest)).signature) for i, account in enumerate(accounts[:count])}


def measure_consortium(size: int, repeats: int) -> Cost:
    """Gas of one consortium's rounds.

    Raises:
        ChainError: The local chain does not run, or refused a step.
    """
    with tempfile.TemporaryDirectory() as folder, Anvil(None, Path(folder) / "state.json") as anvil:
        consortium = Consortium(anvil.url, size)
        ceremony = consortium.run_ceremony()
        plan = _digest("plan")
        consortium.clients[0].rounds.genesis(_digest("genesis"), plan)
        consortium.run_round(plan, 0)  # the first round writes words that later ones change
        rounds = [consortium.run_round(plan, (number + 1) % size) for number in range(repeats)]
        opened, proposed, finalised = (int(harness.median(map(float, phase))) for phase in zip(*rounds, strict=True))
        slots = consortium.fill_slots()
        return Cost(size, consortium.deploy_gas, ceremony, opened, proposed, finalised, slots)


def result_of(costs: Sequence[Cost]) -> Result:
    """The tables and the promises.

    Args:
        costs: One a size, at least one.
    """
    rows = [
        Row(
            "gas of a round, by phase",
            f"{cost.members} members",
            {
                "open": cost.open,
                "propose": cost.propose,
                "finalise": cost.finalise,
                "round": cost.round,
                "one_slot_a_hospital": cost.slots,
                "slots_over_round_ratio": cost.slots / cost.round,
            },
        )
        for cost in costs
    ]
    rows += [
        Row(
            "gas once, outside rounds",
            f"{cost.members} members",
            {"deployment": cost.deploy, "key_ceremony_a_member": cost.ceremony},
        )
        for cost in costs
    ]
    targets = [
        Target(f"a round of {cost.members} members", cost.round, "gas", "<=", ROUND_GAS)
        for cost in costs
        if cost.members == 10
    ]
    if len(costs) > 1:
        targets.append(Target("a further member", slope(costs), "gas", "<=", SLOPE_GAS))
    return Result(
        tuple(rows),
        tuple(targets),
        (
            "A round is three transactions whatever the size; a quorum of two thirds signs the last one.",
            "One slot a hospital: a bare SSTORE in each member's own transaction, nothing checked.",
        ),
    )


def slope(costs: Sequence[Cost]) -> float:
    """Gas that one more member adds to a round, by least squares.

    Args:
        costs: Of two sizes at least.

    Raises:
        NotMeasured: All sizes are the same.
    """
    xs, ys = [cost.members for cost in costs], [cost.round for cost in costs]
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((one - x) ** 2 for one in xs)
    if not spread:
        raise NotMeasured("a slope needs two sizes")
    return sum((one - x) * (two - y) for one, two in zip(xs, ys, strict=True)) / spread


def measure(sizes: Sequence[int], repeats: int) -> Result:
    """Measure every size, each on a chain of its own.

    Raises:
        NotMeasured: A chain did not run or refused a step.
    """
    try:
        return result_of([measure_consortium(size, repeats) for size in sizes])
    except ChainError as error:
        raise NotMeasured(f"the local chain: {error}") from error


def _step(chain: Chain, step: str, epoch: int) -> int:
    said = f"{step} {chain.account}" if step == "announce" else step  # keys are each member's own, the joint key is not
    return int(getattr(chain.epochs, step)(epoch, _digest(said)).gas_used)


def _gas_between(url: str, first: int) -> int:
    """Gas of all blocks from `first` on."""
    connection = Connection(url)
    last = int(connection.block()["number"])
    return sum(int(connection.w3.eth.get_block(number)["gasUsed"]) for number in range(first, last + 1))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write."""
    parser = harness.parser(__doc__ or "")
    parser.add_argument("--members", type=int, nargs="+", default=MEMBERS, metavar="N", help=f"default {MEMBERS}")
    options = parser.parse_args(arguments)
    if bad := [size for size in options.members if not 1 <= size <= 256]:
        parser.error(f"{bad[0]} members: a consortium has 1 to 256")
    return harness.run(partial(measure, options.members, options.repeats), options.json)


if __name__ == "__main__":
    sys.exit(main())
