"""Every route, on a gateway in memory: who may what, what is refused how, and what is shown."""

from __future__ import annotations

import ast
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError
from gateway.memory import CODEC, NOON, MemoryGateway, customer, order
from gateway.provider import provider
from starlette.routing import Route
from starlette.testclient import TestClient

from agents import gateway as gateway_package
from agents.gateway import app as app_module
from agents.gateway.acts import ACTS, Act
from agents.gateway.alert_book import ALERTS
from agents.gateway.callers import ROLES, Action, Callers
from agents.gateway.issuer import Issuer, open_client
from agents.gateway.problems import MEDIA_TYPE, PROBLEMS
from agents.gateway.reading import BODY_BYTES_MAX, wants_json
from streams.record import Record

JSON = {"Content-Type": "application/json"}


@pytest.fixture
def there(tmp_path: Path) -> Iterator[MemoryGateway]:
    one = MemoryGateway(tmp_path)
    yield one
    one.close()


@pytest.fixture
def client(there: MemoryGateway) -> Iterator[TestClient]:
    with there.served() as one:
        yield one


def is_problem(answer: Any, status: int, kind: str) -> None:
    """It is one, as it is described."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    told = answer.json()
    assert told["type"] == f"urn:headroom:problem:{kind}"
    assert (told["status"], told["status"]) == (status, PROBLEMS[kind].status)
    assert told["title"]
    assert told["detail"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    for header in PROBLEMS[kind].headers:
        assert header in answer.headers
    assert "Traceback" not in answer.text
    assert "agents." not in answer.text


# ── who may what ────────────────────────────────────────────────────────────────────────────────

BODIES: dict[str, dict[str, Any]] = {
    "OrderPlaced": {"customer_id": "C-1", "order_id": "O-9", "amount": "1.00", "currency": "EUR"},
    "OrderReleased": {"customer_id": "C-1", "reason": "paid"},
    "OrderHeld": {"customer_id": "C-1", "reason": "wait"},
    "CustomerBlocked": {"reason": "r"},
    "CustomerUnblocked": {"reason": "r"},
    "CreditLimitChanged": {"credit_limit": "5.00"},
    "InvoiceDisputed": {"customer_id": "C-1", "dispute_id": "D-1", "reason": "r"},
    "AlertAcknowledged": {"customer_id": "C-1", "reason": "called"},
    "AlertSnoozed": {"customer_id": "C-1", "until": "2026-03-02T17:00:00Z"},
    "PromiseToPayMade": {
        "customer_id": "C-1", "invoice_ids": ["I-1"], "amount": "1.00", "promised_on": "2026-04-01",
    },
}  # fmt: skip


def body_for(act: Act) -> dict[str, Any]:
    """One that can be used, without what its path has."""
    return {k: v for k, v in BODIES[act.event].items() if f"{{{k}}}" not in act.path}


READS = [
    "/v1/orders/held",
    "/v1/orders?customer_id=C-1",
    "/v1/orders/O-1",
    "/v1/customers",
    "/v1/customers/C-1",
    "/v1/alerts",
    "/v1/decisions",
]
ROUTES: list[tuple[str, str, Action, dict[str, Any] | None]] = [
    ("POST", "/v1/orders/check", Action.CHECK_ORDERS, BODIES["OrderPlaced"]),
    *(("GET", path, Action.READ, None) for path in READS),
    *(
        ("POST", act.path.replace("{", "").replace("}", ""), act.action, body_for(act))
        for act in ACTS
    ),
]
OPEN = ["/metrics", "/livez", "/readyz", "/v1/openapi.json"]
NOBODY: list[dict[str, str]] = [
    {},
    {"Authorization": "Bearer hr_wrong"},
    {"Authorization": "Bearer"},
    {"Authorization": "Basic YTpi"},
    {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
    {"Authorization": "Bearer " + "x" * 30_000},
    {"Cookie": "session=hr_wrong"},
]


def is_page(path: str) -> bool:
    """It is for people, in a browser, and has tests of its own."""
    return path == "/" or path.startswith("/console")


def test_the_routes_are_all_of_them(there: MemoryGateway) -> None:
    served = {
        (method, route.path)
        for route in there.app.routes
        if isinstance(route, Route) and route.methods and not is_page(route.path)
        for method in route.methods - {"HEAD"}
    }
    tried = {(method, path.partition("?")[0]) for method, path, *_ in ROUTES}
    tried |= {("GET", path) for path in OPEN}
    assert {(method, path.replace("{", "").replace("}", "")) for method, path in served} == {
        (m, p.replace("O-1", "order_id").replace("C-1", "customer_id")) for m, p in tried
    }


def test_each_role_may_do_what_is_its_own_on_each_route_and_nobody_anything(
    there: MemoryGateway, client: TestClient
) -> None:
    there.happen(customer("C-1"), order("C-1", "O-1", 5_00))
    for method, path, action, body in ROUTES:
        for headers in NOBODY:
            answer = client.request(method, path, json=body, headers=headers)
            is_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer ")
        for role, actions in ROLES.items():
            before = len(there.written)
            answer = client.request(method, path, json=body, headers=there.bearer(role))
            if action in actions:
                assert answer.status_code in {200, 202}, (method, path, role, answer.text)
            else:
                is_problem(answer, 403, "forbidden")
                assert len(there.written) == before
    for path in OPEN:
        assert client.get(path).status_code == 200


def test_who_did_it_is_the_callers_affair(there: MemoryGateway, client: TestClient) -> None:
    there.happen(customer("C-1"))
    for act in ACTS:
        path = act.path.replace("{", "").replace("}", "")
        for field in ("by", "role", "type"):
            body = body_for(act) | {field: "boss"}
            answer = client.post(path, json=body, headers=there.bearer("admin"))
            is_problem(answer, 422, "invalid")
            assert answer.json()["errors"][0]["field"] == field
    assert there.written == []


# ── what cannot be read ─────────────────────────────────────────────────────────────────────────

BAD_BODIES: list[tuple[bytes, str, int, str]] = [
    (b"", "application/json", 400, "malformed"),
    (b"{", "application/json", 400, "malformed"),
    (b"\xff\xfe{}", "application/json", 400, "malformed"),
    (b"[]", "application/json", 400, "malformed"),
    (b'"text"', "application/json", 400, "malformed"),
    (b"null", "application/json", 400, "malformed"),
    (b"{}{}", "application/json", 400, "malformed"),
    (b'{"reason": NaN}', "application/json", 400, "malformed"),
    (b'{"reason": 1, "reason": 2}', "application/json", 400, "malformed"),
    (b"[" * 60_000, "application/json", 400, "malformed"),
    (b'{"a":' * 9_000, "application/json", 400, "malformed"),
    (b"{" + b" " * BODY_BYTES_MAX + b"}", "application/json", 413, "too_large"),
    (b"{}", "text/xml", 415, "media_type"),
    (b"a=b", "application/x-www-form-urlencoded", 415, "media_type"),
    (b"{}", "multipart/form-data; boundary=x", 415, "media_type"),
    (b"{}", "application/json; charset=utf-8", 422, "invalid"),
    (b'{"surprise": 1}', "application/json", 422, "invalid"),
    (b'{"reason": "\\ud800"}', "application/json", 422, "invalid"),
    (b'{"occurred_at": "yesterday"}', "application/json", 422, "invalid"),
    (b'{"event_id": ""}', "application/json", 422, "invalid"),
    (b'{"customer_id": {"$ne": 1}}', "application/json", 422, "invalid"),
    (b'{"amount": 1e400}', "application/json", 422, "invalid"),
    (b'{"amount": ' + b"9" * 5_000 + b"}", "application/json", 400, "malformed"),
    (b'{"customer_id": "' + b"x" * 60_000 + b'"}', "application/json", 422, "invalid"),
]


def test_no_body_that_cannot_be_used_gets_anywhere(
    there: MemoryGateway, client: TestClient
) -> None:
    for method, path, _, sent in ROUTES:
        if sent is None:
            continue
        for body, kind, status, problem in BAD_BODIES:
            headers = there.bearer("admin") | {"Content-Type": kind}
            answer = client.request(method, path, content=body, headers=headers)
            assert (path, body[:40], answer.status_code) == (path, body[:40], status)
            is_problem(answer, status, problem)
    assert there.written == []


def test_a_body_that_does_not_say_how_long_it_is_is_bounded_too(
    there: MemoryGateway, client: TestClient
) -> None:
    chunks = (b" " * 10_000 for _ in range(100))
    answer = client.post("/v1/orders/check", content=chunks, headers=there.bearer("admin") | JSON)
    is_problem(answer, 413, "too_large")


NO_PARAMETERS = [
    "/v1/customers?limit=0", "/v1/customers?limit=501", "/v1/customers?limit=x",
    "/v1/customers?limit=-1", "/v1/customers?limit=%D9%A3",
    f"/v1/customers?limit={'9' * 5_000}",
    "/v1/customers?limit=", "/v1/customers?limit=1.0",
    "/v1/customers?after=%20", "/v1/customers?after=AAAA", "/v1/customers?after=W10=",
    "/v1/customers?after=WyJhIiwxXQ==", "/v1/customers?q=", "/v1/customers?q=%00",
    "/v1/customers?q=%0A", f"/v1/customers?q={'x' * 201}", "/v1/customers?q=%20",
    "/v1/orders", "/v1/orders?customer_id=", "/v1/orders?customer_id=a&after=e30=",
    "/v1/orders/held?after=IiI=", "/v1/orders/held?after=%ff",
    "/v1/orders/O-1?customer_id=", "/v1/orders/O-1?customer_id=%01",
    "/v1/decisions?customer_id=",
]  # fmt: skip


def test_a_parameter_that_is_none_is_refused(there: MemoryGateway, client: TestClient) -> None:
    for path in NO_PARAMETERS:
        is_problem(client.get(path, headers=there.bearer("viewer")), 400, "malformed")


def test_a_cursor_that_is_none_is_refused(there: MemoryGateway, client: TestClient) -> None:
    for path in ("/v1/alerts", "/v1/decisions"):
        for cursor in ("", "x", "0", "0:-1", "0:1,", "0:99999999999999999999", "\u0663:1"):
            headers: Any = {**there.bearer("viewer"), "Last-Event-ID": cursor.encode()}
            is_problem(client.get(path, headers=headers), 400, "malformed")


def test_a_header_that_is_none_is_refused(there: MemoryGateway, client: TestClient) -> None:
    wrong = [("Headroom-Timeout", one) for one in ("soon", "0", "31", "inf", "nan", "-1", "")]
    wrong += [("Idempotency-Key", one) for one in ("k" * 256, "", "a\tb")]
    for name, value in wrong:
        headers = there.bearer("order-system") | {name: value}
        answer = client.post("/v1/orders/check", json=BODIES["OrderPlaced"], headers=headers)
        is_problem(answer, 400, "malformed")
    assert there.written == []


def test_what_there_is_not_is_told(there: MemoryGateway, client: TestClient) -> None:
    viewer = there.bearer("viewer")
    for path in ("/v1/orders/none", "/v1/customers/none", "/v1/orders?customer_id=none"):
        is_problem(client.get(path, headers=viewer), 404, "unknown")
    for path in ("/elsewhere", "/v1", "/v1/", "/v1/nothing", "/v1/orders/a/b", "/v1/customers/"):
        is_problem(client.get(path, headers=viewer), 404, "no_such_path")
    wrong = [
        ("DELETE", "/v1/customers/C-1"), ("POST", "/v1/alerts"), ("PUT", "/v1/orders/check"),
        ("GET", "/v1/orders/O-1/release"),
    ]  # fmt: skip
    for method, path in wrong:
        is_problem(client.request(method, path, headers=viewer), 405, "no_such_method")


def test_an_id_may_have_a_slash_and_anything_else_in_it(
    there: MemoryGateway, client: TestClient
) -> None:
    admin = there.bearer("admin")
    for name, shown in (("2026%2F001", "2026/001"), ("%C3%A9%20%3F%25", "é ?%")):
        there.happen(customer(shown, 1_00), order(shown, shown, 5_00))
        assert client.get(f"/v1/customers/{name}", headers=admin).json()["customer_id"] == shown
        assert client.get(f"/v1/orders/{name}", headers=admin).json()["order_id"] == shown
        body = {"customer_id": shown, "reason": "paid"}
        told = client.post(f"/v1/orders/{name}/release", json=body, headers=admin)
        assert told.status_code == 202, told.text
        assert there.written[-1].order_id == shown  # type: ignore[attr-defined]
        assert client.get(f"/v1/orders?customer_id={name}", headers=admin).json()["orders"]


# ── what fails ──────────────────────────────────────────────────────────────────────────────────


def test_what_has_not_been_read_yet_is_not_answered(
    there: MemoryGateway, client: TestClient
) -> None:
    there.is_behind = True
    there.be_ready(ready=False)
    paths = ["/v1/orders/held", "/v1/orders?customer_id=C", "/v1/customers", "/v1/customers/C"]
    for path in [*paths, "/v1/customers?q=x"]:
        is_problem(client.get(path, headers=there.bearer("viewer")), 503, "starting")
    headers = there.bearer("viewer") | {"Accept": "application/json"}
    is_problem(client.get("/v1/alerts", headers=headers), 503, "starting")
    ready = client.get("/readyz")
    assert (ready.status_code, ready.text.count("being read")) == (503, 4)


def test_brokers_that_do_not_take_it(there: MemoryGateway, client: TestClient) -> None:
    there.happen(customer("C-1"))
    there.fault = KafkaError(KafkaError._MSG_TIMED_OUT)
    for method, path, _, body in ROUTES:
        if body is not None:
            answer = client.request(method, path, json=body, headers=there.bearer("admin"))
            is_problem(answer, 503, "not_written")


def test_no_decision_in_time(there: MemoryGateway, client: TestClient) -> None:
    there.happen(customer("C-1"))
    there.decides = False
    headers = there.bearer("order-system") | {"Headroom-Timeout": "0.05"}
    answer = client.post("/v1/orders/check", json=BODIES["OrderPlaced"], headers=headers)
    is_problem(answer, 503, "no_decision")


def test_a_bug_of_ours_says_nothing_to_a_client(
    there: MemoryGateway, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(there, "place_of", fails)
    answer = client.get("/v1/customers/C-1", headers=there.bearer("viewer"))
    is_problem(answer, 500, "failed")
    assert "secret" not in answer.text


def test_every_problem_is_described_and_there_is_no_other() -> None:
    """As the code makes them: the kind and its status."""
    made = set()
    for path in Path(gateway_package.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Problem":
                status, kind = node.args[:2]
                if isinstance(status, ast.Constant) and isinstance(kind, ast.Constant):
                    made.add((kind.value, status.value))
    made |= {("no_such_path", 404), ("no_such_method", 405)}  # made of what the router raises
    assert made == {(name, kind.status) for name, kind in PROBLEMS.items()}


# ── without keys ────────────────────────────────────────────────────────────────────────────────


OPENS: list[tuple[str, dict[str, str], bool]] = [
    ("GET", {"Host": "127.0.0.1:6068"}, True),
    ("GET", {"Host": "localhost:6068"}, True),
    ("GET", {"Host": "[::1]:6068"}, True),
    ("GET", {"Host": "gateway.localhost"}, True),
    ("GET", {"Host": "rebound.example:6068"}, False),
    ("GET", {"Host": "127.0.0.1.rebound.example"}, False),
    ("GET", {"Host": "[::1"}, False),
    ("GET", {"Host": ""}, False),
    ("GET", {"Host": "127.0.0.1", "Sec-Fetch-Site": "cross-site"}, True),
    ("POST", {"Host": "127.0.0.1"}, True),
    ("POST", {"Host": "127.0.0.1", "Sec-Fetch-Site": "same-origin"}, True),
    ("POST", {"Host": "127.0.0.1", "Sec-Fetch-Site": "cross-site"}, False),
    ("POST", {"Host": "127.0.0.1", "Sec-Fetch-Site": "same-site"}, False),
]


def test_without_keys_it_is_open_to_this_machine_and_not_to_pages_of_others(
    there: MemoryGateway,
) -> None:
    there.callers = Callers(None)
    there.happen(customer("C-1"), order("C-1", "O-1", 5_00))
    body = {"customer_id": "C-1", "reason": "r"}
    with there.served() as client:
        for method, headers, opens in OPENS:
            there.written.clear()
            if method == "GET":
                answer = client.get("/v1/customers/C-1", headers=headers)
            else:
                answer = client.post("/v1/orders/O-1/hold", json=body, headers=headers)
            if opens:
                assert answer.status_code in {200, 202}, headers
            else:
                is_foreign = "Sec-Fetch-Site" in headers
                is_problem(
                    answer, *((403, "not_from_here") if is_foreign else (421, "misdirected"))
                )
                assert there.written == []


# ── pages ───────────────────────────────────────────────────────────────────────────────────────


def pages(
    client: TestClient, path: str, name: str, headers: dict[str, str], limit: int
) -> list[list[dict[str, Any]]]:
    found, after = [], ""
    while True:
        mark = "&" if "?" in path else "?"
        answer = client.get(f"{path}{mark}limit={limit}{after}", headers=headers)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append(page[name])
        if page["next"] is None:
            return found
        after = f"&after={page['next']}"


def test_customers_come_in_pages_by_their_id(there: MemoryGateway, client: TestClient) -> None:
    ids = [f"C-{n}" for n in range(7)] + ["D", "É"]
    there.happen(*(customer(one, name=f"Firm {one}") for one in reversed(ids)))
    there.happen(*(order("C-1", f"O-{n}", 1_00) for n in range(20)))
    viewer = there.bearer("viewer")
    for limit in (1, 2, 9, 500):
        found = pages(client, "/v1/customers", "customers", viewer, limit)
        assert [one["customer_id"] for page in found for one in page] == ids
        assert all(len(page) <= limit for page in found)
    first = client.get("/v1/customers/C-1", headers=viewer).json()
    assert first["name"] == "Firm C-1"
    assert first == client.get("/v1/customers?q=C-1", headers=viewer).json()["customers"][0]


def test_customers_are_found_by_the_start_of_id_or_name(
    there: MemoryGateway, client: TestClient
) -> None:
    there.happen(
        customer("B-1", name="Bakkerij Jansen B.V."), customer("B-2", name="jansen & Jansen"),
        customer("JAN-3", name="Other"), customer("Z-4", name="Ｊａｎ  Straße"),
        customer("Z-5", name=None), customer("Z-6", name="Pietersen"),
    )  # fmt: skip
    there.happen(customer("Z-6", name="Janus"))

    def found(text: str, limit: int = 500) -> list[str]:
        got = pages(client, f"/v1/customers?q={text}", "customers", there.bearer("viewer"), limit)
        return [one["customer_id"] for page in got for one in page]

    for limit in (1, 2, 500):
        assert found("JAN", limit) == ["JAN-3", "Z-4", "B-2", "B-1", "Z-6"]
    assert found("jansen") == ["B-2", "B-1"]
    assert found("jansen b") == ["B-1"]
    assert found("STRASSE") == ["Z-4"]
    assert found("Pieter") == []
    assert found("nobody") == []
    assert found("Z-") == ["Z-4", "Z-5", "Z-6"]


def test_orders_of_a_customer_come_in_pages(there: MemoryGateway, client: TestClient) -> None:
    there.happen(customer("C-1"), customer("C-10"), order("C-10", "O-0", 1_00))
    there.happen(*(order("C-1", f"O-{n}", 300_00) for n in range(5)))
    found = pages(client, "/v1/orders?customer_id=C-1", "orders", there.bearer("viewer"), 2)
    shown = [one for page in found for one in page]
    assert [one["order_id"] for one in shown] == [f"O-{n}" for n in range(5)]
    assert [one["status"] for one in shown] == ["approved"] * 3 + ["held"] * 2
    assert shown[0] == {
        "order_id": "O-0", "customer_id": "C-1", "placed_at": "2026-02-16T12:00:00Z",
        "amount": "300.00", "currency": "EUR", "held_by": None, "status": "approved",
        "decision_number": 1, "deliver_on": None,
    }  # fmt: skip
    held = client.get("/v1/orders/held", headers=there.bearer("viewer")).json()["orders"]
    assert [one["order_id"] for one in held] == ["O-3", "O-4"]
    assert held[0]["reasons"] == ["credit_limit_exceeded"]


def test_alerts_come_in_pages_the_newest_first(there: MemoryGateway, client: TestClient) -> None:
    there.happen(customer("C-1", 100_00), customer("C-2", 100_00))
    for n in range(6):
        there.happen(order(f"C-{n % 2 + 1}", f"O-{n}", 30_00, NOON + n))
    headers = there.bearer("viewer") | {"Accept": "application/json"}
    every = client.get("/v1/alerts?limit=500", headers=headers)
    assert every.headers["vary"] == "Accept"
    alerts = every.json()["alerts"]
    assert len(alerts) == 4
    there.happen(*(order("C-1", f"P-{n}", 1, NOON + 10 + n) for n in range(3)))
    seen = [one["occurred_at"] for one in alerts]
    assert seen == sorted(seen, reverse=True)
    for limit in (1, 2, 500):
        got = pages(client, "/v1/alerts", "alerts", headers, limit)
        assert [one for page in got for one in page][-4:] == alerts
    mine = pages(client, "/v1/alerts?customer_id=C-2", "alerts", headers, 1)
    assert [one["customer_id"] for page in mine for one in page] == ["C-2"] * 2


def test_an_alert_that_comes_once_more_after_a_crash_is_one(
    there: MemoryGateway, client: TestClient
) -> None:
    there.happen(customer("C-1", 100_00), order("C-1", "O-1", 95_00))
    headers = there.bearer("viewer") | {"Accept": "application/json"}
    alerts = client.get("/v1/alerts", headers=headers).json()["alerts"]
    assert alerts
    for one in there.alert_book.page(500, None, None):
        there.alert_book.take([Record(ALERTS, 0, 10**6, 0, b"k", CODEC.encode(one), [])])
    assert client.get("/v1/alerts", headers=headers).json()["alerts"] == alerts


@pytest.mark.parametrize(
    ("accept", "json_page"),
    [
        ("", False), ("*/*", False), ("text/event-stream", False), ("application/json", True),
        ("application/json, text/plain, */*", True), ("text/*, application/json;q=0.5", False),
        ("application/json, text/event-stream", False),
        ("application/json;q=0.9, text/event-stream;q=0.1", True),
        ("text/html,application/xhtml+xml,*/*;q=0.8", False), ("APPLICATION/JSON", True),
        ("application/json;q=x", False), (",;,", False), ("application/*", True),
    ],
)  # fmt: skip
def test_a_page_is_for_who_would_rather_have_one(accept: str, json_page: bool) -> None:
    assert wants_json(accept) is json_page


def test_a_feed_is_a_feed(there: MemoryGateway, client: TestClient) -> None:
    for path in ("/v1/alerts", "/v1/decisions"):
        answer = client.get(path, headers=there.bearer("viewer"))
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.text == "retry: 2000\n\n: still here\n\n"


def test_a_feed_ends_with_the_token_for_which_it_was_opened(
    there: MemoryGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider() as one:
        there.callers = Callers(None, Issuer(one.terms, open_client()))
        headers = {"Authorization": f"Bearer {one.token()}"}
        with there.served() as client:
            assert client.get("/v1/decisions", headers=headers).text.endswith("still here\n\n")
            later = time.time() + 400
            monkeypatch.setattr(
                app_module, "time", SimpleNamespace(time=lambda: later, perf_counter=lambda: 0.0)
            )
            assert client.get("/v1/decisions", headers=headers).text == "retry: 2000\n\n"


def test_orders_that_several_customers_have(there: MemoryGateway, client: TestClient) -> None:
    for one in ("C-1", "C-2"):
        there.happen(customer(one), order(one, "O-1", 5_00))
    viewer = there.bearer("viewer")
    is_problem(client.get("/v1/orders/O-1", headers=viewer), 409, "ambiguous")
    found = client.get("/v1/orders/O-1?customer_id=C-2", headers=viewer).json()
    assert (found["customer_id"], found["status"]) == ("C-2", "approved")


def test_the_same_request_is_one_order(there: MemoryGateway, client: TestClient) -> None:
    there.happen(customer("C-1"))
    headers = there.bearer("order-system") | {"Idempotency-Key": "k"}
    first = client.post("/v1/orders/check", json=BODIES["OrderPlaced"], headers=headers)
    again = client.post("/v1/orders/check", json=BODIES["OrderPlaced"], headers=headers)
    assert first.json() == again.json()
    assert ("idempotency-hit" in first.headers, again.headers["idempotency-hit"]) == (False, "true")
    other = BODIES["OrderPlaced"] | {"amount": "2.00"}
    is_problem(client.post("/v1/orders/check", json=other, headers=headers), 422, "key_reused")
    bare = there.bearer("admin")
    is_problem(client.post("/v1/orders/check", json=other, headers=bare), 409, "order_known")
    assert len(there.written) == 1
