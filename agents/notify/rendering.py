"""A dunning step as a letter: subject, plain text and HTML, in the customer's language. Pure."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from urllib.parse import quote

import jinja2
import msgspec
from babel.dates import format_date
from babel.numbers import format_currency
from msgspec import structs

from agents.notify.creditor import Creditor
from agents.notify.payment_reference import payment_code, reference_of
from schemas.dates import MICROSECONDS_PER_DAY, date_of
from schemas.events import Day, DunnedInvoice, DunningStep, Minor
from schemas.money import format_amount

LANGUAGES = ("nl", "fr", "de", "en")
_OTHER_LANGUAGE = "en"
_LOCALES = {"en": "en_GB"}
"""How dates and amounts are written; the language itself where it is not named."""
CODE = "payment-code"
"""The content id of the payment code in a mail."""
_INVOICES_NAMED = 3


_SAMPLE = DunningStep(
    event_id="",
    occurred_at=0,
    customer_id="C-1",
    step_id="C-1/1970-01-01/1",
    level=1,
    procedure="any",
    channel="email",
    template="any",
    language=_OTHER_LANGUAGE,
    invoices=[
        DunnedInvoice(
            invoice_id="I-1", open_amount=100, due_on=0, days_overdue=1, level=1, interest=1
        )
    ],
    principal=100,
    interest=1,
    costs=1,
    currency="EUR",
    legal_basis="a law",
    pay_by=1,
    costs_to_come=1,
)
"""What texts are tried with."""
_SAMPLE_CREDITOR = Creditor("A creditor", ("A street",), "NL91ABNA0417164300", "", "a@b.example")


class Text(msgspec.Struct, frozen=True):
    """The subject and the words of one kind of letter in one language."""

    subject: str
    text: str


class Rendered(msgspec.Struct, frozen=True):
    """A letter. `short` fits into a text message; `code` is a PNG that the HTML shows, if any."""

    language: str
    subject: str
    text: str
    html: str
    short: str
    code: bytes | None


class MissingTextError(ValueError):
    """There is no text of this name."""


class Texts:
    """All words that letters are made of.

    Args:
        layouts: Jinja templates by name: `letter.txt`, `letter.html`, `message.txt`.
        labels: by language, the words of the layouts.
        texts: by language and the name of the template.
    """

    def __init__(
        self,
        layouts: dict[str, str],
        labels: dict[str, dict[str, str]],
        texts: dict[tuple[str, str], Text],
    ) -> None:
        self.texts = texts
        self._labels = labels
        # Compiled once: to compile them takes ten times as long as to fill them in.
        self._plain = cache(_environment(for_html=False).from_string)
        self._page = cache(_environment(for_html=True).from_string)
        self._layouts = layouts

    def faults(self) -> list[str]:
        """What cannot be rendered, each with its place."""
        found: list[str] = []
        for language, labels in self._labels.items():
            facts = self._facts(_SAMPLE, _SAMPLE_CREDITOR, language)
            for name, label in labels.items():
                found += self._fault(f"{language}.toml: labels.{name}", label, facts)
        for (language, template), text in self.texts.items():
            facts = self._facts(_SAMPLE, _SAMPLE_CREDITOR, language)
            for words in (text.subject, text.text):
                found += self._fault(f"{language}.toml: {template}", words, facts)
        if not found:
            language, template = next(iter(self.texts))
            step = structs.replace(_SAMPLE, language=language, template=template)
            said = self._said(step, _SAMPLE_CREDITOR, self.texts[language, template], language)
            said |= {"on_paper": True, "code": "code", "link": "https://pay.example"}
            for name, layout in self._layouts.items():
                found += self._fault(f"{name}.j2", layout, said)
        return found

    def _fault(self, place: str, words: str, said: dict[str, object]) -> Iterator[str]:
        try:
            self._plain(words).render(said)
        except jinja2.TemplateError as error:
            yield f"{place}: {error}"

    def render(
        self,
        step: DunningStep,
        creditor: Creditor,
        *,
        on_paper: bool = False,
        invoice_url: str | None = None,
        link: Callable[[DunningStep], str] | None = None,
    ) -> Rendered:
        """The letter of a step.

        Args:
            step: what is asked, of whom.
            creditor: who asks.
            on_paper: with date and address, as a letter has them, and the payment code in the page.
            invoice_url: where an invoice is to be seen, with `{invoice_id}` and `{customer_id}`.
            link: makes the address at which the letter can be answered and paid.

        Raises:
            MissingTextError: nobody wrote the template's text.
        """
        language = step.language if step.language in LANGUAGES else _OTHER_LANGUAGE
        words = self.texts.get((language, step.template))
        if words is None:
            raise MissingTextError(f"no text {step.template!r} in {language}")
        total = step.principal + step.interest + step.costs
        reference = reference_of(step.step_id, step.country)
        code = payment_code(creditor, total, step.currency, reference)
        said = self._said(step, creditor, words, language, invoice_url) | {
            "link": "" if link is None else link(step),
            "on_paper": on_paper,
            "code": _place_of(code, on_paper=on_paper),
        }
        return Rendered(
            language,
            str(said["subject"]),
            self._plain(self._layouts["letter.txt"]).render(said),
            self._page(self._layouts["letter.html"]).render(said),
            " ".join(self._plain(self._layouts["message.txt"]).render(said).split()),
            code,
        )

    def _said(
        self,
        step: DunningStep,
        creditor: Creditor,
        words: Text,
        language: str,
        invoice_url: str | None = None,
    ) -> dict[str, object]:
        """What layouts may name: the facts, and the words that were made of them."""
        facts = self._facts(step, creditor, language)
        labels = {
            name: self._plain(label).render(facts) for name, label in self._labels[language].items()
        }
        text = self._plain(words.text).render(facts).strip()
        return facts | {
            "labels": labels,
            "subject": self._plain(words.subject).render(facts),
            "text": text,
            "paragraphs": text.split("\n\n"),
            "lines": [_line(step, one, language, invoice_url) for one in range(len(step.invoices))],
            "sums": list(_sums(step, language, labels)),
        }

    def _facts(self, step: DunningStep, creditor: Creditor, language: str) -> dict[str, object]:
        """What texts may name."""
        to_come = step.costs_to_come
        named = [one.invoice_id for one in step.invoices]
        more = f" (+{len(named) - _INVOICES_NAMED})" if len(named) > _INVOICES_NAMED else ""
        return {
            "language": language,
            "name": step.name,
            "channel": step.channel,
            "creditor": creditor,
            "iban": creditor.iban,
            "reference": reference_of(step.step_id, step.country),
            "invoices": ", ".join(named[:_INVOICES_NAMED]) + more,
            "legal_basis": step.legal_basis,
            "pay_by": _date(step.pay_by, language),
            "written_on": _date(step.occurred_at // MICROSECONDS_PER_DAY, language),
            "costs_to_come": "" if to_come is None else _money(to_come, step.currency, language),
        }


def _place_of(code: bytes | None, *, on_paper: bool) -> str:
    """Where the HTML finds the payment code."""
    if code is None:
        return ""
    return f"data:image/png;base64,{b64encode(code).decode()}" if on_paper else f"cid:{CODE}"


def _environment(*, for_html: bool) -> jinja2.Environment:
    return jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=for_html,  # noqa: S701  plain text is not escaped
    )


def _line(
    step: DunningStep, number: int, language: str, invoice_url: str | None
) -> dict[str, object]:
    one = step.invoices[number]
    url = None
    if invoice_url is not None:
        url = invoice_url.format(
            invoice_id=quote(one.invoice_id, safe=""), customer_id=quote(step.customer_id, safe="")
        )
    return {
        "invoice_id": one.invoice_id,
        "url": url,
        "due_on": _date(one.due_on, language),
        "days_overdue": one.days_overdue,
        "open": _money(one.open_amount, step.currency, language),
        "interest": _money(one.interest, step.currency, language) if one.interest else "",
    }


def _sums(step: DunningStep, language: str, labels: dict[str, str]) -> Iterator[tuple[str, str]]:
    total = step.principal + step.interest + step.costs
    parts = [
        ("principal", step.principal if total != step.principal else 0),
        ("interest", step.interest),
        ("costs", step.costs),
        ("total", total),
    ]
    for name, amount in parts:
        if amount:
            yield labels[name], _money(amount, step.currency, language)


def _money(amount: Minor, currency: str, language: str) -> str:
    return format_currency(
        Decimal(format_amount(amount, currency)), currency, locale=_LOCALES.get(language, language)
    )


def _date(day: Day, language: str) -> str:
    return format_date(date_of(day), "long", locale=_LOCALES.get(language, language))
