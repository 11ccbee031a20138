"""A hospital's directory: keys made on the spot, sealed under one password, never overwritten."""

from __future__ import annotations

import stat

import pytest

from crypto import secrets
from node.config import ChainSection, Hospital, NodeConfig
from node.errors import BadConfig, WrongPassword
from node.home import Home, create_identity, read_deployment, unlock_identity, write_private


@pytest.fixture(autouse=True)
def cheap_passwords(monkeypatch):
    for name, value in {"MEMORY_KIB": 8, "PASSES": 1, "LANES": 1}.items():
        monkeypatch.setattr(secrets, name, value)


@pytest.fixture
def home(tmp_path):
    place = Home(tmp_path / "h")
    place.root.mkdir()
    hospital = Hospital(name="A", port=1, url="http://x")
    NodeConfig(hospital=hospital, chain=ChainSection(rpc="http://x")).write(place.config_file)
    return place


def test_keys_are_made_and_opened_again(home):
    made = create_identity(home, "password")
    opened = unlock_identity(home, "password")
    assert opened.private_key == made.private_key
    assert opened.box.private == made.box.private
    assert opened.address == made.address
    assert len(made.address) == 20


def test_no_two_hospitals_share_keys(tmp_path):
    made = [create_identity(Home(tmp_path / name), "password") for name in "ab"]
    assert made[0].private_key != made[1].private_key
    assert made[0].box.private != made[1].box.private


def test_keys_are_never_overwritten(home):
    before = create_identity(home, "password").private_key
    with pytest.raises(BadConfig, match="has keys already"):
        create_identity(home, "another")
    assert unlock_identity(home, "password").private_key == before


def test_a_crash_while_keys_are_made_leaves_no_half_identity(home, monkeypatch):
    """The account comes last: whoever finds it finds the box key too; making them again works."""
    calls = []

    def failing(path, data):
        calls.append(path)
        if len(calls) == 2:
            raise OSError("the machine dies")
        write_private(path, data)

    with monkeypatch.context() as broken:
        broken.setattr("node.home.write_private", failing)
        with pytest.raises(OSError, match="dies"):
            create_identity(home, "password")
    assert not home.account_file.exists()
    create_identity(home, "password")
    unlock_identity(home, "password")


@pytest.mark.parametrize("password", ["", "Password", "password ", "passwor\u0064\u0301"])
def test_another_password_opens_nothing(home, password):
    create_identity(home, "password")
    with pytest.raises(WrongPassword, match="secrets"):
        unlock_identity(home, password)


@pytest.mark.parametrize("file", ["account_file", "box_file"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff" * 60, b"null"])
def test_a_damaged_key_file_is_a_typed_error(home, file, damage):
    create_identity(home, "password")
    getattr(home, file).write_bytes(damage)
    with pytest.raises(WrongPassword):
        unlock_identity(home, "password")


@pytest.mark.parametrize("file", ["account_file", "box_file"])
def test_a_missing_key_file_says_what_to_do(home, file):
    create_identity(home, "password")
    getattr(home, file).unlink()
    with pytest.raises(BadConfig, match="medweave init"):
        unlock_identity(home, "password")


def test_an_identity_shows_nothing(home):
    identity = create_identity(home, "hunter2")
    shown = f"{identity!r} {identity}"
    assert "hunter2" not in shown
    assert identity.private_key.hex() not in shown
    assert identity.box.private.hex() not in shown


def test_derived_secrets_are_bound_to_key_and_label(home, tmp_path):
    one, other = create_identity(home, "p"), create_identity(Home(tmp_path / "o"), "p")
    assert one.derive(b"a") == unlock_identity(home, "p").derive(b"a")
    assert len({one.derive(b"a"), one.derive(b"b"), other.derive(b"a")}) == 3
    assert len(one.derive(b"a")) == 32


def test_private_files_are_their_owners_alone_and_whole(tmp_path):
    path = tmp_path / "deep" / "down" / "file"
    write_private(path, b"one")
    write_private(path, b"two")
    assert path.read_bytes() == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_an_older_loose_temporary_file_does_not_loosen_it(tmp_path):
    (tmp_path / "file.new").write_bytes(b"left by a crash")
    (tmp_path / "file.new").chmod(0o666)
    write_private(tmp_path / "file", b"secret")
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


def test_a_deployment_that_is_missing_or_wrong_names_its_file(home):
    with pytest.raises(BadConfig, match=r"consortium\.json"):
        read_deployment(home)
    for text in ("", "{}", "[1]", "\ud800"):
        (home.root / "consortium.json").write_text(text, encoding="utf-8", errors="surrogatepass")
        with pytest.raises(BadConfig, match=r"consortium\.json"):
            read_deployment(home)


def test_paths_of_the_configuration_are_relative_to_the_directory(home, tmp_path):
    assert home.file("data/x.npz") == home.root / "data" / "x.npz"
    assert home.file(str(tmp_path / "abs")) == tmp_path / "abs"
