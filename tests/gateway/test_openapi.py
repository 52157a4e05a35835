"""The description of the interface: it is what is served, and the gateway keeps to it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from gateway.memory import HEADERS, MemoryGateway, customer, order
from gateway.test_routes import is_page
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from starlette.routing import Route

import schemas
from agents.gateway.acts import ACTS
from agents.gateway.callers import ROLES, Action
from agents.gateway.openapi import PATH, body_name, document, text
from agents.gateway.problems import PROBLEMS
from schemas.events import BY_NAME
from schemas.fields import field_names

KEPT = Path(schemas.__path__[0]) / "openapi.json"
EXAMPLES = int(os.environ.get("HEADROOM_TEST_EXAMPLES", "8"))
"""Of each operation; a long run takes some thousands."""


@pytest.fixture
def there(tmp_path: Path) -> Iterator[MemoryGateway]:
    one = MemoryGateway(tmp_path)
    for n in range(1, 4):
        one.happen(customer(f"C-{n}", 100_00, name=f"Firm {n}"), order(f"C-{n}", f"O-{n}", 95_00))
        one.happen(order(f"C-{n}", f"H-{n}", 95_00))
    yield one
    one.close()


def test_it_is_valid_and_the_one_that_is_kept() -> None:
    """`headroom gateway openapi > schemas/openapi.json` writes it anew."""
    validate(document())
    assert KEPT.read_text(encoding="utf-8") == text()


def test_it_describes_every_route_and_no_other(there: MemoryGateway) -> None:
    served = {
        (method.lower(), route.path)
        for route in there.app.routes
        if isinstance(route, Route) and route.methods and not is_page(route.path)
        for method in route.methods - {"HEAD"}
    }
    described = {
        (method, path) for path, methods in document()["paths"].items() for method in methods
    }
    assert described == served


def test_it_says_who_may_what() -> None:
    paths = document()["paths"]
    for act in ACTS:
        roles = paths[act.path]["post"]["x-headroom-roles"]
        assert roles == [role for role, may in ROLES.items() if act.action in may]
    for path, methods in paths.items():
        for operation in methods.values():
            asks = operation["security"] == [{"bearer": []}]
            assert asks == ("x-headroom-roles" in operation) == ("401" in operation["responses"])
            if path.startswith("/v1/") and path != PATH:
                assert asks
    assert "viewer" in paths["/v1/customers"]["get"]["x-headroom-roles"]
    assert Action.READ


def test_names_that_clients_are_made_of_are_there_once() -> None:
    operations = [one for methods in document()["paths"].values() for one in methods.values()]
    names = [one["operationId"] for one in operations]
    assert len(set(names)) == len(names)
    assert all(name.isalpha() for name in names)
    assert {"checkOrder", "releaseOrder", "makePromise", "disputeInvoice"} <= set(names)


def test_every_problem_can_come_of_something() -> None:
    said = json.dumps(document()["components"]["responses"])
    for kind in PROBLEMS.keys() - {"no_such_path"}:
        assert f"`{kind}`" in said


def test_a_body_has_the_fields_of_its_event_but_what_is_known_already() -> None:
    bodies = document()["components"]["schemas"]
    for act in ACTS:
        body = bodies[body_name(act)]
        known = {"by", "role"} | {
            one.strip("{}") for one in act.path.split("/") if one.startswith("{")
        }
        properties = set(body["properties"]) - {"currency"}
        assert properties == field_names(BY_NAME[act.event]) - known
        assert {"event_id", "occurred_at"}.isdisjoint(body["required"])
    assert bodies["OrderDecision"]["properties"]["exposure_after"]["description"] == (
        "The account's exposure after. In `account_currency`."
    )


def test_it_is_served_to_anybody(there: MemoryGateway) -> None:
    with there.served() as client:
        answer = client.get(PATH)
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == text()


CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            # What a schema cannot say of a body (a currency that there is, a limit that is not
            # passed) is told as 422, and ids that nobody has as 404.
            "positive_data_acceptance": {"expected-statuses": ["2xx", 400, 404, 409, 422]},
            # Answers where nobody asks who it is would be noticed by the matrix of test_routes.
            "ignored_auth": {"enabled": False},
        },
        "generation": {"with-security-parameters": False},
    }
)


ENDLESS = ("GET", "/v1/decisions")
"""What it sends, the tests of feeds see."""
PATHS = [
    (method.upper(), path)
    for path, methods in document()["paths"].items()
    for method in methods
    if (method.upper(), path) != ENDLESS
]


def test_the_gateway_keeps_to_it(there: MemoryGateway) -> None:
    described = schemathesis.openapi.from_asgi(PATH, there.app, config=CONFIG, headers=HEADERS)
    for method, path in PATHS:
        operation = described[path][method]
        keeps_to_it(there, operation, GenerationMode.POSITIVE)
        if document()["paths"][path][method.lower()]["parameters"]:  # else nothing can be wrong
            keeps_to_it(there, operation, GenerationMode.NEGATIVE)


def keeps_to_it(there: MemoryGateway, operation: Any, mode: GenerationMode) -> None:
    """Whatever is sent, right or wrong: what comes is as described."""

    @given(case=operation.as_strategy(generation_mode=mode), known=st.booleans())
    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    def sent(case: schemathesis.Case[Any], known: bool) -> None:
        if known and mode is GenerationMode.POSITIVE:  # nobody comes upon an id that there is
            for name, value in (("customer_id", "C-1"), ("order_id", "H-1")):
                if name in case.path_parameters:
                    case.path_parameters[name] = value
            if isinstance(case.body, dict) and isinstance(case.body.get("customer_id"), str):
                case.body = case.body | {"customer_id": "C-1"}
        headers = HEADERS | there.bearer("admin")
        if case.path == "/v1/alerts":
            headers["Accept"] = "application/json"
        case.call_and_validate(headers=headers)

    sent()


def test_amounts_that_are_taken_are_described(there: MemoryGateway) -> None:
    """A long run found one beyond what the description allowed."""
    largest = {"customer_id": "C-1", "dispute_id": "D", "reason": "r", "amount": 10**13}
    with there.served() as client:
        path, headers = "/v1/invoices/I-1/dispute", there.bearer("admin")
        assert client.post(path, json=largest, headers=headers).status_code == 202
        beyond = largest | {"amount": 10**15 + 1}
        assert client.post(path, json=beyond, headers=headers).status_code == 422
    body = document()["components"]["schemas"]["DisputeInvoice"]
    number = next(one for one in body["properties"]["amount"]["oneOf"] if one["type"] == "integer")
    assert number["maximum"] == 10**15
