"""A hospital's next keys: made on the spot before the members are asked, put in the place of the old ones once they agreed.

Every step can be done again: the account is exchanged last, and its address tells whether the chain asks for it.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from eth_utils.address import to_checksum_address

from chain.keystore import create, unlock
from crypto.secrets import BoxKey, protect, unprotect
from node.errors import BadConfig
from node.home import rename_private, write_private

if TYPE_CHECKING:
    from node.consortium.view import ConsortiumView
    from node.home import Home, Identity

log = logging.getLogger("medweave.membership")


def prepare(home: Home, password: str) -> tuple[str, bytes]:
    """The keys that are to follow, made and stored sealed unless they are there already.

    Args:
        home: The hospital's directory.
        password: The keystore password.

    Returns:
        The next account, checksummed hex, and the next X25519 public key.
    """
    if not home.next_box_file.exists():
        write_private(home.next_box_file, protect(BoxKey.generate().secret_bytes(), password))
    if not home.next_account_file.exists():
        write_private(home.next_account_file, create(password)[1].encode())
    box = BoxKey.from_secret_bytes(unprotect(home.next_box_file.read_bytes(), password))
    return str(unlock(home.next_account_file.read_text(), password).address), box.public


def next_account(home: Home) -> str | None:
    """The account that is to follow, checksummed hex; None where none was prepared.

    Raises:
        BadConfig: The file is damaged.
    """
    try:
        stated = json.loads(home.next_account_file.read_text(encoding="utf-8"))["address"]
        return to_checksum_address(f"0x{str(stated).removeprefix('0x')}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(f"{home.next_account_file}: {error}; propose the rotation again after removing it") from None


def is_due(home: Home, view: ConsortiumView) -> bool:
    """Whether the chain says that this hospital answers to its next account."""
    account = next_account(home)
    return account is not None and any(hospital.account == account for _, hospital in view.present)


def succeed(home: Home, identity: Identity) -> None:
    """Put the next keys in the place of the present ones; the old account is kept under its address.

    Args:
        home: The hospital's directory.
        identity: The present keys.
    """
    if not home.root_file.exists():
        write_private(home.root_file, protect(identity.private_key, identity.password))
    old = home.secrets / f"account.{str(identity.account.address).lower()}.json"
    write_private(old, home.account_file.read_bytes())
    if home.next_box_file.exists():
        rename_private(home.next_box_file, home.box_file)
    rename_private(home.next_account_file, home.account_file)
    log.info("this hospital's keys were exchanged; the account before is kept in %s", old)
