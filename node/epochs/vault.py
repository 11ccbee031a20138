"""The keys of the epochs this member took part in: secrets sealed under the keystore password, public keys as files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.keys import JointKey, MemberKey
from crypto.secrets import protect, unprotect
from node.errors import BadConfig, WrongPassword
from node.home import write_private
from node.sealing.keys import EpochKeys

if TYPE_CHECKING:
    from node.home import Home
    from node.storage import BlobStore


class Vault:
    """Epoch keys on disk, each written before anything that depends on it is visible.

    Args:
        home: This hospital's directory.
        password: The keystore password.
        store: Receives the public keys, so that peers and auditors can fetch them.
        allow_minimal: Accept the insecure `minimal` parameters: tests only.
    """

    def __init__(self, home: Home, password: str, store: BlobStore, *, allow_minimal: bool) -> None:
        self._home = home
        self._password = password
        self._store = store
        self._allow_minimal = allow_minimal
        self._open: dict[int, EpochKeys] = {}

    def keys(self, epoch: int) -> EpochKeys | None:
        """The keys of an epoch; None where this member holds none.

        Raises:
            WrongPassword: The files are sealed under another password, or damaged.
        """
        if epoch not in self._open:
            secret = self._unseal(epoch, "member")
            if secret is None:
                return None
            public = self._home.joint_file(epoch).read_bytes()
            joint = JointKey.from_bytes(public, allow_minimal=self._allow_minimal)
            member = MemberKey.from_secret_bytes(secret, allow_minimal=self._allow_minimal)
            self._open[epoch] = EpochKeys(epoch, member, joint, self._store.put(public))
        return self._open[epoch]

    def keep(self, epoch: int, member: MemberKey, joint: JointKey) -> None:
        """Store the result of a ceremony; the secret last, since its presence means that both are there."""
        member.verify_belongs(joint)
        write_private(self._home.joint_file(epoch), joint.to_bytes())
        self._seal(epoch, "member", member.secret_bytes())

    def dealer_seed(self, epoch: int) -> bytes | None:
        """The seed of this member's own dealing, from before a crash."""
        return self._unseal(epoch, "dealer")

    def keep_dealer_seed(self, epoch: int, seed: bytes) -> None:
        """Store the seed of this member's own dealing; it must be durable before the dealing is committed to."""
        self._seal(epoch, "dealer", seed)

    def forget_dealer_seed(self, epoch: int) -> None:
        """The ceremony is over: nobody needs the seed of the dealing any more, and it would tell s_i."""
        self._home.epoch_file(epoch, "dealer").unlink(missing_ok=True)

    def forget_aborted(self, epoch: int) -> None:
        """The ceremony came to no key: what was kept for it is of no use."""
        self._open.pop(epoch, None)
        self.forget_dealer_seed(epoch)
        self._home.epoch_file(epoch, "member").unlink(missing_ok=True)
        self._home.joint_file(epoch).unlink(missing_ok=True)

    def _seal(self, epoch: int, name: str, secret: bytes) -> None:
        write_private(self._home.epoch_file(epoch, name), protect(secret, self._password))

    def _unseal(self, epoch: int, name: str) -> bytes | None:
        path = self._home.epoch_file(epoch, name)
        try:
            return unprotect(path.read_bytes(), self._password)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadConfig(f"{path}: {error}") from None
        except CryptoError as error:
            raise WrongPassword(f"{path}: {error}") from None
