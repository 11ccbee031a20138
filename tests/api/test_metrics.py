"""Figures for Prometheus: true, few, and about nobody's images."""

from __future__ import annotations

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dag.bodies import Kind
from node.api.metrics import BUCKETS


@pytest.fixture
def figures(client):
    """By name and labels."""

    def read():
        answer = client.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        families = list(text_string_to_metric_families(answer.text))
        assert all(family.documentation for family in families)
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    return read


def value(figures, name, **labels):
    return figures[name, frozenset(labels.items())]


def test_figures_are_the_nodes(client, figures, service):
    found = figures()
    rows = client.get("/v1/transactions?limit=500").json()["transactions"]
    for kind in Kind:
        expected = sum(row["kind"] == kind for row in rows)
        assert value(found, "medweave_ledger_transactions", kind=str(kind)) == expected
    assert value(found, "medweave_rounds", status="finalised") == 1
    assert value(found, "medweave_rounds", status="aborted") == value(found, "medweave_rounds", status="open") == 0
    assert value(found, "medweave_members") == 4
    assert value(found, "medweave_epoch_active") == 1
    assert value(found, "medweave_round") == 1
    assert value(found, "medweave_round_phase", phase="done") == 1
    assert value(found, "medweave_round_phase", phase="train") == 0
    assert value(found, "medweave_ledger_tips") == client.get("/v1/transactions/tips").json()["count"]
    assert [value(found, "medweave_reputation", seat=str(seat)) for seat in range(4)] == [100] * 4
    assert value(found, "process_resident_memory_bytes") > 0
    assert value(found, "medweave_training_seconds") == service.journal.recall(1, "training")["seconds"]


def test_calls_are_counted_by_route_not_by_what_was_asked(client, figures):
    labels = {"method": "GET", "route": "/v1/rounds/{number}"}
    before = figures()
    for number in (1, 9, 10):
        client.get(f"/v1/rounds/{number}")
    client.get("/v1/nonsense/of/somebody")
    client.request("BREW", "/v1/rounds")
    after = figures()

    def grown(name, **more):
        key = name, frozenset((labels | more).items())
        return after[key] - before.get(key, 0)

    assert grown("medweave_http_requests_total", status="2xx") == 1
    assert grown("medweave_http_requests_total", status="4xx") == 2
    assert grown("medweave_http_request_seconds_count") == 3
    assert grown("medweave_http_request_seconds_bucket", le=str(float(BUCKETS[-1]))) == 3
    routes = {dict(labels).get("route") for name, labels in after}
    assert "none" in routes
    assert not any(route and "nonsense" in route for route in routes)
    methods = {dict(labels).get("method") for _, labels in after}  # of all tests in this process
    assert "other" in methods
    assert methods <= {None, "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}


def test_there_are_few_and_none_names_anybody(client, figures, service):
    client.get("/v1/blobs/nonsense")
    client.get("/metrics")
    before = figures()
    for number in range(40):
        client.get(f"/v1/blobs/nonsense-{number}")
    found = figures()
    assert found.keys() == before.keys(), "another name made another series"
    text = client.get("/metrics").text
    for hospital in service.view.hospitals:
        assert hospital.name not in text
        assert hospital.account not in text
    assert str(service.home.root) not in text
    names = {name for name, _ in found if not name.startswith("process_")}
    assert all(re.fullmatch(r"medweave(_[a-z]+)+", name) for name in names)
