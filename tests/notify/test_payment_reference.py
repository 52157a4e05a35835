"""A transfer's reference and code, checked by the standards' own arithmetic."""

from __future__ import annotations

import io

import segno
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from notify.letters import CREDITOR, a_step

from agents.notify.creditor import Creditor
from agents.notify.payment_reference import payment_code, reference_of
from schemas.events import DunningStep


def code_of(step: DunningStep, creditor: Creditor = CREDITOR) -> bytes | None:
    total = step.principal + step.interest + step.costs
    return payment_code(creditor, total, step.currency, reference_of(step.step_id, step.country))


@given(st.text(max_size=40))
def test_a_reference_is_an_rf_reference(step_id: str) -> None:
    """ISO 11649: the four first characters moved behind, letters as numbers, is 1 modulo 97."""
    reference = reference_of(step_id, "NL")
    assert reference.startswith("RF")
    digits = "".join(str(int(one, 36)) for one in reference[4:] + reference[:4])
    assert int(digits) % 97 == 1


@given(st.text(max_size=40))
def test_in_belgium_it_is_a_structured_communication(step_id: str) -> None:
    """+++ddd/dddd/ddddd+++, whose last two digits are the first ten modulo 97, with 97 for 0."""
    reference = reference_of(step_id, "BE")
    first, second, third = reference.strip("+").split("/")
    assert (len(first), len(second), len(third)) == (3, 4, 5)
    assert reference == f"+++{first}/{second}/{third}+++"
    number = first + second + third
    assert int(number[-2:]) == (int(number[:10]) % 97 or 97)


def test_the_code_says_what_a_bank_needs() -> None:
    """EPC069-12, version 2: eleven lines, the amount with the currency in front of it."""
    step = a_step()
    head = (
        "BCD\n002\n2\nSCT\nABNANL2A\nNoorderlicht Groothandel\nNL91ABNA0417164300\nEUR1600.51\n\n"
    )
    assert code_of(step) == _code_of(head + reference_of(step.step_id, step.country))
    belgian = replace(step, country="BE")
    assert code_of(belgian) == _code_of(f"{head}\n{reference_of(belgian.step_id, belgian.country)}")


def _code_of(text: str) -> bytes:
    png = io.BytesIO()
    code = segno.make_qr(text.encode("latin-1"), error="m", boost_error=False)
    code.save(png, kind="png", scale=4, border=4)
    return png.getvalue()


def test_there_is_no_code_where_a_bank_could_not_use_it() -> None:
    assert code_of(a_step(currency="SEK")) is None
    assert code_of(a_step(), replace(CREDITOR, iban="")) is None
    assert code_of(a_step(principal=0, interest=0, costs=0)) is None
    assert code_of(a_step(principal=10**12)) is None
