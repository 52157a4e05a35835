"""One line for each change, or try at one; and nothing in it that is nobody's business."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError
from gateway.memory import MemoryGateway, customer, order
from gateway.provider import provider
from gateway.test_routes import BODIES, body_for
from observed.canaries import Canaries, leaks

from agents.gateway.acts import ACTS
from agents.gateway.callers import Callers, entry_of, hash_of, new_key, read_keys
from agents.gateway.issuer import Issuer, open_client
from streams.logs import JsonLines, TextLines

AUDIT = "agents.gateway.audit"


@pytest.fixture
def there(tmp_path: Path) -> Iterator[MemoryGateway]:
    one = MemoryGateway(tmp_path)
    one.happen(customer("C-1"), order("C-1", "O-1", 5_00))
    yield one
    one.close()


class Lines(logging.Handler):
    """What was logged, as objects and as text."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.said: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = JsonLines().format(record)
        self.text += f"{line}\n{TextLines().format(record)}\n"
        if record.name == AUDIT:
            self.said.append(json.loads(line))

    def last(self) -> dict[str, Any]:
        """The last line of the audit, without what any line has."""
        return {k: v for k, v in self.said[-1].items() if k not in ("time", "message", "level")}


@pytest.fixture
def lines() -> Iterator[Lines]:
    one = Lines()
    logging.getLogger().addHandler(one)
    yield one
    logging.getLogger().removeHandler(one)


def test_each_act_has_a_line(there: MemoryGateway, lines: Lines) -> None:
    who = f"key:{hash_of(there.keys['admin'])[:12]}"
    with there.served() as client:
        for act in ACTS:
            path = act.path.replace("{", "").replace("}", "")
            told = client.post(path, json=body_for(act), headers=there.bearer("admin")).json()
            said = lines.last()
            assert said.pop("account") in {"C-1", "customer_id"}
            said.pop("order_id", None)
            assert said == {
                "logger": AUDIT, "act": act.event, "who": who, "role": "admin",
                "result": "accepted", "event_id": told["event_id"],
            }  # fmt: skip
    assert len(lines.said) == len(ACTS)


def test_so_has_what_was_not_done_and_why(there: MemoryGateway, lines: Lines) -> None:
    body = {"customer_id": "C-1", "reason": "r"}

    def result(role: str, sent: dict[str, Any] = body) -> tuple[str, str, str | None]:
        client.post("/v1/orders/O-1/release", json=sent, headers=there.bearer(role))
        said = lines.last()
        return said["result"], said["role"], said.get("event_id")

    with there.served() as client:
        assert result("viewer") == ("forbidden", "viewer", None)
        assert result("manager", {}) == ("invalid", "manager", None)
        there.fault = KafkaError(KafkaError._MSG_TIMED_OUT)
        outcome, _, event_id = result("manager")
        assert (outcome, event_id) == ("not_written", there.written[-1].event_id)
        before = len(lines.said)
        client.post("/v1/orders/O-1/release", json=body)
        client.get("/v1/customers/C-1", headers=there.bearer("viewer"))
        assert len(lines.said) == before  # nobody did anything


def test_an_order_has_one_when_it_is_placed(there: MemoryGateway, lines: Lines) -> None:
    with there.served() as client:
        headers = there.bearer("order-system") | {"Headroom-Timeout": "0.05"}

        def result(**more: str) -> tuple[str, str]:
            client.post("/v1/orders/check", json=BODIES["OrderPlaced"] | more, headers=headers)
            said = lines.last()
            return said["result"], said["event_id"]

        assert result() == ("accepted", there.written[-1].event_id)
        assert result()[0] == "repeated"
        there.decides = False
        assert result(order_id="O-10") == ("no_decision", there.written[-1].event_id)
        assert lines.last()["order_id"] == "O-10"


def test_the_line_leads_to_the_key(there: MemoryGateway, lines: Lines, tmp_path: Path) -> None:
    """And does not say what it is called."""
    key = new_key()
    path = tmp_path / "keys.toml"
    path.write_text(entry_of("Anna van Dijk", ("manager",), key))
    there.callers = Callers(read_keys(path.read_text(), "keys"))
    with there.served() as client:
        client.post(
            "/v1/customers/C-1/block", json={"reason": "r"},
            headers={"Authorization": f"Bearer {key}"},
        )  # fmt: skip
    who = lines.last()["who"].removeprefix("key:")
    (entry,) = tomllib.loads(path.read_text())["keys"]
    assert entry["sha256"].startswith(who)
    assert "Anna" not in lines.text
    assert key not in lines.text


def test_a_token_is_known_by_its_subject(there: MemoryGateway, lines: Lines) -> None:
    with provider() as one:
        there.callers = Callers(None, Issuer(one.terms, open_client()))
        token = one.token(preferred_username="anna.van.dijk", email="anna@firm.example")
        with there.served() as client:
            path = "/v1/customers/C-1/block"
            headers = {"Authorization": f"Bearer {token}"}
            assert client.post(path, json={"reason": "r"}, headers=headers).status_code == 202
            forged = {"Authorization": f"Bearer {token[:-8]}"}
            assert client.post(path, json={"reason": "r"}, headers=forged).status_code == 401
            assert client.get("/v1/customers/C-1").status_code == 401
    assert there.written[-1].by == "anna.van.dijk"  # type: ignore[attr-defined]
    assert lines.last()["who"] == "sub:0d3c-77"
    assert "anna" not in lines.text
    assert token not in lines.text


def test_nothing_else_of_what_is_sent_is_in_the_log(
    there: MemoryGateway, lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    canaries = Canaries()
    caplog.set_level(logging.DEBUG, "agents")
    with there.served() as client:
        for act in ACTS:
            path = act.path.replace("{", "").replace("}", "")
            for broken in (None, *body_for(act)):
                body = {
                    name: canaries.word(f"{act.event}.{name}")
                    if name in (broken, "reason")
                    else value
                    for name, value in body_for(act).items()
                }
                if broken in ("customer_id", "dispute_id", "invoice_ids"):
                    continue  # ids may stand there
                body["confirmed_by"] = canaries.word(f"{act.event}.confirmed_by")
                body["amount"] = "76543.21"
                client.post(path, json=body, headers=there.bearer("admin"))
                raw = canaries.word("a body that is none").encode()
                client.post(path, content=raw, headers=there.bearer("admin"))
            word = canaries.word("a header")
            client.get("/v1/customers", headers={"Authorization": f"Bearer {word}"})
            client.get(f"/v1/customers?q={word}&{word}=1", headers=there.bearer("viewer"))
    assert lines.said
    assert leaks(lines.text, canaries.put) == []


def test_it_is_written_whatever_the_level_is() -> None:
    """In a process of its own: the log is all of a process's."""
    program = f"""
import logging
from agents.gateway import audit
from streams.logs import set_up_log
from streams.settings import Settings
set_up_log(Settings(log_level="error", log_format="json"))
logging.getLogger({AUDIT!r}).info("said")
logging.getLogger("agents.gateway.app").warning("not said")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    (line,) = ended.stderr.decode().splitlines()
    assert json.loads(line)["message"] == "said"
