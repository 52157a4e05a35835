"""A dossier tells what is owed and why, and all that was done about it."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from typing import Any

import msgspec
import pytest
from handover.claims import Collected, owing

from agents.handover.archive import archive_of, page_of
from agents.handover.carrier import file_name
from agents.handover.dossier import Dossier
from schemas import events as ev


@pytest.fixture(scope="module")
def collected() -> Collected:
    return Collected(owing())


@pytest.fixture(scope="module")
def dossier(collected: Collected) -> Dossier:
    return collected.dossier()


def columns(rows: list[Any], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(row, name) for name in names) for row in rows]


def test_what_is_asked_is_what_the_step_says_line_by_line(dossier: Dossier) -> None:
    assert (dossier.principal, dossier.interest, dossier.costs) == ("450.00", "3.78", "67.50")
    assert dossier.total == dossier.claim["total"] == "521.28"
    assert [one["amount"] for one in dossier.claim["interest"]] == ["3.78"]


def test_what_is_open_is_what_was_billed_less_what_was_credited_and_paid(dossier: Dossier) -> None:
    assert columns(dossier.invoices, "invoice_id", "amount", "credited", "paid", "open") == [
        ("I-2", "500.00", "50.00", "0.00", "450.00")
    ]


def test_every_payment_of_the_customer_is_there_with_what_became_of_it(dossier: Dossier) -> None:
    assert columns(dossier.payments, "payment_id", "invoice_id", "for_invoice", "status") == [
        ("P-3", "I-3", "80.00", "cleared"),
        ("P-1", "I-1", "250.00", "reversed on 2024-10-04: charge-back"),
        ("P-2", "I-1", "100.00", "cleared"),
    ]


def test_steps_have_their_outcome_and_the_file_with_their_words(dossier: Dossier) -> None:
    assert columns(dossier.steps, "level", "channel", "to", "outcome", "letter") == [
        (1, "email", "ap@bakker.example", "sent", "letters/01-2024-10-07-email.txt"),
        (2, "email", "ap@bakker.example", "sent", "letters/02-2024-10-14-email.txt"),
        (3, "agency", "", "", ""),
    ]


def test_disputes_and_contacts_are_those_of_the_claim(dossier: Dossier) -> None:
    assert columns(dossier.disputes, "invoice_id", "amount", "outcome") == [
        ("I-2", "9.00", "rejected")
    ]
    assert columns(dossier.contacts, "email") == [("oud@bakker.example",), ("ap@bakker.example",)]


def test_a_promise_for_a_claimed_invoice_is_there_with_how_it_ended() -> None:
    journal = owing()
    journal.say(
        ev.PromiseToPayMade, promise_id="R-2", invoice_ids=["I-2"], amount=450_00,
        promised_on=journal.today + 2,
    )  # fmt: skip
    assert columns(
        Collected(journal).dossier().promises, "promise_id", "instalments", "status"
    ) == [("R-2", "2024-10-06: 450.00", "broken")]


def test_after_a_merger_the_claim_has_what_belonged_to_the_other_customer() -> None:
    journal = owing()
    journal.customer(None, "C-2", country="NL", segment="strict", email="c2@bakker.example")
    journal.say(
        ev.InvoiceIssued, "C-2", invoice_id="I-2", amount=700_00, currency="EUR",
        issued_on=journal.today, due_on=journal.today,
    )  # fmt: skip
    journal.say(
        ev.PaymentReceived, "C-2", payment_id="P-9", amount=30_00, currency="EUR",
        value_on=journal.today, allocations=[ev.Allocation(invoice_id="I-2", amount=30_00)],
    )  # fmt: skip
    journal.say(ev.CustomersMerged, merged_customer_id="C-2", by="ann", reason="one firm")
    dossier = Collected(journal).dossier()
    assert columns(dossier.invoices, "invoice_id", "amount", "paid", "open") == [
        ("C-2/I-2", "700.00", "30.00", "670.00"),
        ("I-2", "500.00", "0.00", "450.00"),
    ]
    assert ("P-9", "C-2/I-2", "30.00") in columns(
        dossier.payments, "payment_id", "invoice_id", "for_invoice"
    )


def test_the_page_names_the_laws_and_says_what_there_is_none_of(dossier: Dossier) -> None:
    page = page_of(dossier)
    assert "art. 6:119a" in page
    assert "25 days at 12.25 % on 450.00" in page
    assert "None was made." in page  # promises


def test_what_a_customer_is_called_is_text_and_no_code() -> None:
    journal = owing()
    journal.customer(
        None, country="NL", segment="strict", email="ap@bakker.example", name="<script>x</script>"
    )
    page = page_of(Collected(journal).dossier())
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.slow
def test_the_archive_has_the_page_the_tables_and_the_letters(
    collected: Collected, dossier: Dossier
) -> None:
    with zipfile.ZipFile(io.BytesIO(archive_of(dossier))) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert found["dossier.pdf"].startswith(b"%PDF-")
    assert json.loads(found["dossier.json"]) == json.loads(msgspec.json.encode(dossier))
    for name in ("invoices", "payments", "disputes", "promises", "steps", "contacts", "journal"):
        rows = list(csv.DictReader(io.StringIO(found[f"{name}.csv"].decode("utf-8-sig"))))
        assert len(rows) == len(getattr(dossier, name)), name
    contacts = list(csv.DictReader(io.StringIO(found["contacts.csv"].decode("utf-8-sig"))))
    assert contacts[-1]["phone"] == "'+31205550100"  # no spreadsheet counts with it
    first = next(iter(collected.history.letters.values()))
    words = f"{first.subject}\n\n{first.text}".encode()
    assert found["letters/01-2024-10-07-email.txt"] == words
    assert found["letters/01-2024-10-07-email.html"] == first.html.encode()


def test_files_of_two_claims_have_two_names_whatever_a_customer_is_called() -> None:
    names = {file_name(one) for one in ("a/b/1", "a_b/1", "a b/1", "ü/1", "é/1", "x" * 300)}
    assert len(names) == 6
    assert all(name.isascii() and "/" not in name and len(name) < 100 for name in names)
