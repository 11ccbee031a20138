"""What a hospital's account must hold to take part: gas measured on a local chain, times the chain's price.

founding    8.5 M gas    the four contracts with one member; 9.6 M with ten
a key       0.5 M gas    what a member sends in one ceremony, the opening included
a round     0.4 M gas    what the leader of a round of ten sends; who leads pays, so this is the dearest case
"""

from __future__ import annotations

from dataclasses import dataclass

FOUNDING_GAS = 10_000_000
CEREMONY_GAS = 500_000
ROUND_GAS = 400_000
SPARE_ROUNDS = 100
"""Rounds that a hospital's funds should last for, with one new key in ten of them."""
_WEI = 10**18


@dataclass(frozen=True)
class Funds:
    """An account's funds beside what it needs.

    Attributes:
        balance: Wei it holds.
        price: Wei a unit of gas.
    """

    balance: int
    price: int

    @property
    def joining(self) -> int:
        """Wei for a first key and a first round."""
        return (CEREMONY_GAS + ROUND_GAS) * self.price

    @property
    def comfortable(self) -> int:
        """Wei for `SPARE_ROUNDS`, each of them led, with a new key every tenth."""
        return (SPARE_ROUNDS * ROUND_GAS + SPARE_ROUNDS // 10 * CEREMONY_GAS) * self.price

    @property
    def rounds(self) -> int | None:
        """Rounds that the balance pays for where this hospital leads every one; None where gas is free."""
        return self.balance // (ROUND_GAS * self.price) if self.price else None


def ether(wei: int) -> str:
    """An amount in ether, as people write it: three significant digits below one ether, exact digits above."""
    if wei >= _WEI or wei == 0:
        whole = f"{wei // _WEI}.{wei % _WEI:018d}"[:-14]
        return whole.rstrip("0").rstrip(".")
    return f"{wei / _WEI:.3g}"
