"""What an audit found: one finding a link and subject, and the verdict that follows from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Status = Literal["ok", "falsified", "unchecked"]
Verdict = Literal["verified", "falsified", "could-not-check"]

LINKS: Final[dict[str, str]] = {
    "chain": "these are the consortium's contracts, and the history is one they could have written",
    "lineage": "the model is recorded, and every model back to the first follows from the one before",
    "statement": "the round's statement is the one the chain names and says what the chain says",
    "envelope": "a quorum of the round's members signed the statement itself (DSSE)",
    "plan": "the round's plan is the one the chain names and agrees with the key epoch",
    "leader": "the seed follows from all rounds before, and the leader it ranks proposed these very roots",
    "key": "the joint key is the one the members confirmed on chain",
    "segment": "the round's ledger transactions are signed by members and make up the ledger root",
    "updates": "every included update is signed, weighed by eq. 19, proven included and confirmed; none was left out",
    "cards": "the data cards that were shown are those on chain, and say as many images as their hospitals' updates",
    "groups": "the groups follow from seed and reveals and hide each update among enough others",
    "sums": "every group's encrypted sum, added again from the listed updates, is the one on chain, byte for byte",
    "openings": "exactly the members asked released one opening of these sums and of no others",
    "verdicts": "a quorum scored the sums, and its votes decide what entered the model",
    "outcome": "a quorum of members signed this outcome (EIP-712)",
    "model": "the model file is the model the chain records",
}
"""The links of the chain of evidence in the order they are checked, with what each proves."""

MARKS: Final[dict[Status, str]] = {"ok": "ok", "falsified": "FALSIFIED", "unchecked": "not checked"}
"""What a link's state is called in the text."""

EXIT_CODES: Final[dict[Verdict, int]] = {"verified": 0, "falsified": 1, "could-not-check": 2}

BEYOND: Final = (
    (
        "that opening the accepted sums and adding them to the base gives the model: the partial openings are sealed to the "
        "members, so only a holder of the epoch's content key can derive the model again (each signer of the outcome did)"
    ),
    (
        "that the sealed model blob holds the hashed model: it is encrypted to the members; a model file given to the audit "
        "is checked against the hash instead"
    ),
    "that the members trained on the images they declare, or scored honestly: sample counts and scores are their own words",
)
"""What nobody outside can verify without the members' content key."""


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    link: str
    """Which link of the chain of evidence, a key of `LINKS`."""
    round: int | None
    """The round it belongs to; None for what concerns all of them."""
    status: Status
    """`ok`; `falsified`: it is not what it claims to be; `unchecked`: something needed for the check is missing."""
    subject: str
    """What it is about: a CID, transaction id, path, or name."""
    detail: str
    """What was found, and what was expected."""

    def line(self) -> str:
        """The finding as one line for people."""
        where = self.link if self.round is None else f"{self.link}, round {self.round}"
        return f"{where}: {self.subject}: {self.detail}" if self.subject else f"{where}: {self.detail}"


@dataclass(frozen=True)
class Report:
    """The result of an audit."""

    model: bytes | None
    """Hash of the audited model; None where the chain has none."""
    rounds: tuple[int, ...]
    """The finalised rounds examined, ascending."""
    findings: tuple[Finding, ...]
    """In the order they were checked."""
    notes: tuple[str, ...] = ()
    """What a reader should know although nothing is wrong, such as a plan that opens single updates."""
    beyond: tuple[str, ...] = BEYOND
    """What this audit cannot verify, whatever it found."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds spent on each link, over all rounds."""

    @property
    def verdict(self) -> Verdict:
        """`falsified` if anything is; else `could-not-check` if anything could not be; else `verified`."""
        found = {finding.status for finding in self.findings}
        if "falsified" in found:
            return "falsified"
        return "verified" if found == {"ok"} else "could-not-check"

    @property
    def exit_code(self) -> int:
        """What a command ends with: 0 verified, 1 falsified, 2 could not check."""
        return EXIT_CODES[self.verdict]

    @property
    def first_broken(self) -> Finding | None:
        """The first falsified finding; without one, the first that could not be checked; else None."""
        for status in ("falsified", "unchecked"):
            for finding in self.findings:
                if finding.status == status:
                    return finding
        return None

    def to_json(self, *, timings: bool = False) -> dict[str, Any]:
        """The report as JSON values; with the seconds that each link took, if they are wanted."""
        broken = self.first_broken
        content = {
            "verdict": self.verdict,
            "model": None if self.model is None else self.model.hex(),
            "rounds": list(self.rounds),
            "first_broken": None if broken is None else asdict(broken),
            "findings": [asdict(finding) for finding in self.findings],
            "notes": list(self.notes),
            "not_verifiable_from_outside": list(self.beyond),
        }
        return content | {"seconds": dict(self.timings)} if timings else content

    def to_text(self, *, timings: bool = False) -> str:
        """The report for people: one line a link that holds, every finding that does not, the verdict last.

        Args:
            timings: Whether a table says how long each link took.
        """
        return "\n".join(self._lines(timings=timings))

    def state(self, link: str) -> Status | None:
        """The worst that was found about a link, over all rounds; None where it was not looked at."""
        found = {finding.status for finding in self.findings if finding.link == link}
        states: tuple[Status, ...] = ("falsified", "unchecked", "ok")
        return next((status for status in states if status in found), None)

    def _lines(self, *, timings: bool) -> Iterator[str]:
        yield f"model {self.model.hex() if self.model else '(none)'}, rounds {listed(self.rounds)}"
        for link, claim in LINKS.items():
            state = self.state(link)
            if state is None:
                continue
            yield f"  {link:<10} {MARKS[state]:<12} {claim}"
            wrong = [finding for finding in self.findings if finding.link == link and finding.status != "ok"]
            yield from (f"      {finding.status}: {finding.line()}" for finding in wrong)
        if timings:
            yield from self._times()
        yield from (f"note: {note}" for note in self.notes)
        yield from (f"cannot be verified from outside: {limit}" for limit in self.beyond)
        broken = self.first_broken
        yield f"audit: {self.verdict}" + ("" if broken is None else f" ({broken.line()})")

    def _times(self) -> Iterator[str]:
        total = sum(self.timings.values())
        yield f"time: {total:.2f} s"
        for link, seconds in sorted(self.timings.items(), key=lambda item: -item[1]):
            yield f"  {link:<10} {seconds:>8.2f} s  {100 * seconds / (total or 1):>5.1f} %"


def listed(rounds: tuple[int, ...]) -> str:
    """Round numbers for people."""
    if not rounds:
        return "none"
    if rounds == tuple(range(rounds[0], rounds[-1] + 1)) and len(rounds) > 2:
        return f"{rounds[0]} to {rounds[-1]}"
    return ", ".join(map(str, rounds))
