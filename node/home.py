"""A hospital's directory: where its configuration, secrets, data, ledger and blobs lie.

    HOME/
      node.toml               configuration
      consortium.json         addresses of the contracts
      plan.toml               plan this hospital opens rounds with
      secrets/account.json    chain account, Ethereum keystore v3
      secrets/box.sealed      X25519 key, sealed under the keystore password
      secrets/epoch-E.sealed  this member's share of epoch E's key, sealed likewise
      data/*.npz              images; they never leave this directory
      blobs/                  content-addressed ciphertexts, manifests, statements
      ledger.sqlite           the DAG
      journal.sqlite          what this hospital must remember across a crash
      node.log                the daemon's log
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from chain.errors import BadKeystore
from chain.keystore import create, unlock
from crypto.errors import CryptoError
from crypto.secrets import BoxKey, protect, unprotect
from node.config import NodeConfig
from node.errors import BadConfig, WrongPassword

BOX_LABEL = b"medweave/box"


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
    def blobs(self) -> Path:
        """The content-addressed store."""
        return self.root / "blobs"

    @property
    def ledger(self) -> Path:
        """The DAG's database."""
        return self.root / "ledger.sqlite"

    @property
    def journal(self) -> Path:
        """What must survive a crash."""
        return self.root / "journal.sqlite"

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


@dataclass(frozen=True)
class Identity:
    """This hospital's unlocked keys. Never printed: the fields refuse it."""

    account: object
    """eth-account LocalAccount; signs chain and ledger transactions."""
    box: BoxKey
    """X25519; opens what the key ceremony seals to this hospital."""


def write_private(path: Path, data: bytes) -> None:
    """Write a file only its owner can read, durably (temporary file, fsync, rename)."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(path.name + ".new")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
        f.write(data)
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
