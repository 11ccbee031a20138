"""The keys of the epochs this member took part in: secrets sealed under the keystore password, public keys as files.

A refresh of the shares is kept apart until the chain says that all members have theirs; then its share takes effect by one
rename, and the older ones are overwritten and removed (Herzberg et al. 1995: what is not erased can still be stolen).
Ceremonies and refreshes are told apart by `refresh`: 0 is the ceremony of the epoch, k its k-th refresh.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crypto.errors import CryptoError
from crypto.keys import JointKey, MemberKey
from crypto.secrets import BoxKey, protect, unprotect
from node.errors import BadConfig, WrongPassword
from node.home import erase_private, rename_private, write_private
from node.sealing.keys import EpochKeys

if TYPE_CHECKING:
    from pathlib import Path

    from node.home import Home
    from node.storage import BlobStore


def share_files(home: Home, epoch: int) -> dict[int, Path]:
    """The files of a hospital's shares of an epoch's key by generation; the newest is in force, older ones are on their way out."""
    found = {}
    for path in home.secrets.glob(f"epoch-{epoch}.member*.sealed"):
        match = re.fullmatch(r"epoch-\d+\.member(?:-(\d{1,5}))?\.sealed", path.name)
        if match:
            found[int(match[1] or 0)] = path
    return found


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
        self._next: dict[tuple[int, int], MemberKey] = {}

    # ---- keys in force -------------------------------------------------------------------------------------------

    def keys(self, epoch: int) -> EpochKeys | None:
        """The keys of an epoch, with the share of the newest generation; None where this member holds none.

        Raises:
            WrongPassword: The files are sealed under another password, or damaged.
        """
        if epoch not in self._open:
            files = self._shares(epoch)
            if not files:
                return None
            public = self._home.joint_file(epoch).read_bytes()
            joint = JointKey.from_bytes(public, allow_minimal=self._allow_minimal)
            member = self._member(files[max(files)])
            self._open[epoch] = EpochKeys(epoch, member, joint, self._store.put(public))
        return self._open[epoch]

    def keep(self, epoch: int, member: MemberKey, joint: JointKey) -> None:
        """Store the result of a ceremony; the secret last, since its presence means that both are there."""
        member.verify_belongs(joint)
        write_private(self._home.joint_file(epoch), joint.to_bytes())
        self._seal(self._home.epoch_file(epoch, "member"), member.secret_bytes())

    # ---- while a ceremony or refresh runs --------------------------------------------------------------------------

    def box(self, epoch: int, refresh: int = 0) -> BoxKey | None:
        """The X25519 key this member made for a ceremony or refresh, from before a crash."""
        secret = self._unseal(self._file(epoch, refresh, "box"))
        return None if secret is None else BoxKey.from_secret_bytes(secret)

    def keep_box(self, epoch: int, box: BoxKey, refresh: int = 0) -> None:
        """Store that key; it must be durable before it is announced."""
        self._seal(self._file(epoch, refresh, "box"), box.secret_bytes())

    def dealer_seed(self, epoch: int, refresh: int = 0) -> bytes | None:
        """The seed of this member's own dealing, from before a crash."""
        return self._unseal(self._file(epoch, refresh, "dealer"))

    def keep_dealer_seed(self, epoch: int, seed: bytes, refresh: int = 0) -> None:
        """Store the seed of this member's own dealing; it must be durable before the dealing is committed to."""
        self._seal(self._file(epoch, refresh, "dealer"), seed)

    def next_share(self, epoch: int, refresh: int) -> MemberKey | None:
        """The share that a running refresh made for this member."""
        if (epoch, refresh) not in self._next:
            path = self._file(epoch, refresh, "member")
            if not path.exists():
                return None
            self._next[epoch, refresh] = self._member(path)
        return self._next[epoch, refresh]

    def keep_next_share(self, epoch: int, refresh: int, member: MemberKey) -> None:
        """Store it beside the one in force; it must be durable before this member reports that it has it."""
        self._seal(self._file(epoch, refresh, "member"), member.secret_bytes())

    # ---- afterwards ------------------------------------------------------------------------------------------------

    def forget_dealing(self, epoch: int, refresh: int = 0) -> None:
        """It is over: nobody needs box key and seed any more, and they would tell the shares."""
        erase_private(self._file(epoch, refresh, "dealer"))
        erase_private(self._file(epoch, refresh, "box"))

    def forget_aborted(self, epoch: int) -> None:
        """The ceremony came to no key: what was kept for it is of no use."""
        self._open.pop(epoch, None)
        self.forget_dealing(epoch)
        erase_private(self._home.epoch_file(epoch, "member"))
        self._home.joint_file(epoch).unlink(missing_ok=True)

    def switch(self, epoch: int, refresh: int, generation: int) -> bool:
        """Put the share of a refresh in force, by one rename; the older one stays on disk until `erase_older`.

        Returns:
            Whether this member holds the share of that generation, or of a later one.
        """
        source = self._file(epoch, refresh, "member")
        if source.exists() and generation not in self._shares(epoch):
            rename_private(source, self._home.epoch_file(epoch, f"member-{generation}"))
        self._next.pop((epoch, refresh), None)
        self._reload(epoch)
        return max(self._shares(epoch), default=-1) >= generation

    def erase_older(self, epoch: int) -> None:
        """Overwrite and remove all shares of an epoch but the newest."""
        shares = self._shares(epoch)
        for generation in sorted(shares)[:-1]:
            erase_private(shares[generation])

    def forget_refresh(self, epoch: int, refresh: int, generation: int) -> None:
        """A refresh came to nothing: what was kept for it goes, the share of the generation in force stays.

        A chain that was killed may have taken back what it had said: then a newer share, put in force meanwhile, goes too
        if the one of this generation is still there.
        """
        self._next.pop((epoch, refresh), None)
        self.forget_dealing(epoch, refresh)
        shares, candidate = self._shares(epoch), self._file(epoch, refresh, "member")
        if generation in shares and max(shares) > generation:
            rename_private(shares[max(shares)], candidate)
            self._reload(epoch)
        erase_private(candidate)

    # ---- files -------------------------------------------------------------------------------------------------------

    def _reload(self, epoch: int) -> None:
        """Whoever holds the epoch's keys sees the share that is in force now."""
        shares, held = self._shares(epoch), self._open.get(epoch)
        if held is not None and shares and held.member.generation != max(shares):
            held.member = self._member(shares[max(shares)])

    def _shares(self, epoch: int) -> dict[int, Path]:
        return share_files(self._home, epoch)

    def _file(self, epoch: int, refresh: int, name: str) -> Path:
        return self._home.epoch_file(epoch, f"refresh-{refresh}.{name}" if refresh else name)

    def _member(self, path: Path) -> MemberKey:
        secret = self._unseal(path)
        if secret is None:
            raise BadConfig(f"{path}: disappeared while it was read")
        return MemberKey.from_secret_bytes(secret, allow_minimal=self._allow_minimal)

    def _seal(self, path: Path, secret: bytes) -> None:
        write_private(path, protect(secret, self._password))

    def _unseal(self, path: Path) -> bytes | None:
        try:
            return unprotect(path.read_bytes(), self._password)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BadConfig(f"{path}: {error}") from None
        except CryptoError as error:
            raise WrongPassword(f"{path}: {error}") from None
