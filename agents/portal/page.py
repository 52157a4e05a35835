"""The page of a letter, in the customer's language. Pure."""

from __future__ import annotations

import tomllib
from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from importlib.resources import files

import jinja2
from babel.dates import format_date
from babel.numbers import format_currency

from agents.notify.creditor import Creditor
from agents.notify.payment_reference import payment_code, reference_of
from agents.portal.answers import REASONS
from agents.portal.claim import ClaimNow, Item
from schemas.dates import date_of, format_day
from schemas.events import Day, Minor
from schemas.money import format_amount

_OTHER_LANGUAGE = "en"
_LOCALES = {"en": "en_GB"}
_NOTHING: Mapping[str, str] = {}


def page_of(
    claim: ClaimNow,
    creditor: Creditor,
    *,
    base: str,
    style: str,
    online: bool,
    today: Day,
    promise_days: int,
    said: str = "",
    wrong: str = "",
    form: Mapping[str, str] = _NOTHING,
) -> str:
    """The page that shows a claim.

    Args:
        claim: as it is now.
        creditor: to whom it is to be paid.
        base: the path of the page.
        style: the path of its style sheet.
        online: whether it can be paid online.
        today: the day at the creditor's.
        promise_days: how far ahead a promise may be.
        said: the word for what was just done: `contested`, `promised`, `paying`.
        wrong: the field that could not be, or `away`.
        form: what was filled in, to be put right.
    """
    language = claim.language if claim.language in _words() else _OTHER_LANGUAGE
    reference = reference_of(claim.step_id, claim.country)
    code = payment_code(creditor, claim.total, claim.currency, reference)
    words = _filled(language, creditor, _money(claim, claim.total, language), promise_days)
    return _template().render(
        language=language,
        words=words,
        claim=claim,
        creditor=creditor,
        lines=[_line(claim, one, words, language) for one in claim.items],
        sums=[(words[name], _money(claim, amount, language)) for name, amount in _sums(claim)],
        total=_money(claim, claim.total, language),
        base=base,
        style=style,
        online=online,
        reference=reference,
        code="" if code is None else f"data:image/png;base64,{b64encode(code).decode()}",
        contestable=[one.invoice_id for one in claim.items if one.due],
        promisable=promise_days > 0 and any(one.due and not one.promised for one in claim.items),
        reasons=REASONS,
        first_day=format_day(today),
        last_day=format_day(today + promise_days),
        said=words[f"said_{said}"] if said in ("contested", "promised", "paying") else "",
        wrong=_wrong(words, wrong),
        opened="promise" if wrong == "on" else "contest" if wrong and wrong != "away" else "",
        form={name: form.get(name, "") for name in ("invoice", "reason", "amount", "text", "on")},
    )


def page_without_claim(word: str, creditor: Creditor, style: str, language: str = "") -> str:
    """A page that says why there is nothing to show: `bad_link`, `old_link`, `away`."""
    language = language if language in _words() else _OTHER_LANGUAGE
    words = _filled(language, creditor, "", 0)
    return _template().render(
        language=language, words=words, claim=None, creditor=creditor, style=style,
        said="", wrong=words[word],
    )  # fmt: skip


def _wrong(words: Mapping[str, str], field: str) -> str:
    if not field:
        return ""
    return words["wrong_amount_given" if field == "amount" else
                 "away" if field == "away" else f"wrong_{field}"]  # fmt: skip


def _line(claim: ClaimNow, one: Item, words: Mapping[str, str], language: str) -> dict[str, str]:
    state = ""
    if not one.open:
        state = words["paid"]
    elif one.due < one.open:
        state = words["contested"]
    elif one.promised:
        state = words["promised"]
    return {
        "invoice_id": one.invoice_id,
        "due_on": format_date(date_of(one.due_on), "long", locale=_locale(language)),
        "open": _money(claim, one.open, language),
        "state": state,
    }


def _sums(claim: ClaimNow) -> list[tuple[str, Minor]]:
    if not claim.total:
        return [("total", 0)]
    parts = [("interest", claim.interest), ("costs", claim.costs)]
    return [*((name, amount) for name, amount in parts if amount), ("total", claim.total)]


def _money(claim: ClaimNow, amount: Minor, language: str) -> str:
    major = Decimal(format_amount(amount, claim.currency))
    return format_currency(major, claim.currency, locale=_locale(language))


def _locale(language: str) -> str:
    return _LOCALES.get(language, language)


def _filled(language: str, creditor: Creditor, amount: str, days: int) -> dict[str, str]:
    facts = {
        "creditor": creditor.name, "email": creditor.email, "amount": amount, "days": str(days)
    }  # fmt: skip
    return {name: text.format(**facts) for name, text in _words()[language].items()}


@cache
def _words() -> dict[str, dict[str, str]]:
    text = (files("agents.portal") / "texts.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


@cache
def _template() -> jinja2.Template:
    text = (files("agents.portal") / "page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(text)
