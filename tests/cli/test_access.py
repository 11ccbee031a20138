"""`medweave token` and `medweave access` over a hospital's directory."""

from __future__ import annotations

import json

import pytest

from node.api.access.book import AccessBook
from node.api.access.roles import Role
from node.api.access.tokens import Tokens
from node.cli.main import main
from node.config import ChainSection, Hospital, NodeConfig
from node.home import Home, create_identity


@pytest.fixture
def home(tmp_path):
    hospital = Hospital(name="A", port=8470, url="http://127.0.0.1:8470")
    NodeConfig(hospital=hospital, chain=ChainSection(rpc="http://127.0.0.1:1")).write(tmp_path / "node.toml")
    return tmp_path


@pytest.fixture
def run(capsys, home):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--home", str(home)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return call


def test_a_token_is_made_listed_and_revoked(run, home):
    code, secret, note = run("token", "create", "--role", "auditor", "--name", "Dr Ada", "--days", "2")
    assert code == 0
    assert "not shown again" in note
    found = Tokens(Home(home).tokens).find(secret.strip())
    assert (found.name, found.role) == ("Dr Ada", Role.AUDITOR)
    made = json.loads(run("token", "create", "--role", "operator", "--name", "x", "--json")[1])
    assert made["token"].startswith("mw_")
    _, listed, _ = run("token", "list")
    assert "Dr Ada" in listed
    assert "valid" in listed
    assert "mw_" not in listed
    assert secret.strip()[3:] not in listed
    assert run("token", "revoke", "Dr Ada")[1] == f"revoked: {found.id}\n"
    assert "before" in run("token", "revoke", "Dr Ada")[1]
    rows = json.loads(run("token", "list", "--json")[1])["tokens"]
    assert {row["name"]: row["state"] for row in rows} == {"Dr Ada": "revoked", "x": "valid"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("create", "--role", "member", "--name", "x"), 2),
        (("create", "--role", "operator", "--name", ""), 3),
        (("create", "--role", "operator", "--name", "x", "--days", "0"), 3),
        (("revoke", "nobody"), 3),
    ],
)
def test_a_wrong_argument_ends_with_its_code(run, arguments, code):
    assert run("token", *arguments)[0] == code


def test_a_directory_that_is_no_hospitals_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["token", "list", "--home", str(tmp_path / "none")])
    assert ended.value.code == 3
    assert not (tmp_path / "none").exists()


@pytest.fixture
def asked(home):
    """A node that was asked twice, and refused once."""
    import coincurve

    identity = create_identity(Home(home), "password")
    key = coincurve.PrivateKey(identity.private_key)
    book = AccessBook(Home(home).access, lambda digest: key.sign_recoverable(digest, hasher=None))
    line = {"role": "auditor", "route": "GET /v1/models/{model}", "values": ["ff"], "bytes": 2, "request": "r1"}
    book.add({"who": "Dr Ada", "status": 200, **line})
    book.add({"who": "Dr Bob", "status": 403, **line})
    book.count("hospital-2", "member", "POST /v1/gossip", 202, 10)
    book.close()
    return home


def test_who_asked_what_is_shown(asked, run):
    _, out, _ = run("access", "show")
    assert out.splitlines()[0].endswith("200  Dr Ada (auditor)  GET /v1/models/{model} ff  r1")
    assert "POST /v1/gossip x1" in out
    assert len(run("access", "show", "--last", "1")[1].splitlines()) == 1
    assert [row["who"] for row in map(json.loads, run("access", "show", "--refused", "--json")[1].splitlines())] == [
        "Dr Bob"
    ]
    assert "Dr Bob" not in run("access", "show", "--who", "Dr Ada")[1]
    assert "hospital-2" in run("access", "show", "--role", "member")[1]


def test_a_whole_log_is_0_and_one_that_was_touched_is_1_with_its_place(asked, run):
    code, out, _ = run("access", "verify")
    assert code == 0
    assert "4 lines from 1, 1 signed heads, 0 lines after" in out
    head = out.splitlines()[1].removeprefix("head ")
    assert run("access", "verify", "--head", head)[0] == 0
    assert run("access", "verify", "--head", "nonsense")[0] == 2
    path = Home(asked).access / "000001.jsonl"
    path.write_bytes(path.read_bytes().replace(b"Dr Bob", b"Dr Eve"))
    code, out, _ = run("access", "verify")
    assert code == 1
    assert "000001.jsonl, line 3" in out
    said = json.loads(run("access", "verify", "--json")[1])
    assert (said["whole"], said["line"]) == (False, 3)


def test_without_an_account_nothing_says_whose_signatures_count(home, run):
    code, _, err = run("access", "verify")
    assert code == 3
    assert "no account" in err
