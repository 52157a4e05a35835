"""What alerts say to people: subject, plain text, HTML and a line for a chat, in their language.

Pure but for the texts that ship, which are read once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

import jinja2
import msgspec
from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_percent

from agents.alerts.notice import Bundle, Notice
from agents.alerts.routes_text import LANGUAGES
from schemas.dates import date_of, parse_day
from schemas.events import Instant
from streams.errors import ConfigurationError
from streams.settings import Settings

_SHIPPED = files("agents.alerts") / "texts"
_LOCALES = {"en": "en_GB"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Words(NamedTuple):
    """A message."""

    language: str
    subject: str
    text: str
    html: str
    chat: str


class _Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    headlines: dict[str, str]
    labels: dict[str, str]
    reasons: dict[str, str]
    signals: dict[str, str]


class Told(NamedTuple):
    """One alert as the layouts have it."""

    headline: str
    lines: list[tuple[str, str]]
    url: str


class AlertTexts:
    """All words that alerts are made of.

    Args:
        console: where people look at customers, `https://host`; None: there are no links.
    """

    def __init__(self, console: str | None) -> None:
        self._console = console
        self._languages = {
            language: msgspec.convert(
                tomllib.loads((_SHIPPED / f"{language}.toml").read_text("utf-8")), _Language
            )
            for language in LANGUAGES
        }
        self._plain = cache(_environment(for_html=False).from_string)
        self._text = self._plain((_SHIPPED / "alert.txt.j2").read_text("utf-8"))
        self._page = _environment(for_html=True).from_string(
            (_SHIPPED / "alert.html.j2").read_text("utf-8")
        )

    def render(self, bundle: Bundle) -> Words:
        """The message that tells one recipient of one or more alerts."""
        recipient = bundle.recipient
        words = self._languages[recipient.language]
        alerts = [self._told(one, recipient.language, recipient.zone) for one in bundle.notices]
        first = bundle.notices[0]
        if len(alerts) == 1:
            subject = alerts[0].headline
            footer = self._plain(words.labels["footer"]).render(
                route=first.route, alert_id=first.alert.alert_id
            )
        else:
            subject = self._plain(words.headlines["digest"]).render(count=len(alerts))
            footer = words.labels["footer_digest"]
        said: dict[str, Any] = {
            "language": recipient.language,
            "subject": subject,
            "alerts": alerts,
            "labels": words.labels,
            "footer": footer,
        }
        return Words(
            recipient.language,
            " ".join(subject.split()),
            self._text.render(said),
            self._page.render(said),
            "\n".join(_chat_lines(alerts, words.labels["colon"])),
        )

    def _told(self, notice: Notice, language: str, zone: str) -> Told:
        words, alert = self._languages[language], notice.alert
        said, labels = alert.said, words.labels
        is_group = bool(said.get("group_id")) and alert.kind == "limit_alert"
        customer = alert.customer_id
        if notice.name:
            customer = f"{notice.name} ({alert.customer_id})"
        facts = {
            "customer": customer,
            "order_id": said.get("order_id"),
            "utilisation": _percent(said.get("utilisation"), language),
            "threshold": _percent(said.get("threshold"), language),
            "signal": words.signals.get(str(said.get("kind")), said.get("kind")),
        }
        kind = said["direction"] if alert.kind == "limit_alert" else alert.kind
        headline = self._plain(words.headlines[kind]).render(facts)
        if notice.level:
            headline = self._plain(words.headlines["unanswered"]).render(headline=headline)
        lines = [
            (labels["group" if is_group else "customer"], customer),
            *self._figures(said, words, language),
            (labels["at"], _time(alert.at, zone, language)),
            (labels["alert"], alert.alert_id),
        ]
        url = ""
        if self._console is not None and not is_group:
            url = f"{self._console}/console/customers/{quote(alert.customer_id, safe='')}"
        return Told(" ".join(headline.split()), lines, url)

    def _figures(
        self, said: dict[str, Any], words: _Language, language: str
    ) -> Iterator[tuple[str, str]]:
        labels = words.labels
        if "order_id" in said:
            yield labels["amount"], _money(said["amount"], said["currency"], language)
        if said.get("reasons"):
            reasons = (words.reasons.get(one, one) for one in said["reasons"])
            yield labels["reasons"], "; ".join(reasons)
        for name in ("by", "why", "detail"):
            if said.get(name):
                yield labels[name], str(said[name])
        if said.get("expected_on"):
            day = date_of(parse_day(said["expected_on"]))
            yield labels["expected_on"], format_date(day, "long", locale=_locale(language))
        exposure = said.get("exposure", said.get("exposure_after"))
        if exposure is not None:
            currency = said.get("account_currency", said.get("currency", ""))
            limit = said.get("credit_limit")
            yield labels["exposure"], _money(exposure, currency, language)
            shown = labels["none"] if limit is None else _money(limit, currency, language)
            yield labels["credit_limit"], shown
            if said.get("headroom") is not None:
                yield labels["headroom"], _money(said["headroom"], currency, language)
        if said.get("utilisation") is not None:
            yield labels["utilisation"], _percent(said["utilisation"], language)


def texts_of(settings: Settings) -> AlertTexts:
    """The texts of an installation.

    Raises:
        ConfigurationError: the console's address cannot be used.
    """
    url = settings.console_url
    if url is not None and not url.startswith(("http://", "https://")):
        raise ConfigurationError("HEADROOM_CONSOLE_URL: should be https://host")
    return AlertTexts(None if url is None else url.rstrip("/"))


def _chat_lines(alerts: list[Told], colon: str) -> Iterator[str]:
    """One line an alert; of one alone all there is to say."""
    for alert in alerts:
        line = f"*{_plain(alert.headline)}*"
        yield f"{line} {alert.url}" if alert.url else line
        if len(alerts) == 1:
            for label, value in alert.lines:
                yield f"{label}{colon}{_plain(value)}"


def _plain(text: str) -> str:
    """Without what a chat takes for commands or mark-up."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("*", "∗")


def _environment(*, for_html: bool) -> jinja2.Environment:
    return jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        autoescape=for_html,  # noqa: S701  plain text is not escaped
    )


def _locale(language: str) -> str:
    return _LOCALES.get(language, language)


def _money(amount: str, currency: str, language: str) -> str:
    return format_currency(Decimal(amount), currency, locale=_locale(language))


def _percent(share: str | None, language: str) -> str:
    if share is None:
        return ""
    return format_percent(Decimal(share), locale=_locale(language), decimal_quantization=False)


def _time(at: Instant, zone: str, language: str) -> str:
    there = (_EPOCH + timedelta(microseconds=at)).astimezone(ZoneInfo(zone))
    day = format_date(there.date(), "long", locale=_locale(language))
    return f"{day} {format_time(there, 'short', locale=_locale(language))} {there:%Z}"
