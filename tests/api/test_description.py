"""The description of the API is whole: names, examples, roles, the guide."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import jsonschema_rs
import pytest

from node.api.access.roles import PEOPLE, Role
from node.api.access.table import TABLE
from node.api.openapi import example
from tools.reference.api import described, operations

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
PEOPLES = frozenset(PEOPLE)
WORDS = {
    "anyone": {Role.ANYONE},
    "all people": PEOPLES,
    "staff": PEOPLES - {Role.CLINICIAN},
    **{str(role): {role} for role in Role},
}


@pytest.fixture(scope="module")
def document():
    return described()


def test_operations_have_names_of_their_own(document):
    names = Counter(operation["operationId"] for _, operation in operations(document))
    assert [name for name, count in names.items() if count > 1] == []
    assert all(re.fullmatch(r"(get|list|post|delete|head|predict)(_[a-z]+)*", name) for name in names), names


def test_every_operation_says_what_it_is_and_for_whom(document):
    for name, operation in operations(document):
        assert operation["summary"], name
        assert operation["x-roles"] == sorted(map(str, TABLE[name].who)), name
        assert (operation["security"] == []) == (Role.ANYONE in TABLE[name].who), name
        assert all(parameter["description"] for parameter in operation.get("parameters", ())), name
        problems = [status for status, one in operation["responses"].items() if status[0] in "45" and status != "416"]
        for status in problems:
            content = operation["responses"][status]["content"]
            assert "application/problem+json" in content or name == "GET /v1/ready", (name, status)


def test_examples_fit_their_schemas(document):
    schemas = document["components"]["schemas"]
    assert len(schemas) > 30
    for name, schema in schemas.items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}
        errors = list(jsonschema_rs.Draft202012Validator(whole).iter_errors(example(schema, schemas)))
        assert errors == [], (name, errors)


def test_answers_as_json_have_a_form(document):
    bare = [
        name
        for name, operation in operations(document)
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        and (media := answer.get("content", {}).get("application/json"))
        and "$ref" not in media["schema"]
        and name not in {"POST /v1/motions", "POST /v1/notices", "GET /v1/models/{model}/card"}
    ]
    assert bare == []


def test_the_guide_has_every_route_and_its_roles(document):
    rows = dict(re.findall(r"^\| `([A-Z]+ /\S*)` \| .* \| ([\w, ]+) \|$", GUIDE.read_text(), re.MULTILINE))
    assert rows.keys() == {name for name, _ in operations(document)}
    for name, words in rows.items():
        said = set().union(*(WORDS[word] for word in words.split(", ")))
        assert said == TABLE[name].who, name
