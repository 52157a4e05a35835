"""From a mail that nobody answers to the agency's folder: real broker, workers and mail server."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from notify.firm import ENDS, Firm, next_day, settled, working_day
from worker.conftest import START

from schemas.dates import format_day
from schemas.events import Allocation, PaymentReceived
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_PROCEDURE = """
kind = "b2b"
min_days_between = 1

[[steps]]
days = 1
channels = ["email"]
template = "friendly_reminder"

[[steps]]
days = 2
channels = ["agency"]
template = "handover"
"""


@pytest.fixture
def agency(tmp_path: Path) -> Path:
    return tmp_path / "agency"


@pytest.fixture
def firm(tmp_path: Path, cache_dir: Path, agency: Path) -> Iterator[Firm]:
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        one = Firm(
            tmp_path,
            kafka.bootstrap_servers,
            _PROCEDURE,
            3,
            HEADROOM_AGENCY_URL=agency.as_uri(),
        )
        yield one
        one.close()


def files(agency: Path, ending: str, number: int) -> list[Path]:
    """So many files with the ending, as soon as they are there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = sorted(agency.glob(f"*{ending}"))
        if len(found) >= number:
            return found
        time.sleep(0.1)
    raise AssertionError(f"only {sorted(agency.iterdir())}")


def told(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_a_claim_goes_to_the_agency_once_and_what_changes_follows_it(
    firm: Firm, agency: Path
) -> None:
    today, tomorrow = working_day(), next_day(working_day())
    firm.desk.start()
    post = firm.post()
    post.start(only="notify")
    firm.desk.wait_until_ready()
    firm.owe(today)
    post.wait_until_ready()
    firm.begin(today)
    firm.told(settled("sent", 3))
    post.terminate()
    assert post.wait(30) == 0, post.log
    firm.begin(tomorrow)
    # Killed when the agency has the file and nobody knows.
    cut_short = firm.post()
    program = f'{ENDS}ends(_Delivery, "finish", after=True)\n{START}'
    cut_short.start(program=program, only="notify")
    assert cut_short.wait(120) == 9, cut_short.log
    post = firm.post()
    post.start(only="notify")
    firm.told(settled("sent", 6))
    found = files(agency, ".zip", 3)
    assert len(found) == 3
    assert [one for one in agency.iterdir() if one.name.startswith(".")] == []

    step_id = f"C-0/{format_day(tomorrow)}/1"
    (path,) = [one for one in found if one.name.startswith("C-0_")]
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        dossier = json.loads(archive.read("dossier.json"))
        assert archive.read("dossier.pdf").startswith(b"%PDF-")
        letter = archive.read(f"{dossier['steps'][0]['letter']}").decode()
    assert dossier["step_id"] == step_id
    assert [one["open"] for one in dossier["invoices"]] == ["121.00"]
    assert [one["outcome"] for one in dossier["steps"]] == ["sent", ""]
    mail = next(one for one in firm.mailroom.box if one["To"] == "c-0@customers.example")
    plain = mail.get_body(("plain",))
    assert plain is not None
    words = plain.get_content().replace("\r\n", "\n")
    assert letter == f"{mail['Subject']}\n\n{words}"

    firm.broker.send(
        PaymentReceived(
            event_id="paid",
            occurred_at=tomorrow * 86_400_000_000,
            customer_id="C-0",
            payment_id="P-0",
            amount=21_00,
            currency="EUR",
            value_on=tomorrow,
            allocations=[Allocation(invoice_id="I-C-0", amount=21_00)],
        )
    )
    (paid,) = files(agency, ".json", 1)
    assert told(paid)["step_id"] == step_id
    assert told(paid)["invoices"] == [
        {"invoice_id": "I-C-0", "open_before": "121.00", "open_after": "100.00"}
    ]
    listed = {one["step_id"]: one for one in json.loads(firm.dunning("list", "--all", "--json"))}
    assert (listed[step_id]["state"], listed[step_id]["amount"]) == ("handed over", "100.00")
    firm.dunning("recall", step_id, "--by", "ann", "--reason", "agreed with the customer")
    *_, recalled = sorted(files(agency, ".json", 2), key=lambda one: "recalled" in one.name)
    assert {name: told(recalled)[name] for name in ("kind", "by", "reason", "step_id")} == {
        "kind": "recalled",
        "by": "ann",
        "reason": "agreed with the customer",
        "step_id": step_id,
    }
    assert firm.run("reconcile") == "0 differences in 3 accounts\n"
    assert 'headroom_letters_total{channel="agency",result="sent"}' in post.get("/metrics")[1]
