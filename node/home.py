"""A hospital's directory: where its configuration, secrets, data, ledger and blobs lie.

HOME/
  node.toml               configuration
  consortium.json         addresses of the contracts
  plan.toml               plan this hospital opens rounds with
  secrets/account.json    chain account, Ethereum keystore v3
  secrets/box.sealed      registered X25519 key, sealed under the keystore password
  secrets/account.next.json, box.next.sealed   the keys that follow, from their proposal until the members have agreed
  secrets/account.0xADDRESS.json  accounts this hospital had before
  secrets/root.sealed     what this hospital derives secrets of its own from, once its first account is gone
  secrets/epoch-E.member.sealed   this member's share of epoch E's key, sealed likewise; member-G after the G-th refresh
  secrets/epoch-E.dealer.sealed   seed of this member's dealing, until the epoch is active
  secrets/epoch-E.box.sealed      X25519 key of this ceremony alone, as long
  secrets/epoch-E.refresh-K.*     dealer, box and next share of the K-th refresh, while it runs
  epochs/epoch-E.joint    the joint public key of epoch E
  data/*.npz              images; they never leave this directory
  blobs/                  content-addressed ciphertexts, manifests, statements
  ledger.sqlite           the DAG
  log.checkpoint          head of the log of rounds that this hospital cosigned last
  journal.sqlite          what this hospital must remember across a crash
  motions.sqlite          what is put to the members' vote, and the signatures under it
  request.json            this hospital's own request to be admitted, as it was handed in
  requests.sqlite         hospitals that ask to be admitted
  evidence.sqlite         refused proposals that may convict their leaders
  orders.sqlite           what the operator asks of the daemon: rounds to open, to leave, a pause
  notices.json            the members' newest notices of new data
  intents.sqlite          what it sends to the chain, written down before it is sent
  events.sqlite           what it has read of the chain
  training.sealed         last checkpoint of the training under way, sealed under a key of the account's
  tokens.sqlite           people's tokens, as digests
  access/                 the access log, and nonces of signed requests
  node.log                the daemon's log
  debug/                  quantised updates in the clear, only where [debug] keep_quantised asks for it
"""

from __future__ import annotations

import hmac
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eth_utils.address import to_checksum_address

from chain import jsontext
from chain.deployment import Deployment
from chain.errors import BadKeystore, ChainError
from chain.keystore import create, unlock
from crypto.errors import CryptoError
from crypto.secrets import BoxKey, protect, unprotect
from node.config import NodeConfig
from node.errors import BadConfig, WrongPassword

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


@dataclass(frozen=True)
class Home:
    """The paths of one hospital's directory."""

    root: Path

    @property
    def config_file(self) -> Path:
        """`node.toml`."""
        return self.root / "node.toml"

    @property
    def secrets(self) -> Path:
        """The directory of everything sealed under the keystore password."""
        return self.root / "secrets"

    @property
    def account_file(self) -> Path:
        """The chain account, a keystore v3."""
        return self.secrets / "account.json"

    @property
    def box_file(self) -> Path:
        """The X25519 key, sealed."""
        return self.secrets / "box.sealed"

    @property
    def next_account_file(self) -> Path:
        """The chain account that is to follow, a keystore v3."""
        return self.secrets / "account.next.json"

    @property
    def next_box_file(self) -> Path:
        """The X25519 key that is to follow, sealed."""
        return self.secrets / "box.next.sealed"

    @property
    def root_file(self) -> Path:
        """The secret that own secrets are derived from, sealed; missing while that is the first account's key."""
        return self.secrets / "root.sealed"

    @property
    def motions(self) -> Path:
        """What is put to the members' vote, with the signatures so far."""
        return self.root / "motions.sqlite"

    @property
    def request(self) -> Path:
        """This hospital's own request to be admitted, as it was handed in."""
        return self.root / "request.json"

    @property
    def requests(self) -> Path:
        """Hospitals that ask to be admitted."""
        return self.root / "requests.sqlite"

    @property
    def evidence(self) -> Path:
        """Refused proposals that may convict their leaders."""
        return self.root / "evidence.sqlite"

    @property
    def orders(self) -> Path:
        """What the operator asks of the daemon: rounds to open, to leave, a pause."""
        return self.root / "orders.sqlite"

    @property
    def notices(self) -> Path:
        """The members' newest notices of new data, signed."""
        return self.root / "notices.json"

    def epoch_file(self, epoch: int, name: str) -> Path:
        """A sealed secret of one key epoch, such as `member` or `refresh-2.dealer`."""
        return self.secrets / f"epoch-{epoch}.{name}.sealed"

    def joint_file(self, epoch: int) -> Path:
        """The public joint key of one key epoch."""
        return self.root / "epochs" / f"epoch-{epoch}.joint"

    @property
    def blobs(self) -> Path:
        """The content-addressed store."""
        return self.root / "blobs"

    @property
    def ledger(self) -> Path:
        """The DAG's database."""
        return self.root / "ledger.sqlite"

    @property
    def checkpoint(self) -> Path:
        """The head of the log of rounds that this hospital cosigned last (`dag.proofs.checkpoint`)."""
        return self.root / "log.checkpoint"

    @property
    def journal(self) -> Path:
        """What must survive a crash."""
        return self.root / "journal.sqlite"

    @property
    def training(self) -> Path:
        """The last checkpoint of the training under way, sealed."""
        return self.root / "training.sealed"

    @property
    def intents(self) -> Path:
        """What is sent to the chain, written down before it is sent (`chain.intents`)."""
        return self.root / "intents.sqlite"

    @property
    def events(self) -> Path:
        """What was read of the chain (`chain.eventlog`)."""
        return self.root / "events.sqlite"

    @property
    def tokens(self) -> Path:
        """People's tokens (`node.api.access.tokens`)."""
        return self.root / "tokens.sqlite"

    @property
    def access(self) -> Path:
        """The access log (`node.api.access.book`)."""
        return self.root / "access"

    @property
    def log(self) -> Path:
        """The daemon's log."""
        return self.root / "node.log"

    def config(self) -> NodeConfig:
        """The validated configuration.

        Raises:
            BadConfig: Missing or wrong.
        """
        return NodeConfig.read(self.config_file)

    def file(self, name: str) -> Path:
        """A path from the configuration, relative to this directory unless absolute."""
        return self.root / Path(name)


@dataclass(frozen=True, repr=False)
class Identity:
    """This hospital's unlocked keys."""

    account: LocalAccount
    """Signs chain and ledger transactions."""
    box: BoxKey
    """X25519; the registered key. Key shares are sealed to keys made for each ceremony instead."""
    password: str
    """Opens and seals the rest of `secrets/`."""
    root: bytes | None = None
    """What own secrets are derived from; None: the account's key."""

    @property
    def private_key(self) -> bytes:
        """The account's secp256k1 key, 32 bytes."""
        return bytes(self.account.key)

    @property
    def address(self) -> bytes:
        """The account's address, 20 bytes."""
        return bytes.fromhex(str(self.account.address).removeprefix("0x"))

    def derive(self, label: bytes) -> bytes:
        """A 32-byte secret bound to a label, the same after every restart and every account (HMAC-SHA256, RFC 2104)."""
        return hmac.digest(self.root or self.private_key, b"medweave/derive/" + label, "sha256")


def create_identity(home: Home, password: str) -> Identity:
    """Make this hospital's keys on the spot and store them sealed under the password.

    Raises:
        BadConfig: There are keys already; they are never overwritten.
    """
    refuse_keys(home)
    account, keystore = create(password)
    box = BoxKey.generate()
    write_private(home.box_file, protect(box.secret_bytes(), password))
    write_private(home.account_file, keystore.encode())
    return Identity(account, box, password)


def refuse_keys(home: Home) -> None:
    """Refuse a directory that holds keys.

    Raises:
        BadConfig: There are keys already; they are never overwritten.
    """
    if home.account_file.exists():
        raise BadConfig(f"{home.account_file}: this hospital has keys already; choose another --home")


def stated_account(home: Home) -> str:
    """The account that the keystore says it holds, checksummed hex; needs no password, so it is the file's word.

    Raises:
        BadConfig: There is no keystore, or it names no account.
    """
    try:
        stated = jsontext.parse(home.account_file.read_bytes())["address"]
        return str(to_checksum_address(f"0x{str(stated).removeprefix('0x')}"))
    except (OSError, ValueError, KeyError, TypeError):
        raise BadConfig(
            f"{home.account_file}: names no account; `medweave init --home {home.root}` makes a hospital's keys"
        ) from None


def unlock_identity(home: Home, password: str) -> Identity:
    """Open this hospital's keys.

    Raises:
        BadConfig: There are none.
        WrongPassword: The password does not open them.
    """
    try:
        account = unlock(home.account_file.read_text(), password)
        box = BoxKey.from_secret_bytes(unprotect(home.box_file.read_bytes(), password))
        root = unprotect(home.root_file.read_bytes(), password) if home.root_file.exists() else None
    except FileNotFoundError as error:
        raise BadConfig(
            f"{error.filename}: missing; `medweave init --home {home.root}` makes a hospital's keys"
        ) from None
    except (BadKeystore, CryptoError, UnicodeDecodeError) as error:
        raise WrongPassword(f"{home.secrets}: {error}") from None
    return Identity(account, box, password, root)


def read_deployment(home: Home) -> Deployment:
    """The contracts' addresses.

    Raises:
        BadConfig: The file is missing or wrong.
    """
    path = home.file(home.config().chain.deployment)
    try:
        return Deployment.from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfig(
            f"{path}: {error.strerror}; `medweave join --home {home.root} --to URL` writes it, or `medweave found` where there "
            "is no consortium yet"
        ) from None
    except (ChainError, UnicodeDecodeError) as error:
        raise BadConfig(f"{path}: {error}") from None


def erase_private(path: Path) -> None:
    """Overwrite a file with random bytes, durably, and remove it; a file that is not there is fine.

    A file system or disk that writes elsewhere (copy on write, snapshots, flash) keeps the old bytes all the same: what
    lay there is sealed under the keystore password besides.
    """
    try:
        with path.open("r+b") as f:
            f.write(os.urandom(path.stat().st_size))
            f.flush()
            os.fsync(f.fileno())
        path.unlink()
    except FileNotFoundError:
        return
    _sync_directory(path.parent)


def write_private(path: Path, data: bytes) -> None:
    """Write a file only its owner can read, durably (temporary file, fsync, rename)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def rename_private(source: Path, target: Path) -> None:
    """Rename a file within its directory, durably and at once."""
    source.replace(target)
    _sync_directory(target.parent)


def _sync_directory(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
