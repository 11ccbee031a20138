"""One message to each peer, one back: whoever answers badly costs nobody else anything."""

import httpx

from node.calling.swapping import swap
from node.errors import BadMotion

MOST = 100_000
ANSWERS = {
    "good": httpx.Response(200, content=b"news"),
    "known": httpx.Response(200, content=b"nothing new"),
    "endless": httpx.Response(200, content=b"x" * (MOST + 1)),
    "busy": httpx.Response(503),
    "liar": httpx.Response(200, content=b"malformed"),
}


def exchanged(*names):
    told, heard = [], []

    def answer(request):
        told.append((request.url.host, request.content))
        if request.url.host == "gone":
            raise httpx.ConnectError("refused")
        return ANSWERS[request.url.host]

    def hear(message):
        if message == b"malformed":
            raise BadMotion("no motions")
        heard.append(message)
        return message == b"news"

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        new = swap(http, [f"http://{name}/v1/x" for name in names], b"ours", hear, MOST)
    assert told == [(name, b"ours") for name in names], "every peer is told, whatever those before it did"
    return new, heard


def test_bad_answers_cost_the_others_nothing():
    assert exchanged("gone", "endless", "busy", "liar", "good", "known") == (True, [b"news", b"nothing new"])


def test_nothing_new_is_told_apart():
    assert exchanged("known", "known") == (False, [b"nothing new"] * 2)


def test_an_answer_is_read_up_to_its_bound():
    assert exchanged("endless") == (False, [])
