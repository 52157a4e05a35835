"""The description of the interface for programs: OpenAPI 3.1, made from what the code has.

Events come from their classes and Avro schemas, acts and roles from the tables by which they are
served. `headroom gateway openapi` prints it; `schemas/openapi.json` is that, and a test holds the
two, and the routes, together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from agents.gateway.acts import ACTS, Act
from agents.gateway.callers import ROLES, Action
from agents.gateway.problems import MEDIA_TYPE, PROBLEMS
from agents.gateway.reading import (
    BODY_BYTES_MAX,
    EVENTS,
    JSON,
    KEY_CHARACTERS_MAX,
    PAGE,
    TIMEOUT_BOUNDS,
)
from agents.gateway.shown import NOT_SHOWN
from agents.intake.rules import AMOUNT_MAX, ID_CHARACTERS_MAX
from schemas import events, records
from schemas.events import BY_NAME, CreditLimitAlert, Event, ExposureChanged, OrderDecision
from schemas.fields import Field, fields_of, holds_money

PATH = "/v1/openapi.json"
VERSION = "1"
"""Of the interface: the `/v1/` of its paths."""

Schema: TypeAlias = dict[str, Any]

_PRINTABLE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
_ID: Schema = {
    "type": "string", "minLength": 1, "maxLength": ID_CHARACTERS_MAX, "pattern": _PRINTABLE,
}  # fmt: skip
_TEXT: Schema = {"type": "string"}
_DAY: Schema = {"type": "string", "format": "date"}
_INSTANT: Schema = {
    "type": "string", "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$",
}  # fmt: skip
_AMOUNT: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
_AMOUNT_GIVEN: Schema = {
    "oneOf": [
        {"type": "string", "pattern": r"^[0-9]{1,30}(\.[0-9]{1,4})?$"},
        {"type": "integer", "minimum": 0, "maximum": AMOUNT_MAX},
    ]
}
_INTEGER: Schema = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
_CURRENCY: Schema = {"type": "string", "pattern": "^[A-Z]{3}$"}
_BOOLEAN: Schema = {"type": "boolean"}
_CURRENCIES = {"currency", "base", "quote", "account_currency", "group_currency"}
_UNIT_OF_MONEY = re.compile(r"Unit: minor units of (`\w+`|[^.]+)\.")
_OTHER_UNIT = re.compile(r" ?Unit: (?:microseconds|days) since [^ ]+\.")
_KNOWN_FROM_ELSEWHERE = {"by", "role"}


@dataclass(frozen=True)
class Answer:
    """What comes of a request that is not a problem."""

    status: int
    description: str
    content: Mapping[str, Schema]
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Operation:
    """A route.

    Attributes:
        method, path: of the route.
        name: what generated clients call it.
        tag: under which it stands.
        summary, description: in words.
        action: what the caller must be allowed to do; None: nobody asks who it is.
        parameters: names of `_PARAMETERS`.
        answer: when all is well.
        problems: kinds that can come instead.
        body: what is sent.
        otherwise: an answer that is neither.
    """

    method: str
    path: str
    name: str
    tag: str
    summary: str
    action: Action | None
    parameters: tuple[str, ...]
    answer: Answer
    problems: tuple[str, ...] = ()
    body: Schema | None = None
    description: str = ""
    otherwise: Answer | None = None


def document() -> Schema:
    """All of it."""
    paths: dict[str, Schema] = {}
    problems: dict[str, Schema] = {}
    for operation in operations():
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
        for kinds in _by_status(_problems_of(operation)).values():
            problems[_one_of(kinds)] = _problem_answer(*kinds)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Headroom",
            "version": VERSION,
            "summary": "Real-time credit control: order checks, acts of people, feeds.",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "parameters": {name: dict(one) for name, one in _PARAMETERS.items()},
            "headers": {name: dict(one) for name, one in _HEADERS.items()},
            "responses": dict(sorted(problems.items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key (`headroom gateway key`), or a token of the identity"
                    " provider that HEADROOM_OIDC_ISSUER names.",
                }
            },
        },
    }


def text() -> str:
    """The document as it is kept and served."""
    return msgspec.json.format(msgspec.json.encode(document()), indent=2).decode() + "\n"


_DESCRIPTION = """\
What is decided is decided by the pipeline; this writes events and waits for what comes of them.
Every error is a problem document (RFC 9457). What each role may do stands in `x-headroom-roles` of
each operation. Amounts are decimal strings in the digits of their currency; days are `YYYY-MM-DD`,
times RFC 3339 in UTC. Fields may be added to answers under the same version."""

_TAGS = {
    "orders": "Orders, and what was decided on them",
    "customers": "Customers and their figures",
    "acts": "What people do; each becomes an event, with who did it in which role",
    "feeds": "Events as they come",
    "operation": "For whoever runs it",
}

# ── what is sent and answered ───────────────────────────────────────────────────────────────────


def event_schema(kind: type[Event]) -> Schema:
    """An event as it is answered. What it may leave out is not required."""
    schema = _record_schema(kind, _docs_of(kind.__name__), given=False)
    schema["properties"] = {"type": {"const": kind.__name__}} | schema["properties"]
    schema["required"] = ["type", *schema["required"]]
    return schema


def body_schema(kind: type[Event], elsewhere: Iterable[str]) -> Schema:
    """An event as it is sent, without the fields that are known from elsewhere."""
    left_out = {*elsewhere, *_KNOWN_FROM_ELSEWHERE}
    schema = _record_schema(kind, _docs_of(kind.__name__), given=True)
    properties = {k: v for k, v in schema["properties"].items() if k not in left_out}
    if holds_money(kind) and "currency" not in properties:
        said = "Of the amounts; where it is not said, that of what they are about."
        properties["currency"] = _CURRENCY | {"description": said}
    required = set(schema["required"]) - left_out - {"event_id", "occurred_at"}
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(required),
        "additionalProperties": False,
    }


def _record_schema(record: type[msgspec.Struct], docs: Mapping[str, Any], *, given: bool) -> Schema:
    properties = {}
    for field in fields_of(record):
        doc, inner = docs.get(field.name, ("", {}))
        properties[field.name] = _field_schema(field, inner, given=given) | _said(doc)
    return {
        "type": "object",
        "properties": properties,
        "required": [field.name for field in fields_of(record) if not field.has_default],
    } | ({"additionalProperties": False} if given else {})


def _field_schema(field: Field, inner: Mapping[str, Any], *, given: bool) -> Schema:
    if field.record is not None:
        schema = _record_schema(field.record, inner, given=given)
    elif field.kind == "text":
        schema = _text_schema(field.name if not field.is_list else f"{field.name}_id", given=given)
    else:
        amount = _AMOUNT_GIVEN if given else _AMOUNT
        schema = {
            "minor": amount, "day": _DAY, "instant": _INSTANT, "integer": _INTEGER,
            "boolean": _BOOLEAN,
        }[field.kind]  # fmt: skip
    if field.is_list:
        schema = {"type": "array", "items": schema}
    return _or_null(schema) if field.nullable else dict(schema)


def _text_schema(name: str, *, given: bool) -> Schema:
    if name in _CURRENCIES:
        return _CURRENCY
    is_name = name.endswith("_id") or name in {"by", "confirmed_by", "role"}
    return _ID if given and is_name else _TEXT


def _or_null(schema: Schema) -> Schema:
    if isinstance(schema.get("type"), str):
        return schema | {"type": [schema["type"], "null"]}
    return {"oneOf": [*schema["oneOf"], {"type": "null"}]}


def _docs_of(name: str) -> dict[str, Any]:
    """Of each field what its schema says, and the same for the records in it."""
    return _docs_in(records.current(name))


def _docs_in(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {
        field["name"]: (field.get("doc", ""), _docs_in(inner) if inner else {})
        for field in schema["fields"]
        for inner in [_record_in(field["type"])]
    }


def _record_in(kind: Any) -> Mapping[str, Any] | None:
    """The record that a field's type has in it."""
    if isinstance(kind, list):
        return next(filter(None, map(_record_in, kind)), None)
    if not isinstance(kind, dict):
        return None
    return kind if kind.get("type") == "record" else _record_in(kind.get("items"))


def _said(doc: str) -> Schema:
    """A description in the words of JSON, where units are others."""
    doc = _OTHER_UNIT.sub("", _UNIT_OF_MONEY.sub(r"In \1.", doc)).strip()
    return {"description": doc} if doc else {}


def _shown_customer() -> Schema:
    figures = event_schema(ExposureChanged)
    properties = {k: v for k, v in figures["properties"].items() if k not in NOT_SHOWN}
    required = [name for name in figures["required"] if name not in NOT_SHOWN]
    amount = _or_null(_AMOUNT)
    more: Schema = {
        "changed_at": _INSTANT | _said("When something of the account changed last."),
        "known": _BOOLEAN | _said("Whether there has been a master record."),
        "name": _or_null(_TEXT),
        "segment": _TEXT,
        "account_manager": _or_null(_TEXT),
        "blocked": _BOOLEAN | _said("All new orders are held."),
        "closed": _BOOLEAN,
        "unlimited": _BOOLEAN,
        "prepays": _BOOLEAN,
        "credit_limit_valid_until": _or_null(_DAY),
        "temporary_limit": amount,
        "temporary_limit_until": _or_null(_DAY),
        "alerts_raised": {"type": "array", "items": _TEXT} | _said("Thresholds that are up."),
        "merged_into": _or_null(_TEXT) | _said("The customer that this one became a part of."),
    }
    return {"type": "object", "properties": properties | more, "required": [*required, *more]}


def _kept_order(**more: Schema) -> Schema:
    properties: Schema = {
        "order_id": _TEXT,
        "customer_id": _TEXT,
        "placed_at": _INSTANT,
        "amount": _AMOUNT,
        "currency": _CURRENCY,
        "held_by": _or_null(_TEXT) | _said("The person who holds it, where one does."),
        **more,
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _page_of(name: str, schema: str) -> Schema:
    following = "What `after` is for the next page; null: there is none."
    properties: Schema = {
        name: {"type": "array", "items": _ref(schema), "maxItems": PAGE[1]},
        "next": _or_null(_TEXT) | _said(following),
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _schemas() -> dict[str, Schema]:
    found: dict[str, Schema] = {
        kind.__name__: event_schema(kind) | _said(records.current(kind.__name__)["doc"])
        for kind in (OrderDecision, CreditLimitAlert)
    }
    found["OrderCheck"] = body_schema(events.OrderPlaced, ()) | _said(
        "An order that is about to be taken: an `OrderPlaced`."
    )
    for act in ACTS:
        found[body_name(act)] = body_schema(BY_NAME[act.event], _names_in(act.path)) | _said(
            records.current(act.event)["doc"]
        )
    found["Accepted"] = {
        "type": "object",
        "properties": {
            "event_id": _TEXT | _said("What follows from it has this as its `cause_event_id`."),
            "type": {"enum": sorted({act.event for act in ACTS})},
            "accepted": {"const": True},
        },
        "required": ["event_id", "type", "accepted"],
    }
    found["Order"] = {
        "type": "object",
        "properties": {
            "order_id": _TEXT, "customer_id": _TEXT, "status": _TEXT,
            "decision": _ref("OrderDecision"),
        },
        "required": ["order_id", "customer_id", "status", "decision"],
    }  # fmt: skip
    found["HeldOrder"] = _kept_order(reasons={"type": "array", "items": _TEXT})
    found["KeptOrder"] = _kept_order(
        status=_or_null(_TEXT) | _said("What the last decision said; null before the first."),
        decision_number=_INTEGER,
        deliver_on=_or_null(_DAY),
    )
    found["Customer"] = _shown_customer()
    found["HeldOrders"] = _page_of("orders", "HeldOrder")
    found["KeptOrders"] = _page_of("orders", "KeptOrder")
    found["Customers"] = _page_of("customers", "Customer")
    found["Alerts"] = _page_of("alerts", "CreditLimitAlert")
    found["Problem"] = {
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "properties": {
            "type": {
                "type": "string",
                "enum": [f"urn:headroom:problem:{kind}" for kind in sorted(PROBLEMS)],
            },
            "title": _TEXT,
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": _TEXT,
            "errors": {
                "type": "array",
                "description": "What is wrong with which field of the body.",
                "items": {
                    "type": "object",
                    "properties": {"field": _TEXT, "detail": _TEXT},
                    "required": ["field", "detail"],
                },
            },
        },
        "required": ["type", "title", "status", "detail"],
    }
    return found


_PARAMETERS: dict[str, Schema] = {
    "order_id": {"name": "order_id", "in": "path", "required": True, "schema": _ID},
    "customer_id": {"name": "customer_id", "in": "path", "required": True, "schema": _ID},
    "invoice_id": {"name": "invoice_id", "in": "path", "required": True, "schema": _ID},
    "promise_id": {"name": "promise_id", "in": "path", "required": True, "schema": _ID},
    "alert_id": {"name": "alert_id", "in": "path", "required": True, "schema": _ID},
    "of_customer": {
        "name": "customer_id", "in": "query", "schema": _ID,
        "description": "Only of this customer.",
    },
    "of_one_customer": {
        "name": "customer_id", "in": "query", "schema": _ID, "required": True,
        "description": "Whose.",
    },
    "q": {
        "name": "q", "in": "query", "schema": _ID,
        "description": "Customers whose id begins so; then those whose name, or a word in it, does,"
        " whatever its case.",
    },
    "limit": {
        "name": "limit", "in": "query",
        "schema": {"type": "integer", "minimum": 1, "maximum": PAGE[1], "default": PAGE[0]},
        "description": "Entries of a page, at most.",
    },
    "after": {
        "name": "after", "in": "query", "schema": _TEXT,
        "description": "`next` of the page before.",
    },
    "idempotency_key": {
        "name": "Idempotency-Key", "in": "header",
        "schema": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX},
        "description": "Names the request: sent again with it, it is the same order, and has the"
        " same answer. Without one, customer and order id do.",
    },
    "timeout": {
        "name": "Headroom-Timeout", "in": "header",
        "schema": {"type": "number", "minimum": TIMEOUT_BOUNDS[0], "maximum": TIMEOUT_BOUNDS[1]},
        "description": "Seconds to wait for the decision.",
    },
    "last_event_id": {
        "name": "Last-Event-ID", "in": "header", "schema": _TEXT,
        "description": "`id` of the last event that came: what was missed is sent first.",
    },
}  # fmt: skip

_HEADERS: dict[str, Schema] = {
    "Idempotency-Hit": {
        "description": "The request was made before, and this is its answer.",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "Retry-After": {
        "description": "Seconds after which it may be different.",
        "required": True,
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {
        "description": "How to say who one is (RFC 6750).",
        "required": True,
        "schema": _TEXT,
    },
    "Allow": {
        "description": "What the path can do.",
        "required": True,
        "schema": _TEXT,
    },
}
_ALWAYS = (
    "unauthenticated", "no_role", "forbidden", "not_from_here", "misdirected",
    "too_many_requests", "issuer_away", "failed",
)  # fmt: skip
_OF_BODIES = ("malformed", "too_large", "media_type", "invalid")
_OF_COPIES = ("starting",)


def operations() -> list[Operation]:
    """Every route."""
    return [*_of_orders(), *_of_customers(), *map(_of_act, ACTS), *_of_feeds(), *_of_operation()]


def query_parameters() -> dict[tuple[str, str], frozenset[str]]:
    """The names that a query may have, by method and path."""
    return {
        (operation.method.upper(), operation.path): frozenset(
            _PARAMETERS[one]["name"]
            for one in operation.parameters
            if _PARAMETERS[one]["in"] == "query"
        )
        for operation in operations()
    }


def _of_orders() -> list[Operation]:
    return [
        Operation(
            "post", "/v1/orders/check", "checkOrder", "orders",
            "Whether an order may go on", Action.CHECK_ORDERS, ("idempotency_key", "timeout"),
            Answer(200, "The decision, whether it approves or holds",
                   {JSON: _ref("OrderDecision")}, ("Idempotency-Hit",)),
            (*_OF_BODIES, "key_reused", "in_flight", "order_known", "no_decision", "not_written"),
            _ref("OrderCheck"),
            "The order is placed, and answered with the decision that the pipeline publishes."
            " After 503 `no_decision` it has been placed all the same: the same request sent again"
            " will have the decision.",
        ),
        Operation(
            "get", "/v1/orders/held", "listHeldOrders", "orders",
            "Orders on hold, the oldest first", Action.READ, ("limit", "after"),
            Answer(200, "A page of them, each with why", {JSON: _ref("HeldOrders")}),
            ("malformed", *_OF_COPIES),
        ),
        Operation(
            "get", "/v1/orders", "listOrders", "orders",
            "Orders of a customer that are kept, by their id", Action.READ,
            ("of_one_customer", "limit", "after"),
            Answer(200, "A page of them", {JSON: _ref("KeptOrders")}),
            ("malformed", "unknown", *_OF_COPIES),
            description="An order is kept while it is open, and for some time after that. As of the"
            " last commit.",
        ),
        Operation(
            "get", "/v1/orders/{order_id}", "getOrder", "orders",
            "The last decision on an order", Action.READ, ("order_id", "of_customer"),
            Answer(200, "The order and the decision", {JSON: _ref("Order")}),
            ("malformed", "unknown", "ambiguous"),
        ),
    ]  # fmt: skip


def _of_customers() -> list[Operation]:
    return [
        Operation(
            "get", "/v1/customers", "listCustomers", "customers",
            "Customers, by their id", Action.READ, ("q", "limit", "after"),
            Answer(200, "A page of them", {JSON: _ref("Customers")}),
            ("malformed", *_OF_COPIES),
        ),
        Operation(
            "get", "/v1/customers/{customer_id}", "getCustomer", "customers",
            "Exposure with its parts, limit, headroom and standing", Action.READ, ("customer_id",),
            Answer(200, "The figures, as of the last commit", {JSON: _ref("Customer")}),
            ("unknown", *_OF_COPIES),
        ),
    ]  # fmt: skip


def _name_of(act: Act) -> str:
    """`releaseOrder`, from the path."""
    *_, of, verb = re.sub(r"/\{\w+\}", "", act.path).split("/")
    return verb + of.capitalize()[:-1] if of != f"v{VERSION}" else f"make{verb.capitalize()[:-1]}"


def body_name(act: Act) -> str:
    """What the schema of its body is called: one event may come of several acts."""
    name = _name_of(act)
    return name[0].upper() + name[1:]


def _of_act(act: Act) -> Operation:
    return Operation(
        "post", act.path, _name_of(act), "acts", act.summary, act.action, _names_in(act.path),
        Answer(202, "It is in the journal; what comes of it follows", {JSON: _ref("Accepted")}),
        (*_OF_BODIES, "starting", "not_written"),
        _ref(body_name(act)),
    )  # fmt: skip


def _of_feeds() -> list[Operation]:
    stream = {EVENTS: {"type": "string"}}
    return [
        Operation(
            "get", "/v1/alerts", "listAlerts", "feeds",
            "Limit alerts: a stream of what comes, or pages of what came", Action.READ,
            ("of_customer", "limit", "after", "last_event_id"),
            Answer(200, "Server-sent events; or, for who prefers application/json, a page, the"
                   " newest first", stream | {JSON: _ref("Alerts")}),
            ("malformed", *_OF_COPIES),
        ),
        Operation(
            "get", "/v1/decisions", "streamDecisions", "feeds",
            "Decisions as they come", Action.READ, ("of_customer", "last_event_id"),
            Answer(200, "Server-sent events", stream), ("malformed",),
        ),
    ]  # fmt: skip


def _of_operation() -> list[Operation]:
    plain: dict[str, Schema] = {"text/plain": _TEXT}
    return [
        Operation("get", "/metrics", "getMetrics", "operation", "For Prometheus", None, (),
                  Answer(200, "Metrics", plain)),
        Operation("get", "/livez", "isAlive", "operation", "Whether the process answers", None, (),
                  Answer(200, "It does", plain)),
        Operation("get", "/readyz", "isReady", "operation", "Whether it has read all there was",
                  None, (), Answer(200, "It has", plain),
                  otherwise=Answer(503, "It has not; what is missing", plain)),
        Operation("get", PATH, "getDescription", "operation", "This document", None,
                  (), Answer(200, "OpenAPI 3.1", {JSON: {"type": "object"}})),
    ]  # fmt: skip


# ── how it is written ───────────────────────────────────────────────────────────────────────────


def _operation(operation: Operation) -> Schema:
    answers = filter(None, (operation.answer, operation.otherwise))
    found: Schema = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [{"$ref": f"#/components/parameters/{one}"} for one in operation.parameters],
        "responses": {str(answer.status): _answer(answer) for answer in answers},
        "security": [],
    }
    if operation.description:
        found["description"] = operation.description
    if operation.action is not None:
        action = operation.action
        found["security"] = [{"bearer": []}]
        found["x-headroom-roles"] = [role for role, may in ROLES.items() if action in may]
    if operation.body is not None:
        found["requestBody"] = {
            "required": True,
            "description": f"At most {BODY_BYTES_MAX} bytes.",
            "content": {JSON: {"schema": operation.body}},
        }
    for status, kinds in _by_status(_problems_of(operation)).items():
        found["responses"][str(status)] = {"$ref": f"#/components/responses/{_one_of(kinds)}"}
    return found


def _answer(answer: Answer) -> Schema:
    content = {media: {"schema": schema} for media, schema in answer.content.items()}
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in answer.headers}
    return {"description": answer.description, "content": content} | (
        {"headers": headers} if headers else {}
    )


def _problems_of(operation: Operation) -> tuple[str, ...]:
    always = () if operation.action is None else _ALWAYS
    return (*always, *operation.problems, "no_such_method")


def _one_of(kinds: Iterable[str]) -> str:
    """What an answer that one of these kinds has is called."""
    return "-or-".join(kinds)


def _by_status(kinds: Iterable[str]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for kind in sorted(set(kinds)):
        found.setdefault(PROBLEMS[kind].status, []).append(kind)
    return dict(sorted(found.items()))


def _problem_answer(*kinds: str) -> Schema:
    """The answer of a status, which one of these kinds has."""
    headers = {name for kind in kinds for name in PROBLEMS[kind].headers}
    always = set.intersection(*(set(PROBLEMS[kind].headers) for kind in kinds))
    answer: Schema = {
        "description": "; ".join(f"`{kind}`: {PROBLEMS[kind].when}" for kind in kinds),
        "content": {MEDIA_TYPE: {"schema": _ref("Problem")}},
    }
    if headers:
        answer["headers"] = {
            name: {"$ref": f"#/components/headers/{name}"}
            if name in always
            else _HEADERS[name] | {"required": False}
            for name in sorted(headers)
        }
    return answer


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _names_in(path: str) -> tuple[str, ...]:
    return tuple(re.findall(r"\{(\w+)\}", path))
