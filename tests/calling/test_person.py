"""A person's tokens: each for its own node, from the environment or a file."""

from __future__ import annotations

import httpx
import pytest

from node.calling.person import personal
from node.errors import BadInput

FIRST, SECOND = "http://127.0.0.1:8470", "https://node.example"


def header(url: str, environment: dict[str, str], to: str | None = None) -> str | None:
    auth = personal(url, environment).auth
    if auth is None:
        return None
    request = next(auth.sync_auth_flow(httpx.Request("GET", f"{to or url}/v1/status")))
    return request.headers.get("authorization")


def test_each_token_is_for_its_node(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"# mine\n\n{SECOND}  mw_two \n")
    both = {"MEDWEAVE_TOKEN": f"{FIRST} mw_one,", "MEDWEAVE_TOKEN_FILE": str(file)}
    assert header(FIRST, both) == "Bearer mw_one"
    assert header(SECOND + ":443/", both) == "Bearer mw_two"
    assert header("http://127.0.0.1:8471", both) is None
    assert header(FIRST, both, to="http://127.0.0.1:8471") is None
    assert header(FIRST, {}) is None
    assert header("http://[", both) is None


@pytest.mark.parametrize("text", ["mw_secret", f"{FIRST}", "node mw_secret", "ftp://x mw_secret"])
def test_a_token_for_no_node_is_refused_and_not_shown(text, tmp_path):
    with pytest.raises(BadInput, match=r"expected `URL TOKEN`") as caught:
        personal(FIRST, {"MEDWEAVE_TOKEN": text})
    assert "secret" not in str(caught.value)
    with pytest.raises(BadInput, match="cannot be read"):
        personal(FIRST, {"MEDWEAVE_TOKEN_FILE": str(tmp_path / "none")})


def test_the_process_environment_is_the_default(monkeypatch):
    monkeypatch.setenv("MEDWEAVE_TOKEN", f"{FIRST} mw_one")
    assert personal(FIRST).auth is not None
