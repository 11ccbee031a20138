"""Epoch keys on disk: nothing but sealed bytes, readable by their owner alone, opened by one password."""

from __future__ import annotations

import base64
import os
import stat

import pytest

from crypto.ceremony import Dealer, Terms
from crypto.errors import CryptoError
from node.epochs.vault import Vault
from node.errors import WrongPassword
from tests.epochs.support import Network, digest


@pytest.fixture
def net(tmp_path):
    """A ceremony of which everything is still on disk, the dealers' seeds too."""
    network = Network(tmp_path)
    network.run()
    return network


def secrets_of(net: Network, member) -> dict[str, bytes]:
    """Everything that must never lie on a disk in the clear."""
    keys = member.vault.keys(1)
    view = net.epochs.view
    boxes = tuple(view.epochs[1].announcements[address] for address in view.addresses)
    terms = Terms(keys.joint.params, net.deployment.consortium, 1, net.threshold, boxes)
    seed = member.vault.dealer_seed(1)
    assert (
        Dealer.resume(terms, member.index, seed).commitment == view.epochs[1].commitments[view.addresses[member.index]]
    )
    sigma = keys.member.sigma.tobytes()
    return {
        "dealer seed": seed,
        "content key": keys.member.content.key,
        "smudge": keys.member.smudge,
        "share, little endian": sigma[:16],
        "share, big endian": keys.member.sigma.byteswap().tobytes()[:16],
        "member key": keys.member.secret_bytes()[-64:],
        "box key": member.vault.box(1).private,
        "password": f"password {member.index}".encode(),
    }


def test_no_file_holds_a_secret_in_any_form(net, tmp_path):
    """Every file of every member: raw, as hex, as base64."""
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(files) > 15
    for member in net.members:
        for name, secret in secrets_of(net, member).items():
            for form in (secret, secret.hex().encode(), base64.b64encode(secret)[:20]):
                found = [str(path) for path, data in files.items() if form in data]
                assert found == [], f"{name} of member {member.index} in {found}"


def test_the_search_for_secrets_can_fail(net, tmp_path):
    member = net.members[0]
    (tmp_path / "leak").write_bytes(b"xx" + secrets_of(net, member)["smudge"] + b"yy")
    with pytest.raises(AssertionError, match="smudge of member 0"):
        test_no_file_holds_a_secret_in_any_form(net, tmp_path)


def test_secret_files_are_their_owners_alone(net):
    for member in net.members:
        for path in member.home.secrets.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(member.home.secrets.stat().st_mode) == 0o700
        assert not any(path.suffix == ".new" for path in member.home.root.rglob("*"))


def test_keys_come_back_after_a_restart(net):
    member = net.members[0]
    before = member.vault.keys(1)
    member.start()
    after = member.vault.keys(1)
    assert after.joint == before.joint
    assert after.member.secret_bytes() == before.member.secret_bytes()
    assert member.store.get(after.joint_cid) == before.joint.to_bytes()


def test_another_password_opens_nothing(net):
    member = net.members[0]
    other = Vault(member.home, "another", member.store, allow_minimal=True)
    with pytest.raises(WrongPassword, match=r"epoch-1\.member"):
        other.keys(1)
    with pytest.raises(WrongPassword, match=r"epoch-1\.dealer"):
        other.dealer_seed(1)


@pytest.mark.parametrize("how", ["bit", "cut", "empty", "garbage"])
def test_a_damaged_file_is_named(net, how):
    member = net.members[0]
    path = member.home.epoch_file(1, "member")
    data = path.read_bytes()
    path.write_bytes(
        {"bit": data[:-1] + bytes([data[-1] ^ 1]), "cut": data[:40], "empty": b"", "garbage": os.urandom(200)}[how]
    )
    member.start()
    with pytest.raises(WrongPassword, match=r"epoch-1\.member\.sealed"):
        member.vault.keys(1)


def test_one_members_files_are_no_use_to_another(net):
    """Copied into another hospital's directory they do not open."""
    first, second = net.members
    second.home.epoch_file(1, "member").write_bytes(first.home.epoch_file(1, "member").read_bytes())
    second.start()
    with pytest.raises(WrongPassword):
        second.vault.keys(1)


def test_what_was_never_kept_is_not_there(net):
    assert net.members[0].vault.keys(7) is None
    assert net.members[0].vault.dealer_seed(7) is None


def test_a_key_of_another_ceremony_is_not_kept(net, tmp_path):
    """Share and joint key that do not belong together are refused before anything is written."""
    other = Network(tmp_path / "other")
    other.deployment = type(other.deployment)(31337, digest("other"), *["0x" + "5" * 40] * 4, 0)
    for member in other.members:
        member.start()
    other.run()
    mine, theirs = net.members[0].vault.keys(1), other.members[0].vault.keys(1)
    with pytest.raises(CryptoError):
        net.members[0].vault.keep(2, mine.member, theirs.joint)
    assert net.members[0].vault.keys(2) is None


def test_forgetting_a_seed_removes_its_file(net):
    member = net.members[0]
    assert member.home.epoch_file(1, "dealer").exists()
    for _ in range(2):
        member.vault.forget_dealing(1)
    assert not member.home.epoch_file(1, "dealer").exists()
    assert member.vault.keys(1) is not None
