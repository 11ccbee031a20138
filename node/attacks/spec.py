"""What `--attack` takes: `KIND[:AMOUNT]@HOSPITAL[,HOSPITAL…]`, hospitals counted from 1 as the demo names them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from node.errors import BadInput

POISONS: Final = {
    "label-flip": "trains on the labels of the opposite classes",
    "sign-flip": "sends its update with the sign turned",
    "scaled": "sends its update AMOUNT times as large (default 100)",
    "noise": "sends Gaussian noise AMOUNT times as long as its update (default 10)",
    "backdoor": "marks AMOUNT of its images (default 0.5) with a patch and teaches that the patch means class 0",
    "free-rider": "sends a zero update",
    "stale": "sends its first update again in every round",
    "covert": "sign-flip by hospitals whose verdicts state the alignments of the update they did not send",
    "colluding": "sign-flip by hospitals whose verdicts accept every group that holds one of them and refuse all others",
}
"""Attacks through the update or the verdict: the update itself is well formed."""

PROTOCOL: Final = {
    "inflated-size": "declares AMOUNT times as many images as it has (default 100)",
    "inflated-score": "its verdicts give full marks to every sum",
    "parasite-chain": "builds on nobody's transactions but its own",
    "lying-leader": "as leader it proposes one sum of all, in which nobody can be told apart",
    "withheld-share": "never opens a sum it is asked to open",
    "wrong-share": "sends well-formed openings of other values",
    "malformed-ciphertext": "locks random bytes instead of ciphertexts",
}
"""Attacks on the protocol."""

MARK: Final = "attack.txt"
"""A demo writes the attack into this file of a liar's directory; a daemon lies nowhere else."""

KINDS: Final = POISONS | PROTOCOL
"""Every attack by name, with what the attacker does."""

_DEFAULTS: Final = {"scaled": 100.0, "noise": 10.0, "backdoor": 0.5, "inflated-size": 100.0}
_MOST: Final = {"backdoor": 1.0}
MAX_AMOUNT: Final = 1e6
_FORM: Final = re.compile(r"(?P<kind>[a-z-]+)(?::(?P<amount>[0-9.eE+-]+))?@(?P<who>[0-9]+(?:,[0-9]+)*)")


@dataclass(frozen=True)
class Attack:
    """One attack and who carries it out."""

    kind: str
    """A key of `KINDS`."""
    seats: frozenset[int]
    """The attackers' seats, from 0."""
    amount: float
    """How much of it, where the kind has an amount; 0 otherwise. Negative for `scaled` turns the sign too."""

    def __str__(self) -> str:
        """As it is written."""
        amount = f":{self.amount:g}" if self.kind in _DEFAULTS else ""
        return f"{self.kind}{amount}@{','.join(str(seat + 1) for seat in sorted(self.seats))}"


def parse_attack(text: str, hospitals: int) -> Attack:
    """Read an attack.

    Args:
        text: `KIND[:AMOUNT]@HOSPITAL[,HOSPITAL…]`, such as `sign-flip@3` or `scaled:100@1,4`.
        hospitals: How many there are; attackers are numbered 1 to this.

    Raises:
        BadInput: No such attack, hospital or amount.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadInput(f"attack {text!r}: expected KIND[:AMOUNT]@HOSPITAL[,HOSPITAL…], such as sign-flip@3")
    kind = found["kind"]
    if kind not in KINDS:
        raise BadInput(f"attack {text!r}: no kind {kind!r}; choose from {', '.join(KINDS)}")
    numbers = [int(number) for number in found["who"].split(",")]
    if not all(1 <= number <= hospitals for number in numbers) or len(set(numbers)) != len(numbers):
        raise BadInput(f"attack {text!r}: hospitals are different numbers from 1 to {hospitals}")
    return Attack(kind, frozenset(number - 1 for number in numbers), _amount(text, kind, found["amount"]))


def _amount(text: str, kind: str, given: str | None) -> float:
    if given is None:
        return _DEFAULTS.get(kind, 0.0)
    if kind not in _DEFAULTS:
        raise BadInput(f"attack {text!r}: {kind} takes no amount")
    most, least = _MOST.get(kind, MAX_AMOUNT), -MAX_AMOUNT if kind == "scaled" else 0.0
    try:
        amount = float(given)
    except ValueError:
        amount = math.nan
    if not least <= amount <= most:
        raise BadInput(f"attack {text!r}: the amount is a number from {least:g} to {most:g}")
    return amount
