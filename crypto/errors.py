# ruff: noqa: N818  (an error is named after what is wrong)
"""Everything that can go wrong in this package, as one tree.

CryptoError
├── InsecureParameters      a preset that protects nothing was asked for outside tests
├── UnknownParameters       no parameter set has that name or id
├── MalformedBytes          bytes from outside break their format (names the field)
│   ├── WrongParameters     … they belong to another parameter set
│   └── WrongEpoch          … they belong to another key epoch
├── ValueOutOfRange         a number does not fit where it has to go (never wrapped, never clipped silently)
├── CeremonyFault           a dealer broke the key ceremony (names the dealer)
│   ├── WrongCommitment     … the dealing is not the one it had committed to
│   └── BadShare            … the sealed share for this receiver is damaged or dishonest
├── UnfoundedComplaint      a complaint does not show what it claims (names the member that complained)
├── BadProof                a proof of what a sealed box held does not verify
├── IncompleteCeremony      dealings are missing, or come from different ceremonies
├── SelfTestFailed          the new joint key does not open its own test vector
├── WrongOpeners            the set of openers is not T distinct members of the epoch, or does not match
│   └── MixedGenerations    … they opened with shares of different generations (names who with which)
├── TooManyTerms            a sum would hold more updates than the parameter set has headroom for
├── GroupTooSmall           opening these groups would isolate fewer than min_group updates
├── OpeningFailed           the partial openings do not add up to a plaintext
├── BadEnvelope             an envelope was altered, or opened with the wrong key or binding
└── WrongPassword           a protected secret was altered or the password is wrong
"""

from collections.abc import Mapping


class CryptoError(Exception):
    """Root of every error this package raises on purpose."""


class InsecureParameters(CryptoError):
    """A parameter set that exists for tests was requested without saying so."""


class UnknownParameters(CryptoError):
    """A parameter set name or id that this version does not know."""


class MalformedBytes(CryptoError):
    """Bytes from outside that break their format.

    Attributes:
        field: which field of which record was wrong, for instance ``chunk.version``.
    """

    def __init__(self, field: str, problem: str) -> None:
        """Say that ``field`` is wrong because of ``problem`` (found, expected, remedy)."""
        super().__init__(f"{field}: {problem}")
        self.field = field


class WrongParameters(MalformedBytes):
    """Well-formed bytes of another parameter set."""


class WrongEpoch(MalformedBytes):
    """Well-formed bytes of another key epoch."""


class ValueOutOfRange(CryptoError):
    """A number that does not fit into the room reserved for it."""


class CeremonyFault(CryptoError):
    """A dealer broke the key ceremony; the ceremony must be aborted and run again without it.

    Attributes:
        dealer: index of the dealer at fault, 0 … N-1.
    """

    def __init__(self, dealer: int, problem: str) -> None:
        """Name the ``dealer`` and the ``problem``, in words a complaint can quote."""
        super().__init__(f"dealer {dealer}: {problem}")
        self.dealer = dealer


class WrongCommitment(CeremonyFault):
    """The dealing shown is not the one its dealer committed to."""


class BadShare(CeremonyFault):
    """The share sealed to this receiver cannot be opened or contradicts its header."""


class UnfoundedComplaint(CryptoError):
    """A complaint that does not show a fault: the accused is in the clear, the complainer is not.

    Attributes:
        complainer: index of the member that complained.
    """

    def __init__(self, complainer: int, problem: str) -> None:
        """Name the ``complainer`` and what its complaint lacks."""
        super().__init__(f"complaint of member {complainer}: {problem}")
        self.complainer = complainer


class BadProof(CryptoError):
    """A revealed key that is not proved to be the key of the sealed box."""


class IncompleteCeremony(CryptoError):
    """The received shares are not one from every member of one and the same ceremony."""


class SelfTestFailed(CryptoError):
    """The known test vector was not recovered; the epoch must not be activated.

    Attributes:
        openers: the subset of members whose opening failed.
    """

    def __init__(self, openers: tuple[int, ...], problem: str) -> None:
        """Name the subset of ``openers`` and what its opening gave."""
        super().__init__(f"openers {list(openers)}: {problem}; abort the epoch, do not activate it")
        self.openers = openers


class WrongOpeners(CryptoError):
    """The openers are not exactly T distinct members, or differ between the parts of one opening."""


class MixedGenerations(WrongOpeners):
    """Partial openings made from shares before and after a refresh: together they open nothing.

    Attributes:
        generations: generation of the share by member index.
    """

    def __init__(self, generations: Mapping[int, int]) -> None:
        """Say who opened with which generation's share."""
        named = ", ".join(f"member {member} with generation {g}" for member, g in sorted(generations.items()))
        super().__init__(f"the openers' shares do not fit together: {named}; open again once all have switched")
        self.generations = dict(generations)


class TooManyTerms(CryptoError):
    """More updates in one sum than the parameter set has headroom for."""


class GroupTooSmall(CryptoError):
    """The opened groups of a round, taken together, would isolate fewer than ``min_group`` updates."""


class OpeningFailed(CryptoError):
    """The partial openings leave more noise than honest ones can: at least one of them is wrong."""


class BadEnvelope(CryptoError):
    """An envelope failed its authentication."""


class WrongPassword(CryptoError):
    """A protected secret failed its authentication: wrong password or altered bytes."""
