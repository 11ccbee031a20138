"""`medweave keys` on a real chain: three hospitals whose keepers run in a thread, as their daemons would run them."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from chain.anvil import Anvil, dev_account
from chain.client import Chain
from chain.deployment import Deployment, deploy, fund
from chain.errors import ChainError
from chain.records import Hospital
from crypto import secrets
from crypto.errors import CryptoError
from node.cli.main import main
from node.config import ChainSection, NodeConfig
from node.config import Hospital as HospitalSection
from node.consortium.follower import Follower
from node.epochs import keeper as module
from node.epochs.backup import RESTORED, open_backup
from node.epochs.keeper import Keeper
from node.epochs.vault import Vault
from node.errors import MedweaveError, PolicyRefusal
from node.home import Home, Identity, create_identity, unlock_identity
from node.rounds.journal import Journal
from node.storage import BlobMissing, BlobUnavailable, FileStore
from tests.epochs.support import digest

PASSWORD = "correct horse"
MEMBERS = 3


@dataclass
class Consortium:
    root: Path
    url: str
    deployment: Deployment
    homes: list[Home]
    identities: list[Identity]

    @property
    def first(self) -> Path:
        return self.homes[0].root

    @property
    def reading(self) -> tuple[str, ...]:
        return ("--rpc", self.url, "--contracts", str(self.root / "consortium.json"))


@pytest.fixture(scope="module")
def consortium(tmp_path_factory):
    root = tmp_path_factory.mktemp("keys")
    with pytest.MonkeyPatch.context() as patch, Anvil(None, root / "state.json") as anvil:
        for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
            patch.setattr(secrets, name, value)
        patch.setattr(module, "TURN_SECONDS", 0.0)
        patch.setattr(module, "SETTLE_SECONDS", 0.0)
        patch.setenv("MEDWEAVE_TESTING", "1")
        homes = [Home(root / f"h{k}") for k in range(MEMBERS)]
        identities = [create_identity(home, PASSWORD) for home in homes]
        hospitals = [
            Hospital(identity.account.address, identity.box.public, 10, f"Hospital {k}", "")
            for k, identity in enumerate(identities)
        ]
        deployment = deploy(anvil.url, dev_account(0), digest("keys"), hospitals)
        fund(anvil.url, dev_account(0), [h.account for h in hospitals], 10)
        (root / "password").write_text(PASSWORD)
        for k, place in enumerate([root, *[home.root for home in homes]]):
            (place / "consortium.json").write_text(deployment.to_json())
            if k:
                section = HospitalSection(name=f"Hospital {k - 1}", port=8000 + k, url=f"http://127.0.0.1:{8000 + k}")
                NodeConfig(hospital=section, chain=ChainSection(rpc=anvil.url)).write(Home(place).config_file)
        stop = threading.Event()
        made = Consortium(root, anvil.url, deployment, homes, identities)
        thread = threading.Thread(target=keep, args=(made, stop))
        thread.start()
        try:
            yield made
        finally:
            stop.set()
            thread.join()


def keep(made: Consortium, stop: threading.Event) -> None:
    """What the daemons do: every keeper takes part in whatever ceremony runs, and opens none by itself."""
    stores = [FileStore(home.blobs) for home in made.homes]
    keepers = []
    for k, (home, identity) in enumerate(zip(made.homes, made.identities, strict=True)):
        chain = Chain(made.url, made.deployment, identity.account)
        vault = Vault(home, PASSWORD, stores[k], allow_minimal=True)
        keepers.append((Keeper(k, chain, Blobs(stores, k), vault, allow_minimal=True), Follower(chain)))
    while not stop.wait(0.05):
        for keeper, follower in keepers:
            try:
                follower.look()
                keeper.step(follower.view)
            except (ChainError, CryptoError, MedweaveError):
                continue


class Blobs:
    def __init__(self, stores: list[FileStore], mine: int) -> None:
        self.store, self.stores = stores[mine], stores

    def obtain(self, cid: str) -> bytes:
        for store in self.stores:
            try:
                return store.get(cid)
            except BlobMissing:
                continue
        raise BlobUnavailable(cid, ())


@pytest.fixture
def run(capsys):
    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["keys", *map(str, arguments)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


@pytest.fixture
def secret(consortium):
    """`--home` and password of the first hospital."""
    return ("--home", consortium.first, "--password-file", consortium.root / "password")


@pytest.fixture
def active(consortium, run, secret) -> int:
    """An epoch with a key, made by the command if there is none yet."""
    follower = Follower(Chain(consortium.url, consortium.deployment))
    follower.look()
    if not follower.view.active_epoch:
        assert run("run", *secret, "--parameters", "minimal", "--timeout", 60)[0] == 0
        follower.look()
    return follower.view.active_epoch


def newest(run, consortium, *more) -> dict:
    code, out, err = run("show", *consortium.reading, "--json", *more)
    assert code == 0, err
    return json.loads(out)


def test_before_any_ceremony_there_is_nothing_to_see_or_replace(consortium, run, secret):
    if Chain(consortium.url, consortium.deployment).epochs.latest():
        pytest.skip("another test of this file has made a key already")
    for arguments in (("show", *consortium.reading), ("watch", *consortium.reading), ("rotate", *secret)):
        code, out, err = run(*arguments)
        assert (code, out) == (3, "")
        assert "medweave keys run" in err


def test_run_makes_the_first_key_and_then_refuses(consortium, run, secret, active):
    facts = newest(run, consortium, "--epoch", active)
    assert facts["status"] == "active"
    assert facts["threshold"] == 2
    assert facts["parameters"] == "minimal"
    assert all(m["done"][:4] == ["announced", "committed", "dealt", "reported"] for m in facts["members"])
    code, _, err = run("run", *secret)
    assert code == 3
    assert "medweave keys rotate" in err


def test_watch_says_how_it_ended(consortium, run, active):
    code, out, _ = run("watch", *consortium.reading, "--epoch", active, "--json")
    assert code == 0
    assert json.loads(out)["joint_key"] is not None
    code, out, _ = run("watch", "--home", consortium.first, "--epoch", active)
    assert (code, out.splitlines()[0][:5]) == (0, "epoch")


def test_show_is_for_people_too(consortium, run, active):
    code, out, _ = run("show", "--home", consortium.first, "--epoch", active)
    assert code == 0
    assert "any 2 of 3 open a sum together" in out
    assert "Hospital 2" in out
    held = json.loads(run("show", "--home", consortium.first, "--epoch", active, "--json")[1])
    assert held["held_here"] is True


def test_verify_needs_no_key_and_names_what_is_missing_or_false(consortium, run, active, tmp_path):
    places = [option for home in consortium.homes for option in ("--blobs", home.root)]
    arguments = ("verify", *consortium.reading, "--epoch", active)
    code, out, err = run(*arguments, *places, "--json")
    report = json.loads(out)
    assert (code, report["verdict"], report["offenders"]) == (0, "verified", []), err
    subjects = {finding["subject"] for finding in report["findings"]}
    assert {"dealing of Hospital 1", "joint key", "self-test"} <= subjects
    code, out, _ = run(*arguments, *places)
    assert (code, out.splitlines()[-1]) == (0, f"epoch {active} (active): verified")
    lacking = tmp_path / "few"
    FileStore(lacking / "blobs").put(b"nothing of use")
    code, out, _ = run(*arguments, "--blobs", lacking)
    assert code == 2
    assert "?   dealing of Hospital 0" in out


def test_rotate_makes_the_next_epoch(consortium, run, secret, active):
    code, out, err = run("rotate", *secret, "--timeout", 60)
    assert code == 0, err
    assert "active" in out.splitlines()[-1]
    assert newest(run, consortium)["epoch"] > active
    assert newest(run, consortium, "--epoch", active)["status"] == "superseded"
    assert newest(run, consortium)["threshold"] == 2


def test_refresh_gives_new_shares_of_the_same_key(consortium, run, secret, active):
    before = newest(run, consortium, "--epoch", active)
    code, out, err = run("refresh", *secret, "--timeout", 60)
    assert code == 0, err
    assert out.splitlines()[-1].startswith(f"epoch {active}, refresh 1 to generation 1  active: announced 3/3")
    after = newest(run, consortium, "--home", consortium.first)
    assert (after["epoch"], after["joint_key"]) == (active, before["joint_key"])
    assert (after["generation"], after["generation_here"]) == (before["generation"] + 1, before["generation"] + 1)
    code, out, _ = run("show", *consortium.reading)
    assert "generation  1" in out
    assert "refresh 1 to generation 1  active" in out
    code, out, _ = run("refresh", *secret, "--no-wait", "--json")
    assert code == 0
    assert json.loads(out)["refreshes"][-1]["generation"] == 2
    code, out, _ = run("watch", *consortium.reading, "--timeout", 60)
    assert code == 0
    assert json.loads(run("watch", *consortium.reading, "--json")[1])["generation"] == 2


def test_verify_looks_at_the_refreshes_too(consortium, run, secret, active):
    if newest(run, consortium)["generation"] == 0:
        assert run("refresh", *secret, "--timeout", 60)[0] == 0
    places = [option for home in consortium.homes for option in ("--blobs", home.root)]
    code, out, err = run("verify", *consortium.reading, "--epoch", active, *places)
    assert code == 0, err
    assert f"epoch {active}, refresh 1 (active): verified" in out.splitlines()
    code, out, _ = run("verify", *consortium.reading, "--epoch", active, "--refresh", 1, *places, "--json")
    report = json.loads(out)
    assert (code, report["verdict"]) == (0, "verified")
    assert {finding["refresh"] for finding in report["findings"]} == {1}
    code, _, err = run("verify", *consortium.reading, "--epoch", active, "--refresh", 99, *places)
    assert code == 3
    assert "--refresh 99" in err


def test_a_refresh_waits_for_nothing_and_nothing_for_it(consortium, run, secret, active):
    """One thing runs at a time, and the commands say which."""
    chains = [Chain(consortium.url, consortium.deployment, i.account) for i in consortium.identities]
    chains[0].epochs.open(b"\x03" * 32, 2, int(time.time()) + 600)
    number = chains[0].epochs.latest()
    code, _, err = run("refresh", *secret)
    assert code == 3
    assert "a new key is being made" in err
    for chain in chains[:2]:
        chain.epochs.complain(number, consortium.identities[2].account.address, b"e" * 32)


def test_a_threshold_that_lets_half_of_the_members_open_is_refused(consortium, run, secret, active):
    before = newest(run, consortium)["epoch"]
    for threshold in (1, 4):
        code, _, err = run("rotate", *secret, "--threshold", threshold)
        assert code == PolicyRefusal.exit_code
        assert f"--threshold {threshold}" in err
    assert newest(run, consortium)["epoch"] == before


def test_an_aborted_ceremony_is_exit_code_1(consortium, run, active):
    """Two members complain about the third: a quorum of three."""
    chains = [Chain(consortium.url, consortium.deployment, i.account) for i in consortium.identities]
    chains[0].epochs.open(b"\x01" * 32, 2, int(time.time()) + 600)
    number = chains[0].epochs.latest()
    for chain in chains[:2]:
        chain.epochs.complain(number, consortium.identities[2].account.address, b"e" * 32)
    code, out, _ = run("watch", *consortium.reading, "--epoch", number)
    assert code == 1
    assert "accused: Hospital 2" in out


def test_a_ceremony_that_goes_on_is_exit_code_2(consortium, run, active):
    """Parameters no keeper knows: nobody takes part."""
    chain = Chain(consortium.url, consortium.deployment, consortium.identities[0].account)
    chain.epochs.open(b"\x02" * 32, 2, int(time.time()) + 600)
    number = chain.epochs.latest()
    try:
        assert run("watch", *consortium.reading, "--timeout", 0.2)[0] == 2
    finally:
        for identity in consortium.identities[:2]:
            other = Chain(consortium.url, consortium.deployment, identity.account)
            other.epochs.complain(number, consortium.identities[2].account.address, b"e" * 32)


# ---- backup and restore -----------------------------------------------------------------------------------------------


@pytest.fixture
def saved(run, secret, active, tmp_path) -> Path:
    file = tmp_path / "backup.sealed"
    code, out, err = run("backup", *secret, "--out", file, "--json")
    assert code == 0, err
    assert str(active) in json.loads(out)["generations"]
    return file


def test_a_backup_comes_back_with_its_password_only(consortium, run, saved, tmp_path, active):
    place, password = tmp_path / "again", consortium.root / "password"
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong horse")
    code, _, err = run("restore", "--home", place, "--from", saved, "--password-file", wrong)
    assert (code, place.exists()) == (3, False)
    assert "password" in err
    code, _, err = run("restore", "--home", place, "--from", saved, "--password-file", password)
    assert code == 0, err
    for file in (consortium.first / "secrets").iterdir():
        assert (place / "secrets" / file.name).read_bytes() == file.read_bytes()
    restored = unlock_identity(Home(place), PASSWORD)
    assert restored.box.private == consortium.identities[0].box.private
    keys = Vault(Home(place), PASSWORD, FileStore(tmp_path / "blobs"), allow_minimal=True).keys(active)
    assert keys.joint.epoch == active
    assert not list(tmp_path.glob("*.restoring"))


def test_a_backup_shows_nothing_and_overwrites_nothing(consortium, run, saved, secret, tmp_path):
    data = saved.read_bytes()
    assert saved.stat().st_mode & 0o777 == 0o600
    assert consortium.identities[0].box.private not in data
    assert b"secrets/" not in data
    code, _, err = run("backup", *secret, "--out", saved)
    assert (code, saved.read_bytes()) == (3, data)
    assert "never overwrites" in err
    code, _, err = run("restore", "--home", consortium.first, "--from", saved, "--password-file", secret[3])
    assert code == 3
    assert "not empty" in err
    assert set(open_backup(data, PASSWORD)) >= {"node.toml", "secrets/account.json", "secrets/box.sealed"}


def test_a_damaged_backup_is_one_line_and_leaves_nothing(consortium, run, saved, tmp_path):
    data = saved.read_bytes()
    for change in (data[:-1] + bytes([data[-1] ^ 1]), data[:20], b"", secrets.protect(b"no backup", PASSWORD)):
        saved.write_bytes(change)
        place = tmp_path / "damaged"
        code, _, err = run("restore", "--home", place, "--from", saved, "--password-file", consortium.root / "password")
        assert code == 3
        assert err.startswith("error: ")
        assert not place.exists()


def test_a_backup_from_before_a_refresh_is_refused_and_may_leave_its_share_out(
    consortium, run, secret, saved, tmp_path, active
):
    """Its share opens nothing together with the others' present ones, and must not come back."""
    assert run("refresh", *secret, "--timeout", 60)[0] == 0
    password, place = consortium.root / "password", tmp_path / "old"
    arguments = ("restore", "--home", place, "--from", saved, "--password-file", password)
    code, _, err = run(*arguments)
    assert (code, place.exists()) == (3, False)
    assert f"epoch {active}: generation" in err
    assert "--without-old-shares" in err
    code, out, err = run(*arguments, "--without-old-shares", "--json")
    assert code == 0, err
    assert any("member" in name for name in json.loads(out)["left_out"])
    assert not list((place / "secrets").glob(f"epoch-{active}.member*"))
    assert unlock_identity(Home(place), PASSWORD).account.address == consortium.identities[0].account.address
    newer = tmp_path / "newer.sealed"
    code, out, _ = run("backup", *secret, "--out", newer, "--json")
    in_force = newest(run, consortium, "--epoch", active)["generation"]
    assert json.loads(out)["generations"][str(active)] == in_force > 0
    again = ("restore", "--home", tmp_path / "new", "--from", newer, "--password-file", password, "--json")
    code, out, err = run(*again)
    assert code == 0, err
    assert json.loads(out)["left_out"] == []
    code, _, err = run(*again[:1], "--home", tmp_path / "x", *again[3:], "--offline", "--without-old-shares")
    assert code == 2


def test_a_restored_member_opens_nothing_in_the_round_that_is_open(consortium, run, saved, tmp_path, active):
    """The promise of the lost journal might have been about another partition."""
    chain = Chain(consortium.url, consortium.deployment, consortium.identities[0].account)
    if chain.models.head() == bytes(32):
        chain.rounds.genesis(b"m" * 32, b"p" * 32)
    chain.rounds.open(b"p" * 32, chain.models.head(), 300, 600)
    place = tmp_path / "again"
    arguments = ("restore", "--from", saved, "--password-file", consortium.root / "password")
    code, out, err = run(*arguments, "--home", place, "--json")
    assert code == 0, err
    assert json.loads(out)["sits_out_round"] == 1
    journal = Journal(Home(place).journal)
    assert journal.promised(1, "opened") == RESTORED
    with pytest.raises(PolicyRefusal):
        journal.promise(1, "opened", b"any partition")
    journal.close()
    code, out, _ = run(*arguments, "--home", tmp_path / "offline", "--offline", "--json")
    assert json.loads(out)["sits_out_round"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show",), 2, "--home DIR"),
        (("show", "--rpc", "http://127.0.0.1:9", "--contracts", "absent.json"), 3, "absent.json"),
        (("watch", "--epoch", "0"), 2, "--epoch"),
        (("backup", "--home", "."), 2, "--out"),
    ],
)
def test_mistakes_are_one_line(run, arguments, code, said):
    found, _, err = run(*arguments)
    assert found == code
    assert said in err


def test_an_unknown_epoch_is_named(consortium, run, active):
    code, _, err = run("show", *consortium.reading, "--epoch", 999)
    assert code == 3
    assert "--epoch 999" in err
