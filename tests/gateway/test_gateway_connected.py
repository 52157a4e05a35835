"""Two gateways, a worker and a real broker: one order whatever is sent twice, no made-up answer
whatever is killed, and nobody does what they may not.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import urllib3
from gateway.provider import AUDIENCE, EC, Provider, provider
from gateway.provider import ROLES as PROVIDERS_ROLES
from worker.conftest import Broker, WorkerProcess, free_port
from worker.test_worker_process import customer

from agents.gateway.callers import ROLES, entry_of, new_key
from schemas.catalogue import DEAD_LETTERS, JOURNAL, topic_of
from schemas.events import CreditLimitAlert, CustomerBlocked, OrderDecision
from schemas.json_lines import to_payload
from streams.embedded.kafka import EmbeddedKafka
from streams.log_reader import open_readers

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_HTTP = urllib3.PoolManager(num_pools=4, maxsize=64, retries=False)
_PATIENCE = 60.0


class GatewayProcess:
    """`headroom gateway`."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.url = f"http://127.0.0.1:{environment['HEADROOM_GATEWAY_PORT']}"
        self.log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agents.cli.main", "gateway"],
                env=environment, stdout=out, stderr=out,
            )  # fmt: skip

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            assert time.monotonic() < deadline, self.log.read_text()
            assert self._process.poll() is None, self.log.read_text()
            try:
                if _HTTP.request("GET", f"{self.url}/readyz").status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.1)

    def stop(self) -> int:
        self._process.terminate()
        return self._process.wait(30)


class Firm:
    """An installation with callers of every role."""

    def __init__(self, home: Path, bootstrap: str, oidc: Provider) -> None:
        self.oidc = oidc
        self.broker = Broker(bootstrap)
        self.keys = {role: new_key() for role in ROLES}
        keys = home / "keys.toml"
        keys.write_text("".join(entry_of(f"a-{r}", (r,), key) for r, key in self.keys.items()))
        common = {k: v for k, v in os.environ.items() if not k.startswith("HEADROOM_")} | {
            "HEADROOM_KAFKA_BOOTSTRAP": bootstrap,
            "HEADROOM_REPLICATION_FACTOR": "1",
            "HEADROOM_MIN_INSYNC_REPLICAS": "1",
            "HEADROOM_STATE_DIR": str(home / "state"),
            "HEADROOM_GATEWAY_KEYS": str(keys),
            "HEADROOM_OIDC_ISSUER": oidc.issuer,
            "HEADROOM_OIDC_AUDIENCE": AUDIENCE,
            "HEADROOM_OIDC_ROLES": json.dumps(PROVIDERS_ROLES),
            "HEADROOM_OIDC_ROLES_CLAIM": "realm_access.roles",
            "HEADROOM_CLOCK": "replayed",
        }
        self.worker = WorkerProcess(
            common | {"HEADROOM_WEB_PORT": str(free_port())}, home / "worker.log"
        )
        self.worker.start()
        self.worker.wait_until_ready()
        self.gateways = [
            GatewayProcess(
                common | {"HEADROOM_WORKER_NAME": name, "HEADROOM_GATEWAY_PORT": str(free_port())},
                home / f"{name}.log",
            )
            for name in ("one", "two")
        ]
        for gateway in self.gateways:
            gateway.wait_until_ready()

    def ask(
        self, path: str, body: Any = None, *, role: str | None = "admin", at: int = 0,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, Any]:  # fmt: skip
        """Status, body and headers of an answer."""
        sent = dict(headers or {})
        if role is not None:
            sent["Authorization"] = f"Bearer {self.keys[role]}"
        raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if raw is not None:
            sent.setdefault("Content-Type", "application/json")
        verb = "GET" if body is None else "POST"
        answer = _HTTP.request(verb, self.gateways[at].url + path, body=raw, headers=sent)
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.status, json.loads(answer.data) if is_json else answer.data, answer.headers

    def order(
        self, customer_id: str, order_id: str, amount: str, *, key: str = "", at: int = 0,
        seconds: str = "20",
    ) -> Any:  # fmt: skip
        body = {
            "customer_id": customer_id, "order_id": order_id, "amount": amount, "currency": "EUR",
        }  # fmt: skip
        headers = {"Headroom-Timeout": seconds} | ({"Idempotency-Key": key} if key else {})
        return self.ask("/v1/orders/check", body, role="order-system", at=at, headers=headers)

    def events(self, topic: str) -> list[Any]:
        """All that is readable in a topic now."""
        config = {"bootstrap.servers": self.broker.bootstrap}
        return [
            self.broker.codec.decode(record.value)
            for reader in open_readers(config, topic)
            for record in reader
        ]

    def dead_letters(self) -> int:
        readers = open_readers({"bootstrap.servers": self.broker.bootstrap}, DEAD_LETTERS)
        return sum(len(list(reader)) for reader in readers)

    def close(self) -> None:
        self.worker.kill()
        ended = [gateway.stop() for gateway in self.gateways]
        assert set(ended) <= {0, -15}, ended
        for gateway in self.gateways:
            assert "Traceback" not in gateway.log.read_text()


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[Firm]:
    home = tmp_path_factory.mktemp("gateway")
    with provider() as oidc, EmbeddedKafka(home / "kafka", cache=cache_dir) as kafka:
        one = Firm(home, kafka.bootstrap_servers, oidc)
        yield one
        one.close()


def known(firm: Firm, customer_id: str, limit: int) -> None:
    """A customer whom the gateways know, too."""
    firm.broker.send(customer(customer_id, limit), customer_id)
    firm.broker.flush()
    deadline = time.monotonic() + _PATIENCE
    while firm.ask(f"/v1/customers/{customer_id}")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_fifty_at_once_on_two_gateways_are_one_order_and_one_answer(firm: Firm) -> None:
    known(firm, "F-1", 1_000_00)
    with ThreadPoolExecutor(50) as pool:
        answers = list(
            pool.map(
                lambda n: firm.order("F-1", "O-1", "600.00", at=n % 2, key="one"),
                range(50),
            )
        )
    assert {status for status, _, _ in answers} == {200}
    decisions = [one for one in firm.events(topic_of("OrderDecision")) if one.order_id == "O-1"]
    assert len({one.event_id for one in decisions}) == 1
    assert all(body == to_payload(decisions[0]) for _, body, _ in answers)
    assert any("Idempotency-Hit" in headers for _, _, headers in answers)
    later = firm.order("F-1", "O-1", "600.00", at=1, key="one")
    assert (later[0], later[1]) == (200, answers[0][1])
    assert firm.order("F-1", "O-1", "601.00", at=1, key="one")[0] == 422
    assert firm.order("F-1", "O-1", "601.00", key="two")[1]["type"].endswith("known")
    assert firm.dead_letters() == 0


def test_an_order_is_held_seen_and_released_by_who_may(firm: Firm) -> None:
    known(firm, "H-1", 1_000_00)
    assert firm.order("H-1", "O-big", "5000.00")[1]["decision"] == "held"
    deadline = time.monotonic() + _PATIENCE
    while True:
        status, held, _ = firm.ask("/v1/orders/held?limit=500", role="viewer")
        assert status == 200
        mine = [one for one in held["orders"] if one["order_id"] == "O-big"]
        if mine:  # the copy of the state hears of it with the next commit
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert mine[0]["reasons"] == ["credit_limit_exceeded"]

    body = {"customer_id": "H-1", "reason": "paid by phone"}
    status, told, _ = firm.ask("/v1/orders/O-big/release", body, role="manager")
    assert (status, told["type"]) == (202, "OrderReleased")
    deadline = time.monotonic() + _PATIENCE
    while (shown := firm.ask("/v1/orders/O-big", role="viewer")[1])["status"] != "released":
        assert time.monotonic() < deadline, shown
        time.sleep(0.05)
    assert shown["decision"]["by"] == "a-manager"
    assert shown["decision"]["cause_event_id"] == told["event_id"]

    limit = {"credit_limit": "9000.00"}
    assert firm.ask("/v1/customers/H-1/limit", limit, role="manager")[0] == 202
    while firm.ask("/v1/customers/H-1", role="viewer")[1]["credit_limit"] != "9000.00":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_held_orders_come_in_pages_the_oldest_first(firm: Firm) -> None:
    known(firm, "P-1", 1_00)
    for n in range(5):
        assert firm.order("P-1", f"O-page-{n}", "50.00")[0] == 200
    seen, after = [], ""
    deadline = time.monotonic() + _PATIENCE
    while True:
        status, page, _ = firm.ask(f"/v1/orders/held?limit=2{after}", role="viewer")
        assert status == 200
        seen += [one["order_id"] for one in page["orders"]]
        if page["next"] is not None:
            after = f"&after={page['next']}"
        elif [one for one in seen if one.startswith("O-page")] == [f"O-page-{n}" for n in range(5)]:
            break
        else:
            seen, after = [], ""  # the copy had not heard of all of them
            assert time.monotonic() < deadline, seen
    assert len(seen) == len(set(seen))


def test_a_person_with_a_token_does_what_they_may_on_any_gateway(firm: Firm) -> None:
    known(firm, "T-1", 1_000_00)

    def asked(path: str, token: str, body: Any = None, at: int = 0) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        status, told, _ = firm.ask(path, body, role=None, at=at, headers=headers)
        return status, told

    for at in (0, 1):
        manager = firm.oidc.token(preferred_username="anna@firm.example", sub=f"s-{at}")
        status, told = asked("/v1/customers/T-1/block", manager, {"reason": "r"}, at)
        assert (status, told["type"]) == (202, "CustomerBlocked")
        deadline = time.monotonic() + _PATIENCE
        while f"sub:s-{at}" not in (log := firm.gateways[at].log.read_text()):
            assert time.monotonic() < deadline
        (line,) = (one for one in log.splitlines() if f"sub:s-{at}" in one)
        assert "CustomerBlocked" in line
        assert told["event_id"] in line
        assert "anna" not in log
    deadline = time.monotonic() + _PATIENCE
    while not asked("/v1/customers/T-1", manager)[1]["blocked"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    journal = [one for one in firm.events(JOURNAL) if isinstance(one, CustomerBlocked)]
    assert {one.by for one in journal if one.customer_id == "T-1"} == {"anna@firm.example"}

    for token in (firm.oidc.token(exp=1), firm.oidc.token(aud="x"), firm.oidc.token()[:-9]):
        assert asked("/v1/customers/T-1", token)[0] == 401
    nobody = firm.oidc.token(realm_access={"roles": ["cleaner"]})
    assert asked("/v1/customers/T-1", nobody)[0] == 403
    firm.oidc.keys.append(EC)
    deadline = time.monotonic() + _PATIENCE
    while (status := asked("/v1/customers", firm.oidc.token(EC, {"alg": "ES256"}))[0]) != 200:
        assert status == 401  # it asked for keys a moment ago
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_customers_orders_and_alerts_come_in_pages(firm: Firm) -> None:
    for n in range(5):
        known(firm, f"L-{n}", 100_00)
        assert firm.order(f"L-{n}", f"L-order-{n}", "95.00")[0] == 200
    page = firm.ask("/v1/customers?q=L-&limit=3", role="viewer")[1]
    rest = firm.ask(f"/v1/customers?q=L-&limit=3&after={page['next']}", role="viewer", at=1)[1]
    shown = page["customers"] + rest["customers"]
    assert [one["customer_id"] for one in shown] == [f"L-{n}" for n in range(5)]
    assert rest["next"] is None
    deadline = time.monotonic() + _PATIENCE
    headers = {"Accept": "application/json"}
    while True:
        orders = firm.ask("/v1/orders?customer_id=L-3", role="viewer", at=1)[1]["orders"]
        path = "/v1/alerts?customer_id=L-3"
        alerts = firm.ask(path, role="viewer", at=1, headers=headers)[1]["alerts"]
        if orders and alerts:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [(one["order_id"], one["status"]) for one in orders] == [("L-order-3", "approved")]
    assert [one["threshold"] for one in alerts] == ["0.90", "0.80"]


def listened(
    firm: Firm, path: str, events: int, at: int = 0, cursor: str | None = None
) -> list[list[str]]:
    """The first events of a feed, each as its lines."""
    sent = {} if cursor is None else {"Last-Event-ID": cursor}
    sent["Authorization"] = f"Bearer {firm.keys['viewer']}"
    answer = _HTTP.request(
        "GET", firm.gateways[at].url + path, headers=sent, preload_content=False, timeout=_PATIENCE
    )
    assert answer.status == 200
    found: list[list[str]] = []
    text = ""
    deadline = time.monotonic() + _PATIENCE
    for chunk in answer.stream(None):  # something comes every 15 seconds, events or not
        assert time.monotonic() < deadline, found
        text += chunk.decode()
        *whole, text = text.split("\n\n")
        found += [lines for one in whole if len(lines := one.splitlines()) == 3]
        if len(found) >= events:
            break
    answer.close()
    return found


def test_a_client_of_a_feed_goes_on_where_it_left_off_on_another_gateway(firm: Firm) -> None:
    known(firm, "S-1", 1_000_00)
    with ThreadPoolExecutor(1) as pool:
        live = pool.submit(listened, firm, "/v1/decisions?customer_id=S-1", 2)
        for n in count():  # until the client listens
            firm.order("S-1", f"S-{n}", "0.01")
            if live.done():
                break
        first = live.result(_PATIENCE)
    assert all(event == "event: OrderDecision" for _, event, _ in first)
    assert firm.order("S-1", "S-last", "950.00")[0] == 200
    cursor = first[0][0].removeprefix("id: ")
    rest = listened(firm, "/v1/decisions?customer_id=S-1", 2, at=1, cursor=cursor)
    ids = [json.loads(data.removeprefix("data: "))["order_id"] for _, _, data in first + rest]
    assert ids[1] == ids[2]  # the second of the first look is the first of the next
    missed = [
        one.order_id
        for one in firm.events(topic_of("OrderDecision"))
        if isinstance(one, OrderDecision) and one.customer_id == "S-1"
    ]
    at = missed.index(ids[0])
    assert [ids[0], *ids[2:]] == missed[at : at + len(rest) + 1]

    alerts = [a for a in firm.events(topic_of("CreditLimitAlert")) if a.customer_id == "S-1"]
    assert alerts
    told = listened(firm, "/v1/alerts?customer_id=S-1", 1, cursor="0:0,1:0,2:0,3:0")
    assert isinstance(alerts[0], CreditLimitAlert)
    assert json.loads(told[0][2].removeprefix("data: ")) == to_payload(alerts[0])


def test_no_answer_is_made_up_while_the_worker_is_killed(firm: Firm) -> None:
    """Who gets none in time asks again with the same key, until there is one."""
    known(firm, "K-1", 500_00)
    answers: dict[str, Any] = {}
    statuses: list[int] = []

    def buy(n: int) -> None:
        order_id = f"K-{n}"
        deadline = time.monotonic() + _PATIENCE
        while True:
            status, body, _ = firm.order(
                "K-1", order_id, "10.00", at=n % 2, key=order_id, seconds="0.5"
            )
            statuses.append(status)
            if status == 200:
                answers[order_id] = body
                return
            assert status in {409, 429, 503}, body
            assert time.monotonic() < deadline
            time.sleep(0.1)

    with ThreadPoolExecutor(16) as pool:
        bought = [pool.submit(buy, n) for n in range(60)]
        bought[20].result(_PATIENCE)
        firm.worker.kill()
        bought += [pool.submit(buy, n) for n in range(60, 120)]
        time.sleep(1.5)
        firm.worker.start()
        for one in bought:
            one.result(_PATIENCE)
    firm.worker.wait_until_ready()
    assert 503 in statuses
    first = {
        one.order_id: to_payload(one)
        for one in firm.events(topic_of("OrderDecision"))
        if one.customer_id == "K-1" and one.decision_number == 1
    }
    assert first == answers
    approved = [one for one in answers.values() if one["decision"] == "approved"]
    assert len(approved) == 50  # of 10 each, on a limit of 500


def test_what_it_does_is_counted(firm: Firm) -> None:
    text = firm.ask("/metrics", role=None)[1].decode()
    assert 'headroom_http_requests_total{route="/v1/orders/check",status="200"}' in text
    assert firm.ask("/livez", role=None)[0] == 200
    assert firm.ask("/nowhere", role=None)[0] == 404
    assert firm.ask("/v1/orders/check/x/y", role=None)[0] == 404
