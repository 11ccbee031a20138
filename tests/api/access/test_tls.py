"""TLS from files on real sockets: the port, members that show certificates, and what refuses to start without."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import pytest

from node.api.access.access import Access
from node.api.access.roles import Role
from node.api.access.tls import check_exposure, server_settings
from node.api.app import create_app
from node.api.serving import ApiServer
from node.calling.member import member_dialer
from node.config import Api, ChainSection, Hospital, NodeConfig
from node.errors import BadConfig
from node.home import Home

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make certificates with")
EVERYWHERE = "0.0.0.0"  # noqa: S104  (never bound: it has to be refused)
FILES = {"tls_certificate": "node.pem", "tls_key": "node.key", "tls_members_ca": "ca.pem"}


def openssl(*arguments: str, where) -> None:
    subprocess.run(["openssl", *arguments], cwd=where, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority of the members, a node's certificate from it, and one of another authority."""
    where = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (where / "names").write_text("subjectAltName=IP:127.0.0.1")
    for authority, leaf in (("ca", "node"), ("other-ca", "other")):
        openssl(
            "req",
            "-x509",
            *curve,
            "-days",
            "2",
            "-subj",
            f"/CN={authority}",
            "-keyout",
            f"{authority}.key",
            "-out",
            f"{authority}.pem",
            where=where,
        )
        openssl("req", *curve, "-subj", f"/CN={leaf}", "-keyout", f"{leaf}.key", "-out", f"{leaf}.csr", where=where)
        signed = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{leaf}.csr", *signed, "-days", "2", "-out", f"{leaf}.pem", where=where)
    return where


def config_of(url: str, **api) -> NodeConfig:
    return NodeConfig(
        hospital=Hospital(name="A", port=1, url=url), chain=ChainSection(rpc="http://chain"), api=Api(**api)
    )


@contextmanager
def serving(service, net, certificates, **api):
    """The node on a real port; gives its URL and a hospital's access to it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        config, home = config_of(url, **api), Home(certificates)
        with Access(home, config, net.deployment.consortium, lambda: service.view, None) as access:
            own = SimpleNamespace(**{**vars(service), "access": access})
            server = ApiServer(create_app(own), **server_settings(home, config))
            thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
            thread.start()
            while not server.started:
                time.sleep(0.005)
            try:
                yield url, access
            finally:
                server.should_exit = True
                thread.join()


def member(net, certificates, **api) -> httpx.Client:
    key = bytes(net.accounts[1].key)
    return member_dialer(Home(certificates), config_of("https://x", **api), key, net.deployment.consortium).client(5)


def test_members_show_certificates_and_people_need_none(service, net, certificates):
    with serving(service, net, certificates, **FILES) as (url, access):
        with member(net, certificates, **FILES) as http:
            assert http.get(f"{url}/v1/members").status_code == 200
        trust = ssl.create_default_context(cafile=certificates / "ca.pem")
        bearer = {"Authorization": f"Bearer {access.tokens.create('x', Role.OPERATOR).secret}"}
        with httpx.Client(verify=trust, trust_env=False, headers=bearer) as person:
            answer = person.get(f"{url}/v1/members")
            assert answer.status_code == 200
            assert answer.headers["strict-transport-security"]
        with member(net, certificates, tls_members_ca="ca.pem") as http:
            answer = http.get(f"{url}/v1/members")
            assert answer.status_code == 403, "it signed, and showed no certificate"
            assert "certificate" in answer.json()["detail"]
        other = {"tls_certificate": "other.pem", "tls_key": "other.key", "tls_members_ca": "ca.pem"}
        with member(net, certificates, **other) as http, pytest.raises(httpx.HTTPError):
            http.get(f"{url}/v1/members")
        with (
            member(net, certificates, **FILES | {"tls_members_ca": "other-ca.pem"}) as http,
            pytest.raises(httpx.ConnectError),
        ):
            http.get(f"{url}/v1/members")
        with httpx.Client(trust_env=False) as plain, pytest.raises(httpx.HTTPError):
            plain.get(url.replace("https", "http") + "/v1/health")


def test_without_an_authority_a_signature_is_enough(service, net, certificates):
    files = {key: FILES[key] for key in ("tls_certificate", "tls_key")}
    with (
        serving(service, net, certificates, **files) as (url, _),
        member(net, certificates, tls_members_ca="ca.pem") as http,
    ):
        assert http.get(f"{url}/v1/members").status_code == 200


def test_old_versions_of_tls_are_not_spoken(certificates):
    context = server_settings(Home(certificates), config_of("https://x", **FILES))["ssl_context_factory"]()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_OPTIONAL


@pytest.mark.parametrize(
    ("host", "api", "starts"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("localhost", {}, True),
        (EVERYWHERE, {}, False),
        ("::", {}, False),
        ("10.0.0.7", {}, False),
        ("node.example", {}, False),
        (EVERYWHERE, {"plain_elsewhere": True}, True),
        (EVERYWHERE, {"tls_certificate": "node.pem", "tls_key": "node.key"}, True),
    ],
)
def test_a_port_others_reach_needs_tls_or_a_word(host, api, starts, caplog):
    config = NodeConfig(
        hospital=Hospital(name="A", host=host, port=1, url="http://x"),
        chain=ChainSection(rpc="http://chain"),
        api=Api(**api),
    )
    if starts:
        check_exposure(config)
        assert ("without TLS" in caplog.text) == bool(api.get("plain_elsewhere"))
    else:
        with pytest.raises(BadConfig, match=r"tls_certificate and tls_key, or plain_elsewhere"):
            check_exposure(config)


@pytest.mark.parametrize(
    "api",
    [
        {"tls_certificate": "node.pem"},
        {"tls_key": "node.key"},
        {"tls_certificate": "node.pem", "tls_key": "other.key"},
        {"tls_certificate": "names", "tls_key": "node.key"},
        {"tls_certificate": "none.pem", "tls_key": "node.key"},
        {"tls_certificate": "node.pem", "tls_key": "node.key", "tls_members_ca": "node.key"},
    ],
)
def test_files_that_do_not_fit_are_refused_by_their_keys(certificates, api):
    with pytest.raises(BadConfig, match=r"\[api\] tls_"):
        server_settings(Home(certificates), config_of("https://x", **api))


@pytest.mark.parametrize("api", [{"tls_members_ca": "none.pem"}, {"tls_members_ca": "names"}])
def test_a_wrong_authority_is_refused_before_anybody_is_called(certificates, api):
    with pytest.raises(BadConfig, match="tls_members_ca"):
        member_dialer(Home(certificates), config_of("https://x", **api), bytes([1] * 32), bytes(32))
