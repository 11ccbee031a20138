"""The plan in force over HTTP: settings, what it means for the present members, when the next round is opened."""

from __future__ import annotations

from node.api.shapes_plans import PlanShape
from node.planning.words import explain


def test_the_plan_in_force_is_explained(client, service, net):
    found = client.get("/v1/plan").json()
    explained = explain(net.plan, len(service.view.members))
    assert (found["source"], found["digest"]) == ("round", net.plan.digest.hex())
    assert found["plan"] == net.plan.model_dump(mode="json")
    assert found["facts"] == explained.facts.to_json()
    assert {part["about"]: tuple(part["sentences"]) for part in found["parts"]} == dict(explained.parts)
    assert any("protects nothing" in warning for warning in found["warnings"])
    assert PlanShape.model_validate_json(client.get("/v1/plan").content).next_round.new_data == ()


def test_it_says_when_the_next_round_is_opened(client, service):
    following = client.get("/v1/plan").json()["next_round"]
    assert (following["at"], following["paused"], following["new_data"]) == (None, False, [])
    assert following["why"]
    service.planning.orders.pause()
    try:
        assert client.get("/v1/plan").json()["next_round"]["paused"] is True
    finally:
        service.planning.orders.resume()
