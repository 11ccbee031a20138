"""Ranges and conditional requests for blobs (RFC 9110, sections 13 and 14)."""

import pytest
from fastapi.testclient import TestClient

from node.api.routes.blobs import WHOLE_BYTES
from node.storage import FileStore
from tests.storage.serving import app_over

DATA = bytes(range(256)) * 8192  # 2 MiB: streamed
SIZE = len(DATA)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return FileStore(tmp_path_factory.mktemp("blobs"))


@pytest.fixture(scope="module")
def url(store):
    assert SIZE > WHOLE_BYTES
    return f"/v1/blobs/{store.put(DATA)}"


@pytest.fixture(scope="module")
def client(store):
    return TestClient(app_over(store))


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=1000000-", 1_000_000, SIZE),
        ("bytes=-500", SIZE - 500, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
        (f"bytes={SIZE - 1}-{SIZE + 100}", SIZE - 1, SIZE),
        ("bytes=1-1900000", 1, 1_900_001),
    ],
)
def test_a_range_is_those_bytes(client, url, asked, start, stop):
    answer = client.get(url, headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.content == DATA[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_what_lies_beyond_is_416(client, url, asked):
    answer = client.get(url, headers={"Range": asked})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert answer.headers["content-type"] == "application/problem+json"
    assert "etag" not in answer.headers, "the refusal is not the blob, and no cache may keep it as such"


def test_no_shared_cache_keeps_what_took_credentials(client, url):
    """RFC 9111, 3.5: `public` would let a proxy hand it to callers without any."""
    assert client.get(url).headers["cache-control"] == "private, max-age=31536000, immutable"


@pytest.mark.parametrize(
    "asked", ["bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=a-b", "", "bytes=0x1-2"]
)
def test_other_ranges_are_answered_whole(client, url, asked):
    answer = client.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, DATA)


def test_parts_put_together_are_the_whole(client, url):
    parts = [client.get(url, headers={"Range": f"bytes={at}-{at + 299_999}"}).content for at in range(0, SIZE, 300_000)]
    assert b"".join(parts) == DATA


def test_what_the_caller_has_is_not_sent_again(client, url):
    tag = client.get(url).headers["etag"]
    for header in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        answer = client.get(url, headers={"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
    assert client.get(url, headers={"If-None-Match": '"other"'}).status_code == 200


def test_an_empty_blob_has_no_range(client, store):
    empty = f"/v1/blobs/{store.put(b'')}"
    assert client.get(empty).content == b""
    assert client.get(empty, headers={"Range": "bytes=0-"}).status_code == 416


def test_a_range_of_a_damaged_blob_is_refused(client, store):
    data = DATA + b"damaged later"
    cid = store.put(data)
    [path] = store.root.rglob(cid)
    path.write_bytes(data[:-1] + b"!")
    assert client.get(f"/v1/blobs/{cid}", headers={"Range": "bytes=0-9"}).status_code == 503
