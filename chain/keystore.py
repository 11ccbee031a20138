"""Chain keys at rest: Web3 Secret Storage version 3, as every Ethereum tool reads it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from eth_account import Account

from chain import jsontext
from chain.errors import BadKeystore

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

SCRYPT_N = 2**14
"""scrypt's cost: 16 MiB and about 50 ms. Wallets use 2^18 (1 s) against weak passwords; a node unlocks at every start,
often several nodes on one machine, and its password is generated or comes from the operator's secret store."""

MAX_SCRYPT_WORK = 2**29
"""A keystore from elsewhere may ask for this much work at most, in bytes (128 · n · r · p): wallets ask for 2^28."""

MAX_PBKDF2_ROUNDS = 2**22
MAX_FILE_BYTES = 16_384


def create(password: str) -> tuple[LocalAccount, str]:
    """Draws a new key from the operating system's randomness.

    Args:
        password: Protects it at rest, not empty.

    Returns:
        The unlocked account and the keystore's JSON text, which holds the key encrypted.

    Raises:
        BadKeystore: If the password is empty.
    """
    if not password:
        raise BadKeystore("a keystore needs a password that is not empty")
    account: LocalAccount = Account.create()
    return account, json.dumps(
        Account.encrypt(account.key, password, kdf="scrypt", iterations=SCRYPT_N), indent=2
    ) + "\n"


def unlock(text: str | bytes, password: str) -> LocalAccount:
    """Opens a keystore.

    Args:
        text: Its JSON, at most 16 KiB.
        password: What it was created with.

    Raises:
        BadKeystore: If it is malformed, asks for absurd work, or the password is wrong.
    """
    record = _parse(text)
    _check_work(record)
    try:
        account: LocalAccount = Account.from_key(Account.decrypt(record, password))
    except ValueError as error:
        if "MAC mismatch" in str(error):
            raise BadKeystore("keystore: wrong password, or the file was changed") from None
        raise BadKeystore("keystore: malformed") from None
    except Exception:  # noqa: BLE001  (the library raises many kinds for malformed files, and their messages may quote the content)
        raise BadKeystore("keystore: malformed") from None
    stated = record.get("address")
    if isinstance(stated, str) and stated.lower().removeprefix("0x") != account.address.lower()[2:]:
        raise BadKeystore(f"keystore: states address {stated[:42]}, holds the key of {account.address}")
    return account


def _parse(text: str | bytes) -> dict[str, Any]:
    if len(text) > MAX_FILE_BYTES:
        raise BadKeystore(f"keystore: {len(text)} bytes, at most {MAX_FILE_BYTES} expected")
    try:
        record = jsontext.parse(text)
    except ValueError:
        raise BadKeystore("keystore: not JSON") from None
    if not isinstance(record, dict) or record.get("version") != 3:
        raise BadKeystore("keystore: expected a JSON object with version 3 (Web3 Secret Storage)")
    return record


def _check_work(record: dict[str, Any]) -> None:
    """Refuses a file that would cost gigabytes or hours before its password can be found wrong."""
    crypto = record.get("crypto")
    parameters = crypto.get("kdfparams") if isinstance(crypto, dict) else None
    if not isinstance(crypto, dict) or not isinstance(parameters, dict):
        raise BadKeystore("keystore: field crypto.kdfparams is missing")
    kdf = crypto.get("kdf")
    if parameters.get("dklen") != 32:
        raise BadKeystore("keystore: field crypto.kdfparams.dklen must be 32")
    if kdf == "scrypt":
        work = 128 * _positive(parameters, "n") * _positive(parameters, "r") * _positive(parameters, "p")
        limit = MAX_SCRYPT_WORK
    elif kdf == "pbkdf2":
        work, limit = _positive(parameters, "c"), MAX_PBKDF2_ROUNDS
    else:
        raise BadKeystore("keystore: field crypto.kdf must be scrypt or pbkdf2")
    if work > limit:
        raise BadKeystore("keystore: its key derivation asks for more work than any wallet's; refused")


def _positive(parameters: dict[str, Any], name: str) -> int:
    value = parameters.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise BadKeystore(f"keystore: field crypto.kdfparams.{name} must be a positive integer")
    return value
