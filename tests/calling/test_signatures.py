"""Requests signed between nodes (RFC 9421): an independent reading of the RFC agrees; nothing else than what was signed passes."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace

import coincurve
import httpx
import pytest
from eth_keys import keys
from hypothesis import given
from hypothesis import strategies as st

from node.calling import BadSignedRequest, BearerAuth, Dialer, MemberAuth
from node.calling.signatures import (
    Call,
    authority_of,
    digest_field,
    normalised,
    read,
    sign,
    verify_body,
    verify_signature,
)

KEY = coincurve.PrivateKey(bytes([7] * 32))
CONSORTIUM = bytes(range(32))
BODY = b"a message"
CALL = Call("POST", "node-1:8470", "/v1/gossip", "", digest_field(BODY))
NOW = 1_795_253_526

GOLDEN = (
    'medweave=("@method" "@authority" "@path" "@query" "content-digest");created=1795253526;'
    'nonce="AAECAwQFBgcICQoLDA0ODw==";keyid="0x4a62316623ad457f02cdc5d997ded67a383ec569";'
    'tag="medweave/1/000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"'
)


def lower(fields: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in fields.items()}


def signed(call: Call = CALL, nonce: bytes | None = None) -> dict[str, str]:
    return lower(sign(call, KEY, CONSORTIUM, NOW, nonce))


def base_by_the_rfc(fields: dict[str, str], call: Call) -> bytes:
    """The signature base as sections 2.2, 2.3 and 2.5 of the RFC tell to build it, from the list that was sent."""
    parameters = fields["signature-input"].removeprefix("medweave=")
    components = {
        "@method": call.method,
        "@authority": call.authority,
        "@path": call.path,
        "@query": "?" + call.query,
        "content-digest": fields.get("content-digest", ""),
    }
    covered = re.findall(r'"([^"]+)"', parameters[: parameters.index(")")])
    lines = [f'"{name}": {components[name]}' for name in covered]
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()


def test_the_fields_are_these():
    fields = signed(nonce=bytes(range(16)))
    assert fields["signature-input"] == GOLDEN
    assert fields["content-digest"] == f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:"


def test_another_implementation_recovers_the_signer():
    """eth_keys, pure Python, over a base built from the RFC's text."""
    fields = signed()
    raw = base64.b64decode(fields["signature"].removeprefix("medweave=:").removesuffix(":"))
    digest = hashlib.sha256(base_by_the_rfc(fields, CALL)).digest()
    address = keys.Signature(raw).recover_public_key_from_msg_hash(digest).to_canonical_address()
    assert f"0x{address.hex()}" in fields["signature-input"]


def test_what_was_signed_is_read_and_verified():
    found = read(signed(nonce=bytes(16)))
    assert (found.created, found.nonce, found.consortium, found.covers_body) == (NOW, bytes(16), CONSORTIUM, True)
    verify_signature(found, CALL)
    verify_body(CALL.digest, BODY)


CHANGES = {
    "method": {"method": "PUT"},
    "audience": {"authority": "node-2:8470"},
    "path": {"path": "/v1/motions"},
    "query": {"query": "x=1"},
    "body": {"digest": digest_field(b"another")},
    "no body": {"digest": ""},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_nothing_that_was_signed_can_be_exchanged(change):
    with pytest.raises(BadSignedRequest):
        verify_signature(read(signed()), replace(CALL, **change))


@pytest.mark.parametrize("part", ["created=1795253526", 'nonce="AAEC', "1d1e1f", "0x4a62"])
def test_no_parameter_can_be_exchanged(part):
    fields = signed(nonce=bytes(range(16)))
    other = {
        "created=1795253526": "created=1795253527",
        'nonce="AAEC': 'nonce="AAED',
        "1d1e1f": "1d1e1e",
        "0x4a62": "0x4a6e",
    }
    fields["signature-input"] = fields["signature-input"].replace(part, other[part])
    with pytest.raises(BadSignedRequest, match="Signature"):
        verify_signature(read(fields), CALL)


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("signature-input", "", "Signature-Input"),
        ("signature-input", "sig1=()", "Signature-Input"),
        ("signature-input", GOLDEN.replace('"@path" ', ""), "Signature-Input"),
        ("signature-input", GOLDEN.replace('"@authority" ', ""), "Signature-Input"),
        ("signature-input", GOLDEN + ";expires=1", "Signature-Input"),
        ("signature-input", GOLDEN.replace("created", "Created"), "Signature-Input"),
        ("signature-input", GOLDEN + ", other=()", "Signature-Input"),
        ("signature-input", "medweave=" + "x" * 2000, "Signature-Input"),
        ("signature", "medweave=:AAAA:", "Signature"),
        ("signature", "medweave=:!!!!:", "Signature"),
        ("signature", "medweave=AAAA", "Signature"),
        ("signature", f"medweave=:{base64.b64encode(bytes(65)).decode()}:", "Signature"),
        ("signature", f"medweave=:{base64.b64encode(bytes([255] * 65)).decode()}:", "Signature"),
    ],
)
def test_another_form_is_refused_by_field(name, value, field):
    with pytest.raises(BadSignedRequest) as caught:
        verify_signature(read({**signed(), name: value}), CALL)
    assert caught.value.field == field


def test_the_second_form_of_a_signature_is_refused():
    """(r, n - s) verifies as well; taken, it would let anybody make another request out of one that was sent."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    fields = signed()
    raw = bytearray(base64.b64decode(fields["signature"].removeprefix("medweave=:").removesuffix(":")))
    raw[32:64] = (order - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    raw[64] ^= 1
    with pytest.raises(BadSignedRequest, match="low s"):
        read(fields | {"signature": f"medweave=:{base64.b64encode(raw).decode()}:"})


@given(st.dictionaries(st.sampled_from(["signature", "signature-input", "content-digest"]), st.text(max_size=300)))
def test_any_text_is_refused_with_a_typed_error(fields):
    with pytest.raises(BadSignedRequest):
        verify_signature(read(fields), CALL)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_digest_is_of_one_body(one, other):
    verify_body(digest_field(one), one)
    if one != other:
        with pytest.raises(BadSignedRequest, match="Content-Digest"):
            verify_body(digest_field(one), other)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://Node-1:8470/x", "node-1:8470"),
        ("https://node.example:443", "node.example"),
        ("http://node.example:80/", "node.example"),
        ("https://node.example:80", "node.example:80"),
        ("http://[::1]:8470", "[::1]:8470"),
    ],
)
def test_the_authority_is_in_its_normal_form(url, authority):
    assert authority_of(url) == authority
    assert normalised(authority.upper(), url.partition(":")[0]) == authority


# ---- clients --------------------------------------------------------------------------------------------------------


def sent(auth: httpx.Auth, method: str, url: str, **options) -> httpx.Request:
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200)

    with httpx.Client(auth=auth, transport=httpx.MockTransport(answer)) as client:
        client.request(method, url, **options)
    return seen[0]


@pytest.mark.parametrize(
    ("method", "url", "body"),
    [("GET", "http://node-1/v1/transactions?kind=update&x=%C3%A9", b""), ("POST", "https://n:1/v1/gossip", b"abc")],
)
def test_a_client_signs_what_it_sends(method, url, body):
    request = sent(MemberAuth(KEY.secret, CONSORTIUM, lambda: NOW), method, url, content=body)
    path, _, query = request.url.raw_path.decode().partition("?")
    found = read(request.headers)
    assert found.covers_body == bool(body)
    digest = request.headers.get("content-digest", "")
    verify_signature(found, Call(method, authority_of(url), path, query, digest))
    if body:
        verify_body(digest, body)


def test_each_request_has_a_nonce_of_its_own():
    auth = MemberAuth(KEY.secret, CONSORTIUM)
    nonces = {read(sent(auth, "GET", "http://node-1/x").headers).nonce for _ in range(5)}
    assert len(nonces) == 5


def test_a_token_goes_to_its_own_node_alone():
    auth = BearerAuth("mw_secret", "http://node-1:8470")
    assert sent(auth, "GET", "http://node-1:8470/v1/status").headers["authorization"] == "Bearer mw_secret"
    assert "authorization" not in sent(auth, "GET", "http://node-2:8470/v1/status").headers


def test_nothing_shows_a_secret():
    for thing in (MemberAuth(KEY.secret, CONSORTIUM), BearerAuth("mw_secret", "http://x")):
        assert "mw_secret" not in repr(Dialer(thing)) + repr(thing) + repr(vars(Dialer(thing)))
        assert KEY.secret.hex() not in repr(Dialer(thing)) + repr(thing)
