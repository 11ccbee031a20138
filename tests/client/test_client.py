"""The typed client against a real socket: retries, refusals, hostile answers, transfers and streams that break off."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from dag.ids import cid_of
from node.calling import Dialer
from node.client import (
    Malformed,
    NodeBusy,
    NodeClient,
    NodeUnreachable,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Refused,
    WrongBytes,
)
from node.client.transport import Transport
from node.storage import BadCid, blob_cid

BLOB = bytes(range(256)) * 4096
CID = blob_cid(BLOB)
ROUND = {
    "round": 1, "status": "finalised", "epoch": 1, "plan": "0" * 64, "base": "1" * 64, "model": "2" * 64, "seed": "3" * 64,
    "opener": "0x" + "4" * 40, "leader": None, "leader_name": None, "proposals": [], "statement": None, "signers": [0, 1, 2],
    "members": 4, "collect_by": 1, "finalise_by": 2, "opened_in": 1, "ended_in": 2, "a newer field": True,
}  # fmt: skip


class Answers:
    """What a node says next, by path; what it was asked."""

    def __init__(self):
        self.script = {}
        self.asked = []

    def on(self, path, *answers):
        """Each answer in turn; the last one for ever. (status, headers, body), or a function of the handler."""
        self.script[path] = list(answers)

    def take(self, path):
        answers = self.script.get(path, [(404, {}, b"")])
        return answers.pop(0) if len(answers) > 1 else answers[0]


def problem(status, detail="no", **headers):
    body = {"type": "urn:x", "title": "Title", "status": status, "detail": detail}
    return status, {"Content-Type": "application/problem+json"} | headers, json.dumps(body).encode()


def ok(body, **headers):
    return 200, headers, body if isinstance(body, bytes) else json.dumps(body).encode()


def cut(status, headers, body, whole):
    """Says it sends `whole` bytes and breaks off after `body`."""

    def answer(handler):
        handler.send_response(status)
        for name, value in (headers | {"Content-Length": str(whole)}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)
        handler.close_connection = True

    return answer


@pytest.fixture(scope="module")
def server():
    answers = Answers()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            length = int(self.headers.get("Content-Length", 0))
            answers.asked.append((self.command, self.path, dict(self.headers), self.rfile.read(length)))
            answer = answers.take(self.path.partition("?")[0])
            if callable(answer):
                answer(self)
                return
            status, headers, body = answer
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  (the library's name)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    answers.url = f"http://127.0.0.1:{http.server_port}"
    yield answers
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def node(server):
    server.script.clear()
    server.asked.clear()
    waits = []
    with NodeClient("", transport=Transport(server.url + "/", "mw_secret", sleep=waits.append)) as client:
        client.waits = waits
        yield client


def test_answers_come_typed_and_a_newer_nodes_fields_are_left_out(server, node):
    server.on("/v1/rounds", ok({"rounds": [ROUND], "next": None}))
    (found,) = node.rounds(status="finalised", newest=True)
    assert (found.round, found.status, found.signers) == (1, "finalised", (0, 1, 2))
    method, path, headers, _ = server.asked[0]
    assert (method, path) == ("GET", "/v1/rounds?status=finalised&order=newest&limit=500")
    assert headers["Authorization"] == "Bearer mw_secret"
    assert "mw_secret" not in repr(node) + repr(node.transport) + repr(vars(node.transport))


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(400, Refused, 3), (401, NotSignedIn, 3), (403, NotAllowed, 3), (404, NotFound, 3), (422, Refused, 3)],
)
def test_a_refusal_says_why_and_is_not_asked_again(server, node, status, kind, code):
    server.on("/v1/status", problem(status, "because"))
    with pytest.raises(kind) as caught:
        node.status()
    assert (caught.value.status, caught.value.title, caught.value.detail) == (status, "Title", "because")
    assert (caught.value.kind, caught.value.exit_code) == ("urn:x", code)
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_passes_is_waited_for(server, node, status):
    server.on("/v1/health", problem(status), problem(status), ok({"status": "ok", "seconds": 1, "version": "1"}))
    assert node.health().status == "ok"
    assert len(server.asked) == 3
    assert 0.1 < node.waits[0] < node.waits[1] < 1


def test_a_node_that_stays_busy_is_given_up(server, node):
    server.on("/v1/health", problem(503))
    with pytest.raises(NodeBusy) as caught:
        node.health()
    assert (len(server.asked), len(node.waits), caught.value.exit_code) == (4, 3, 5)


def test_a_nodes_wish_for_a_pause_is_kept_within_reason(server, node):
    server.on("/v1/health", problem(429, **{"Retry-After": "7"}), ok({"status": "ok", "seconds": 1, "version": "1"}))
    node.health()
    assert node.waits == [7.0]
    server.on("/v1/health", problem(429, **{"Retry-After": "3600"}))
    with pytest.raises(NodeBusy) as caught:
        node.health()
    assert caught.value.retry_after == 3600
    assert node.waits == [7.0], "an hour is the caller's to decide"


def test_a_request_that_changes_something_is_made_once(server, node):
    server.on("/v1/x", problem(503))
    with pytest.raises(NodeBusy):
        node.transport.post("/v1/x", {"a": 1})
    assert [(asked[0], asked[3]) for asked in server.asked] == [("POST", b'{"a":1}')]


def test_an_image_goes_as_it_is_and_a_question_as_json(server, node):
    server.on("/v1/models/ab/predict", problem(503, **{"Retry-After": "2"}))
    with pytest.raises(NodeBusy) as caught:
        node.predict("ab", b"\x89PNG\r\n", saliency=False)
    assert caught.value.retry_after == 2
    server.on("/v1/audits", problem(404))
    with pytest.raises(NotFound):
        node.ask_audit(round=7)
    assert [(method, path, body) for method, path, _, body in server.asked] == [
        ("POST", "/v1/models/ab/predict?saliency=false", b"\x89PNG\r\n"),
        ("POST", "/v1/audits", b'{"round":7}'),
    ]


def test_nobody_there():
    client = NodeClient("http://127.0.0.1:9", transport=Transport("http://127.0.0.1:9", sleep=lambda _: None))
    with pytest.raises(NodeUnreachable, match=r"127\.0\.0\.1:9"):
        client.health()


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"no json"),
        ok(b"[" * 100_000),
        ok({"rounds": [{"round": 1}], "next": None}),
        ok({"rounds": "many", "next": None}),
        ok({"rounds": []}),
        ok([]),
        ok({"rounds": [], "next": 5}),
        ok({"rounds": [], "next": "again"}),
        ok({"rounds": [ROUND | {"status": "perhaps"}], "next": None}),
        ok({"rounds": [ROUND | {"model": "x" * 64}], "next": None}),
    ],
)
def test_what_is_none_of_this_interface_is_refused(server, node, answer):
    """`next` that leads back would go on for ever."""
    server.on("/v1/rounds", answer)
    with pytest.raises(Malformed):
        list(node.rounds())


def test_an_endless_answer_is_cut_off(server, node):
    server.on("/v1/checkpoint", cut(200, {}, b"x" * (1 << 21), 1 << 40))
    with pytest.raises(Malformed, match="longer than"):
        node.checkpoint()


def test_readiness_is_an_answer_even_where_it_is_no(server, node):
    body = {"ready": False, "checks": [{"name": "disk", "ok": False, "detail": "full"}]}
    server.on("/v1/ready", (503, {"Content-Type": "application/json"}, json.dumps(body).encode()))
    assert node.ready().checks[0].detail == "full"


def test_names_in_paths_are_escaped(server, node):
    with pytest.raises(NotFound):
        node.model("../../secrets?x=1#")
    assert server.asked[0][1] == "/v1/models/..%2F..%2Fsecrets%3Fx%3D1%23"


# ---- bytes that are checked --------------------------------------------------------------------------------------------


def test_a_model_and_a_statement_are_their_digests(server, node):
    data = b"model bytes"
    model = hashlib.sha256(data).hexdigest()
    for path, ask in (
        (f"/v1/models/{model}/file", lambda: node.model_file(model)),
        (f"/v1/models/{model}/statement", lambda: node.statement(model, model)),
    ):
        server.on(path, ok(data))
        assert ask() == data
        server.on(path, ok(data + b"!"))
        with pytest.raises(WrongBytes):
            ask()


def test_a_transaction_is_its_id(server, node):
    cid = cid_of(bytes(32))
    server.on(f"/v1/transactions/{cid}/raw", ok(b"anything"))
    with pytest.raises(WrongBytes, match="another transaction"):
        node.raw_transaction(cid)


def test_a_blob_that_breaks_off_goes_on_where_it_was(server, node, tmp_path):
    half = len(BLOB) // 2

    def rest(handler):
        start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        part = BLOB[start:]
        handler.send_response(206)
        handler.send_header("Content-Length", str(len(part)))
        handler.end_headers()
        handler.wfile.write(part)

    server.on(f"/v1/blobs/{CID}", cut(200, {}, BLOB[:half], len(BLOB)), problem(503), rest)
    assert node.save_blob(CID, tmp_path / "blob") == len(BLOB)
    assert (tmp_path / "blob").read_bytes() == BLOB
    assert [path.name for path in tmp_path.iterdir()] == ["blob"]
    starts = [headers.get("Range") for _, _, headers, _ in server.asked]
    assert starts[0] is None
    assert 0 < int(starts[-1].removeprefix("bytes=").removesuffix("-")) <= half


@pytest.mark.parametrize("data", [b"", BLOB[:-1], BLOB + b"!", b"\1" + BLOB[1:]])
def test_another_blob_leaves_nothing_behind(server, node, tmp_path, data):
    (tmp_path / "blob").write_bytes(b"what was there before")
    server.on(f"/v1/blobs/{CID}", ok(data))
    with pytest.raises(WrongBytes):
        node.save_blob(CID, tmp_path / "blob")
    assert [path.name for path in tmp_path.iterdir()] == ["blob"]
    assert (tmp_path / "blob").read_bytes() == b"what was there before"


def test_a_name_that_is_no_blobs_is_not_asked_for(server, node, tmp_path):
    with pytest.raises(BadCid):
        node.save_blob("../etc/passwd", tmp_path / "blob")
    assert server.asked == []


# ---- events ------------------------------------------------------------------------------------------------------------


def told(number, name="round"):
    return f'id: boot-{number}\nevent: {name}\ndata: {{"round":{number}}}\n\n'.encode()


def test_events_go_on_after_a_break_from_the_last_one(server, node):
    def stream(*parts):
        return cut(200, {"Content-Type": "text/event-stream"}, b"".join(parts), 1 << 30)

    server.on(
        "/v1/events",
        stream(b"retry: 2000\n\n", b": still here\n\n", told(1), told(2), b"id: boot-3\neve"),
        problem(503),
        stream(told(3), b"\n\n\n", told(4).replace(b"\n", b"\r\n")),
    )
    events = node.events("boot-0")
    found = [next(events) for _ in range(4)]
    assert [(event.id, event.name, event.data) for event in found] == [
        (f"boot-{n}", "round", {"round": n}) for n in (1, 2, 3, 4)
    ]
    assert [headers.get("Last-Event-ID") for _, _, headers, _ in server.asked] == ["boot-0", "boot-2", "boot-2"]
    server.on("/v1/events", problem(401))
    with pytest.raises(NotSignedIn):
        next(events)


@pytest.mark.parametrize("text", [b"data: x\n\n", b"data: [1]\n\n", b"data: " + b"x" * 70_000])
def test_a_stream_of_nonsense_is_refused(server, node, text):
    server.on("/v1/events", cut(200, {}, text, 1 << 30))
    with pytest.raises(Malformed):
        next(node.events())


def test_a_stream_that_never_says_anything_is_given_up(server, node):
    server.on("/v1/events", ok(b": nothing\n\n"))
    with pytest.raises(NodeUnreachable, match="the stream ended"):
        next(node.events())
    assert len(server.asked) == 4


def test_a_token_goes_to_its_node_alone(server):
    seen = []
    dialer = Dialer()
    transport = Transport(server.url, "mw_secret", dialer)
    request = transport._http.build_request("GET", "http://elsewhere.example/v1/health")
    for prepared in transport._http.auth.auth_flow(request):
        seen.append(prepared.headers.get("Authorization"))
        break
    transport.close()
    assert seen == [None]
