"""What can go wrong between a node and its chain.

::

    ChainError
    ├── ToolMissing               a program this machine should have
    │   ├── AnvilMissing          the local chain's binary
    │   └── CompilerMissing       Node.js, npm's solc or forge (developers only)
    ├── CompilationFailed         a contract does not compile
    ├── AnvilFailed               the local chain started and died, or never answered
    ├── PortInUse                 another program listens where the local chain should
    ├── ChainUnreachable          no answer from the endpoint after all attempts
    ├── RpcRefused                the endpoint answered with an error that is no revert
    ├── WrongChain                the endpoint serves another chain than the deployment's
    ├── NotDeployed               no contract, or another one, at a deployment's address
    ├── ContractReverted          a contract refused a call; carries the custom error, decoded
    ├── TransactionLost           a transaction was sent and no receipt came in time
    ├── FeeTooHigh                the chain asks for a higher fee than the client may pay
    ├── ChainInFlux               the chain changed while it was read
    ├── ReadOnly                  a write was asked of a client without an account
    ├── BadArgument               a value does not fit the field it was given for
    ├── WrongCohort               a ceremony is among others than the draw says
    ├── BadDeployment             a deployment file is not what it should be
    ├── BadKeystore               a keystore file is malformed, or the password is wrong
    ├── BadChainFile              a file of intents or events is damaged, or another deployment's
    └── MalformedAnswer           the endpoint's answer does not follow the contracts' ABI

Each message says what was wrong, where, what was expected and what to do.
"""

# ruff: noqa: N818  (an error is named after what is wrong)

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class ChainError(Exception):
    """Base of everything this package raises on purpose."""


class ToolMissing(ChainError):
    """A program is not installed; the message says how to get it."""


class AnvilMissing(ToolMissing):
    """The local chain's binary was not found."""

    def __init__(self, looked_in: str) -> None:
        super().__init__(
            f"anvil was not found (looked in {looked_in}): run `make demo` or `npm ci` in the repository, "
            "or set MEDWEAVE_ANVIL to the binary"
        )


class CompilerMissing(ToolMissing):
    """A developer's tool was not found."""

    def __init__(self, tool: str, looked_in: str) -> None:
        self.tool = tool
        super().__init__(f"{tool} was not found (looked in {looked_in}): run `npm ci` in the repository")


class CompilationFailed(ChainError):
    """The Solidity compiler reported errors; the message is the compiler's."""


class AnvilFailed(ChainError):
    """The local chain died or never answered.

    Attributes:
        log_tail: The last lines it wrote, empty if none.
    """

    def __init__(self, what: str, log_tail: str) -> None:
        self.log_tail = log_tail
        super().__init__(f"anvil {what}" + (f"; it said: {log_tail}" if log_tail else ""))


class PortInUse(ChainError):
    """A TCP port on the loopback address is taken.

    Attributes:
        port: The port.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(f"port {port} on 127.0.0.1 is in use: stop the program that listens there or choose another")


class ChainUnreachable(ChainError):
    """The endpoint gave no usable answer after all attempts.

    Attributes:
        url: The endpoint.
    """

    def __init__(self, url: str, attempts: int, last: Exception) -> None:
        self.url = url
        super().__init__(
            f"no answer from the chain at {url} after {attempts} attempts ({type(last).__name__}: {last}): "
            "check that it runs and that the address is right"
        )


class RpcRefused(ChainError):
    """The endpoint answered with an error that is not a contract's.

    Attributes:
        reason: The endpoint's own words.
    """

    def __init__(self, what: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the chain refused {what}: {reason}")


class WrongChain(ChainError):
    """The endpoint serves another chain.

    Attributes:
        expected: The deployment's chain id.
        found: The endpoint's.
    """

    def __init__(self, url: str, expected: int, found: int) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"{url} serves chain {found}, the deployment is on chain {expected}: use its own endpoint")


class NotDeployed(ChainError):
    """A deployment's address does not hold the contract it names.

    Attributes:
        contract: The contract's name.
        address: Where it was expected.
    """

    def __init__(self, contract: str, address: str, found: str) -> None:
        self.contract = contract
        self.address = address
        super().__init__(
            f"{contract} expected at {address}, found {found}: is this the deployment's chain, with its state?"
        )


class ContractReverted(ChainError):
    """A contract refused a call.

    Attributes:
        call: What was called, such as ``TrainingRounds.open``.
        name: The custom error's name, such as ``WrongBase``; ``Error`` or ``Panic`` for Solidity's own; empty if the
            chain gave none.
        values: The error's arguments by name; integers, bytes, text and checksummed addresses.
    """

    def __init__(self, call: str, name: str, values: Mapping[str, object], notice: str = "") -> None:
        self.call = call
        self.name = name
        self.values = dict(values)
        shown = ", ".join(f"{key}={_show(value)}" for key, value in self.values.items())
        super().__init__(f"{call} reverted: {name or 'no reason given'}({shown})" + (f": {notice}" if notice else ""))


class TransactionLost(ChainError):
    """No receipt came for a transaction that was sent; it may still be mined.

    Attributes:
        tx: The transaction's hash.
    """

    def __init__(self, call: str, tx: bytes, seconds: float) -> None:
        self.tx = tx
        super().__init__(
            f"{call}: no receipt for transaction 0x{tx.hex()} after {seconds:.0f} s; it may still be mined: "
            "read the contract's state before sending it again"
        )


class FeeTooHigh(ChainError):
    """The chain's base fee leaves no room below the client's cap.

    Attributes:
        base_fee: What the latest block asks for, in wei a unit of gas.
        cap: What the client may pay, in the same unit.
    """

    def __init__(self, call: str, base_fee: int, cap: int) -> None:
        self.base_fee = base_fee
        self.cap = cap
        super().__init__(
            f"{call}: the chain asks for {base_fee / 1e9:.1f} gwei a unit of gas, at most {cap / 1e9:.1f} are allowed: "
            "wait, or raise the cap"
        )


class ChainInFlux(ChainError):
    """The chain changed while its events were read; what was read is thrown away, and reading again is all it takes.

    Attributes:
        block: The block that was the last one when reading began.
    """

    def __init__(self, block: int) -> None:
        self.block = block
        super().__init__(f"block {block} of the chain was replaced while events were read: read them again")


class ReadOnly(ChainError):
    """A write was asked of a client that has no account to sign with."""

    def __init__(self, call: str) -> None:
        super().__init__(f"{call} needs an account to sign with: open the client with one")


class BadArgument(ChainError):
    """A value does not fit its field.

    Attributes:
        field: The field's name.
    """

    def __init__(self, field: str, expected: str, found: object) -> None:
        self.field = field
        super().__init__(f"{field}: expected {expected}, found {_show(found)}")


class WrongCohort(ChainError):
    """A key ceremony is among some of the members, and not those that the draw gives.

    Attributes:
        epoch: Its key epoch.
        holders: The seats it is among.
        expected: The seats that the draw gives.
    """

    def __init__(self, epoch: int, holders: frozenset[int], expected: frozenset[int]) -> None:
        self.epoch, self.holders, self.expected = epoch, holders, expected
        super().__init__(
            f"epoch {epoch}: its key ceremony is among seats {sorted(holders)}, the rounds' seed draws {sorted(expected)}: the "
            "contract never does that, so ask another endpoint what the chain says"
        )


class BadDeployment(ChainError):
    """A deployment file cannot be used.

    Attributes:
        field: The first bad field, or ``file`` for the whole.
    """

    def __init__(self, field: str, expected: str, found: object) -> None:
        self.field = field
        super().__init__(f"deployment file, {field}: expected {expected}, found {_show(found)}")


class BadKeystore(ChainError):
    """A keystore cannot be opened. Never carries secrets."""


class BadChainFile(ChainError):
    """A file in which this client keeps what it sent or read cannot be used.

    Attributes:
        path: The file.
    """

    def __init__(
        self,
        path: str,
        found: str,
        remedy: str = "move the file away; what the chain holds is read from the chain again",
    ) -> None:
        self.path = path
        super().__init__(f"{path}: expected what this client keeps of its own deployment, found {found}: {remedy}")


class MalformedAnswer(ChainError):
    """The endpoint's answer does not follow the contracts' ABI."""


def _show(value: object) -> str:
    if isinstance(value, bytes):
        return f"0x{value[:40].hex()}{'…' if len(value) > 40 else ''}"
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
