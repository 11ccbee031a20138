"""Deploys a consortium's contracts, and the record that tells nodes where they are."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from web3.types import Nonce
from web3.utils.address import get_create_address

from chain import jsontext
from chain.artifact import load
from chain.connection import Connection
from chain.errors import BadArgument, BadDeployment
from chain.records import MAX_MEMBERS, Hospital, Receipt, checked_address, checked_digest, checked_integer
from chain.sender import Sender, wei

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eth_account.signers.local import LocalAccount

    from chain.intents import IntentBook

MAX_FILE_BYTES = 65_536
_ADDRESSES = ("registry", "epochs", "rounds", "models")


@dataclass(frozen=True)
class Deployment:
    """Where one consortium's contracts are.

    Attributes:
        chain_id: The chain (EIP-155).
        consortium: The consortium's identifier, 32 bytes.
        registry: HospitalRegistry's address; addresses are checksummed hex.
        epochs: KeyEpochs' address.
        rounds: TrainingRounds' address.
        models: ModelLedger's address.
        block: The block of the first contract; no event of the consortium is older.
    """

    chain_id: int
    consortium: bytes
    registry: str
    epochs: str
    rounds: str
    models: str
    block: int

    def __post_init__(self) -> None:
        checked_integer("chain_id", self.chain_id, 1, 2**63 - 1)
        checked_digest("consortium", self.consortium)
        checked_integer("block", self.block, 0, 2**63 - 1)
        for field in _ADDRESSES:
            object.__setattr__(self, field, checked_address(field, getattr(self, field)))

    @property
    def addresses(self) -> dict[str, str]:
        """The contracts' addresses by name."""
        return {
            "HospitalRegistry": self.registry,
            "KeyEpochs": self.epochs,
            "TrainingRounds": self.rounds,
            "ModelLedger": self.models,
        }

    def to_json(self) -> str:
        """The record as JSON text, the consortium in hex."""
        return json.dumps({**asdict(self), "consortium": f"0x{self.consortium.hex()}"}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Deployment:
        """Reads what ``to_json`` wrote; strict, as the file may come from anywhere.

        Args:
            text: At most 64 KiB.

        Raises:
            BadDeployment: Naming the first bad field.
        """
        record = _parse(text)
        names = set(cls.__dataclass_fields__)
        if set(record) != names:
            raise BadDeployment("file", f"exactly the fields {sorted(names)}", sorted(record))
        consortium = record["consortium"]
        if not isinstance(consortium, str) or re.fullmatch(r"0x[0-9a-fA-F]{64}", consortium) is None:
            raise BadDeployment("consortium", "0x and 64 hex digits", consortium)
        try:
            return cls(**{**record, "consortium": bytes.fromhex(consortium[2:])})
        except BadArgument as error:
            raise BadDeployment(error.field, "a value as `to_json` writes it", record.get(error.field)) from error


def planned_addresses(deployer: str, nonce: int = 0) -> dict[str, str]:
    """Where ``deploy`` puts the contracts: the addresses follow from account and nonce alone, on every chain (EIP-161).

    Args:
        deployer: The account that deploys.
        nonce: Its next nonce; 0 for a fresh account.

    Returns:
        Checksummed addresses by field of ``Deployment``.

    Raises:
        BadArgument: If an argument is out of its range.
    """
    account = to_checksum_address(checked_address("deployer", deployer))
    checked_integer("nonce", nonce, 0, 2**64 - 2)
    order = ("registry", "epochs", "models", "rounds")
    return {field: str(get_create_address(account, Nonce(nonce + step))) for step, field in enumerate(order)}


def deploy(
    rpc_url: str,
    deployer: LocalAccount,
    consortium: bytes,
    hospitals: Sequence[Hospital],
    *,
    smallest_cohort: int = 0,
    book: IntentBook | None = None,
    told: Callable[[str, Receipt, str], None] = lambda _contract, _receipt, _address: None,
) -> Deployment:
    """Deploys the four contracts with their founding members.

    The deployer has no right in them afterwards. It must not send anything else meanwhile: ModelLedger is told the
    address TrainingRounds will have, and so is KeyEpochs; it depends on the deployer's nonce, and TrainingRounds checks it.

    Args:
        rpc_url: The chain's endpoint.
        deployer: Pays.
        consortium: The consortium's identifier, 32 bytes.
        hospitals: The founding members, 1 to 256; their order gives the indices.
        smallest_cohort: The fewest members that may hold a key epoch and train its rounds in place of all, for good
            (`chain.cohort`); 0 for a consortium in which all members always do.
        book: Where each contract is written down before it is sent. With the same book, consortium and hospitals a
            deployment that was cut off goes on where it was, and one that was done gives its addresses again.
        told: Called with name, receipt and address of each contract when it is there.

    Raises:
        BadArgument: If an argument is out of its range.
        ContractReverted: If a contract refuses it, such as DuplicateMember, or NotLedgerWriter where the deployer sent
            something else meanwhile.
        ChainUnreachable: If the endpoint does not answer.
    """
    checked_digest("consortium", consortium)
    checked_integer("smallest_cohort", smallest_cohort, 0, MAX_MEMBERS)
    if not 1 <= len(hospitals) <= MAX_MEMBERS:
        raise BadArgument("hospitals", f"1 to {MAX_MEMBERS} of them", len(hospitals))
    connection = Connection(rpc_url)
    chain_id = connection.chain_id()
    sender = Sender(connection, deployer, chain_id, book=book)
    members = [(h.account, h.box_key, h.data_size, h.name, h.url) for h in hospitals]
    code = _code(connection, "HospitalRegistry", consortium, members)
    label = None if book is None else f"deploy/{keccak(code).hex()}"

    def create(name: str, code: bytes) -> tuple[Receipt, str]:
        receipt, address = sender.create(f"{name} deployment", code, label and f"{label}/{name}")
        told(name, receipt, address)
        return receipt, address

    first, registry = create("HospitalRegistry", code)

    def later(steps: int) -> str:
        """Where the contract will be that is created so many steps after the next."""
        return planned_addresses(deployer.address, sender.nonce() + steps)["registry"]

    # Each is told where TrainingRounds will be; one that an earlier try has created keeps what it was told then.
    _, epochs = create("KeyEpochs", _code(connection, "KeyEpochs", registry, later(2), smallest_cohort))
    _, models = create("ModelLedger", _code(connection, "ModelLedger", later(1)))
    _, rounds = create("TrainingRounds", _code(connection, "TrainingRounds", registry, epochs, models))
    return Deployment(chain_id, consortium, registry, epochs, rounds, models, first.block)


def fund(
    rpc_url: str,
    payer: LocalAccount,
    addresses: Sequence[str],
    ether: object,
    *,
    book: IntentBook | None = None,
    purpose: str = "fund",
) -> tuple[Receipt, ...]:
    """Gives each address the same amount, so that it can pay for its transactions.

    Args:
        rpc_url: The chain's endpoint.
        payer: Pays.
        addresses: The receivers.
        ether: The amount each gets, in ether; an integer, a Decimal or decimal text.
        book: Where each payment is written down before it is sent: with the same book and purpose, whatever came between,
            no address is paid twice.
        purpose: What the payments are for; another purpose pays again.

    Raises:
        RpcRefused: If the payer's funds do not suffice.
    """
    connection = Connection(rpc_url)
    sender = Sender(connection, payer, connection.chain_id(), book=book)
    amount = wei(ether)
    receivers = [checked_address("addresses", address) for address in addresses]
    keys = [None if book is None else f"{purpose}/{amount}/{receiver}" for receiver in receivers]
    return tuple(
        sender.send("fund", receiver, value=amount, key=key) for receiver, key in zip(receivers, keys, strict=True)
    )


def _code(connection: Connection, name: str, *arguments: Any) -> bytes:
    """A contract's bytecode with its constructor's arguments."""
    artifact = load(name)
    constructor = connection.w3.eth.contract(abi=artifact.abi, bytecode=artifact.bytecode).constructor(*arguments)
    return bytes.fromhex(str(constructor.data_in_transaction)[2:])


def _parse(text: str | bytes) -> dict[str, Any]:
    if len(text) > MAX_FILE_BYTES:
        raise BadDeployment("file", f"at most {MAX_FILE_BYTES} bytes", f"{len(text)} bytes")
    try:
        record = jsontext.parse(text)
    except ValueError as error:
        raise BadDeployment("file", "JSON", str(error)) from error
    if not isinstance(record, dict):
        raise BadDeployment("file", "a JSON object", type(record).__name__)
    return record
