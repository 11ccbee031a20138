"""node.toml: every key documented and overridable, errors name file and key (NOD-6)."""

from __future__ import annotations

import tomllib

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from node.config import ChainSection, Compute, Data, Debug, Hospital, NodeConfig, Rounds
from node.errors import BadConfig

MINIMAL = """
[hospital]
name = "A"
port = 8470
url = "http://127.0.0.1:8470"
[chain]
rpc = "http://127.0.0.1:8545"
"""
KEYS = [(section, key) for section, field in NodeConfig.model_fields.items() for key in field.annotation.model_fields]
OTHER = {
    ("hospital", "name"): "B",
    ("hospital", "host"): "10.0.0.1",
    ("hospital", "port"): 9000,
    ("hospital", "url"): "https://b.example",
    ("chain", "rpc"): "http://chain:1",
    ("chain", "deployment"): "other.json",
    ("chain", "poll_seconds"): 2.5,
    ("chain", "websocket"): "ws://chain:1",
    ("chain", "finality"): 12,
    ("chain", "max_fee_gwei"): 50.5,
    ("data", "train"): "t.npz",
    ("data", "validation"): "v.npz",
    ("data", "test"): "x.npz",
    ("data", "lungs"): "lungs.bin",
    ("data", "register_card"): False,
    ("rounds", "plan"): "p.toml",
    ("rounds", "target"): 7,
    ("rounds", "min_group"): 9,
    ("rounds", "min_threshold"): 5,
    ("rounds", "min_cohort"): 6,
    ("membership", "exchange_seconds"): 60.0,
    ("membership", "new_epochs"): False,
    ("membership", "challenge"): False,
    ("membership", "findings"): False,
    ("membership", "propose_removal_below"): 30,
    ("membership", "propose_removal_after"): 20,
    ("compute", "threads"): 3,
    ("compute", "nice"): 7,
    ("predict", "queue"): 3,
    ("predict", "timeout_seconds"): 12.5,
    ("predict", "idle_seconds"): 60.0,
    ("compute", "device"): "cpu",
    ("storage", "backend"): "ipfs",
    ("storage", "ipfs"): "/ip4/127.0.0.1/tcp/5011",
    ("storage", "ipfs_elsewhere"): True,
    ("storage", "quota_gib"): 12.5,
    ("storage", "keep_rounds"): 5,
    ("log", "format"): "json",
    ("log", "level"): "debug",
    ("log", "file"): "node.log",
    ("log", "max_mib"): 7,
    ("log", "keep"): 2,
    ("api", "tls_certificate"): "tls/node.pem",
    ("api", "tls_key"): "tls/node.key",
    ("api", "tls_members_ca"): "tls/members.pem",
    ("api", "plain_elsewhere"): True,
    ("api", "hosts"): "node.example, 10.0.0.7:8470",
    ("api", "proxies"): "127.0.0.1, 10.1.0.0/16",
    ("api", "people_per_second"): 7.5,
    ("api", "members_per_second"): 700.0,
    ("api", "strangers_per_second"): 0.5,
    ("api", "clock_seconds"): 90.0,
    ("debug", "keep_quantised"): True,
}


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text(MINIMAL)
    return file


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_is_documented(section, key):
    field = NodeConfig.model_fields[section].annotation.model_fields[key]
    assert field.description
    assert field.description.endswith(".")


def test_every_section_is_documented_by_its_name():
    for section, field in NodeConfig.model_fields.items():
        assert field.annotation.__doc__.startswith(f"`[{section}]`")


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_every_key_can_be_overridden(path, section, key):
    value = OTHER[section, key]
    read = NodeConfig.read(path, {f"MEDWEAVE_{section}_{key}".upper(): str(value)})
    assert getattr(getattr(read, section), key) == value
    assert getattr(getattr(NodeConfig.read(path, {}), section), key) != value


def test_the_process_environment_is_the_default(path, monkeypatch):
    monkeypatch.setenv("MEDWEAVE_HOSPITAL_PORT", "9999")
    assert NodeConfig.read(path).hospital.port == 9999


def test_other_variables_change_nothing(path):
    plain = NodeConfig.read(path, {})
    noise = {"MEDWEAVE_TESTING": "1", "MEDWEAVE_PASSWORD": "x", "MEDWEAVE_HOSPITAL": "y", "HOSPITAL_PORT": "1"}
    assert NodeConfig.read(path, noise) == plain


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_what_is_written_is_read_again(tmp_path, path, section, key):
    config = NodeConfig.read(path, {f"MEDWEAVE_{section}_{key}".upper(): str(OTHER[section, key])})
    config.write(tmp_path / "copy.toml")
    assert NodeConfig.read(tmp_path / "copy.toml", {}) == config
    assert set(tomllib.loads((tmp_path / "copy.toml").read_text())) == set(NodeConfig.model_fields)


BAD = [
    ("[hospital]\nport = 0", "hospital.port"),
    ("[hospital]\nport = 65536", "hospital.port"),
    ('[hospital]\nurl = "ftp://x"', "hospital.url"),
    ('[hospital]\nname = ""', "hospital.name"),
    ('[chain]\nrpc = "nowhere"', "chain.rpc"),
    ("[chain]\npoll_seconds = 0", "chain.poll_seconds"),
    ("[chain]\npoll_seconds = nan", "chain.poll_seconds"),
    ("[rounds]\nmin_group = 0", "rounds.min_group"),
    ("[rounds]\ntarget = -1", "rounds.target"),
    ("[rounds]\ntyop = 1", "rounds.tyop"),
    ("[compute]\nthreads = 0", "compute.threads"),
    ("[api]\nclock_seconds = 0", "api.clock_seconds"),
    ("[api]\nstrangers_per_second = 0", "api.strangers_per_second"),
    ("[api]\nhosts = 'a b/c'", "api.hosts"),
    ('[debug]\nkeep_quantised = "perhaps"', "debug.keep_quantised"),
    ("[elsewhere]\nx = 1", "elsewhere"),
    ("data = 3", "data"),
]


@pytest.mark.parametrize(("text", "key"), BAD)
def test_a_wrong_value_names_file_and_key(tmp_path, text, key):
    path = tmp_path / "node.toml"
    tables = tomllib.loads(MINIMAL)
    for section, values in tomllib.loads(text).items():
        tables[section] = tables.get(section, {}) | values if isinstance(values, dict) else values

    path.write_text(tomli_w.dumps(tables))
    with pytest.raises(BadConfig) as caught:
        NodeConfig.read(path, {})
    assert str(path) in str(caught.value)
    assert f": {key}: " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text("[chain]\nrpc = 'http://x'")
    with pytest.raises(BadConfig, match="hospital: Field required"):
        NodeConfig.read(path, {})


def test_a_file_that_cannot_be_read_says_what_to_do(tmp_path):
    with pytest.raises(BadConfig, match="medweave init"):
        NodeConfig.read(tmp_path / "none.toml", {})
    with pytest.raises(BadConfig):
        NodeConfig.read(tmp_path, {})
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadConfig, match="TOML"):
        NodeConfig.read(tmp_path / "bad.toml", {})


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_bad_config(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("config") / "node.toml"
    path.write_text(text, encoding="utf-8", errors="replace")
    with pytest.raises(BadConfig):
        NodeConfig.read(path, {})


def test_a_bad_override_names_its_key(path):
    with pytest.raises(BadConfig, match=r"hospital\.port"):
        NodeConfig.read(path, {"MEDWEAVE_HOSPITAL_PORT": "no number"})


def test_defaults_protect():
    """Nothing is opened that holds fewer than three updates, nobody but this machine is listened to, nothing is kept."""
    assert Rounds().min_group == 3
    assert Debug().keep_quantised is False
    assert Hospital(name="x", port=1, url="http://x").host == "127.0.0.1"
    assert (Data().test, Compute().threads) == ("", 1)
    with pytest.raises(ValidationError):
        ChainSection(rpc="x")
