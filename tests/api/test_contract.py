"""Schemathesis holds the application to its own description: statuses, media types, bodies, headers, bad input refused."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks as openapi

from node.api.app import create_app
from tests.api.access.support import bearer

CHECKS = [
    not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.response_headers_conformance,
    openapi.negative_data_rejection,
    openapi.unsupported_method,
]


@schemathesis.serializer("application/vnd.ipld.dag-cbor")
def as_bytes(_context, value):
    """A body that is bytes already, good or bad."""
    return value if isinstance(value, bytes) else str(value).encode()


ENDLESS = "/v1/events"
HONEST = {"/v1/ready"}
"""May say 503 of itself: that is its answer."""


def broken_promises(schema, headers, examples, **transport):
    """What of the description does not hold, a text for each finding."""
    found = []
    for operation in (result.ok() for result in schema.get_all_operations()):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.explicit, Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def holds(case):
                assume(all(value != [] for value in (case.query or {}).values()))  # an empty list is sent as nothing
                honest = operation.path in HONEST  # noqa: B023  (called at once)
                case.call_and_validate(checks=CHECKS[honest:], headers=headers, **transport)

            try:
                holds()
            except FailureGroup as group:
                found += [f"{operation.label}: {failure}" for failure in group.exceptions]
            except Unsatisfiable:
                continue  # nothing to get wrong: a route without parameters
            except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001  (told with the others)
                found.append(f"{operation.label}: {type(error).__name__}: {error}")
    return found


def test_the_application_does_as_it_says(service):
    headers = bearer(service.access)
    schema = schemathesis.openapi.from_asgi("/openapi.json", create_app(service), headers=headers)
    found = broken_promises(schema.exclude(path=ENDLESS), headers, 5)
    assert found == [], "\n\n".join(found)
