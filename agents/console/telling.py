"""Words, amounts and days, as somebody reads them in their language."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time
from babel.numbers import format_currency, format_decimal, format_percent

from agents.credit.phrases import PHRASES, Amount, Date, Figure, Moment, Sentence
from schemas.dates import date_of
from schemas.events import Day, Instant, Minor
from schemas.money import format_amount, is_known

LANGUAGES = {"en": "English", "nl": "Nederlands", "fr": "Français", "de": "Deutsch"}
OTHER_LANGUAGE = "en"
_LOCALES = {"en": "en_GB"}
_MICROSECONDS = 1_000_000
_SAID = "said_"
"""Before the names of what the rules say."""


class Words:
    """The texts of a language, by name."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __getattr__(self, name: str) -> str:
        try:
            return self._texts[name]
        except KeyError:
            raise AttributeError(name) from None

    def __getitem__(self, name: str) -> str:
        return self._texts[name]

    def get(self, name: str, other: str) -> str:
        """The text, or the other one: for words that come from elsewhere."""
        return self._texts.get(name, other)


class Telling:
    """How things are said to somebody.

    Args:
        language: of `LANGUAGES`.
        zone: where their clock hangs.
    """

    def __init__(self, language: str, zone: ZoneInfo) -> None:
        self.language = language
        self.w = Words(texts()[language])
        self._locale = _LOCALES.get(language, language)
        self._zone = zone

    def money(self, minor: Minor | None, currency: str) -> str:
        """An amount with its currency; a dash for none."""
        if minor is None:
            return "–"
        if not is_known(currency):
            return f"{format_amount(minor, None)} {currency}".strip()
        return format_currency(
            Decimal(format_amount(minor, currency)), currency, locale=self._locale
        )

    def count(self, number: float) -> str:
        """A plain number."""
        return format_decimal(number, locale=self._locale)

    def percent(self, share: float) -> str:
        """A share of one."""
        return format_percent(share, format="#,##0.#%", locale=self._locale)

    def day(self, day: Day | None) -> str:
        """A day; a dash for none."""
        return "–" if day is None else format_date(date_of(day), "medium", locale=self._locale)

    def month(self, day: Day) -> str:
        """The month in which a day is, short."""
        return format_date(date_of(day), "MMM", locale=self._locale)

    def is_first_of_month(self, day: Day) -> bool:
        """Whether a month begins on a day."""
        return date_of(day).day == 1

    def instant(self, at: Instant) -> str:
        """A moment, to the minute, by the clock on the wall."""
        there = datetime.fromtimestamp(at / _MICROSECONDS, UTC).astimezone(self._zone)
        day = format_date(there, "medium", locale=self._locale)
        return f"{day}, {format_time(there, 'short', locale=self._locale)}"

    def why(self, reason: str) -> str:
        """A reason that somebody chose and may have added words to."""
        code, colon, rest = reason.partition(": ")
        known = self.w.get(f"why_{code}", "")
        return f"{known}{colon}{rest}" if known else reason

    def sentence(self, said: Sentence) -> str:
        """What the rules say."""
        figures = {name: self._figure(figure) for name, figure in said.figures.items()}
        return self.w[f"{_SAID}{said.phrase}"].format_map(figures)

    def _figure(self, figure: Figure) -> str:
        match figure:
            case Amount():
                return self.money(figure.minor, figure.currency)
            case Date():
                return self.day(figure.day)
            case Moment():
                return self.instant(figure.at)
            case int():
                return self.count(figure)
            case _:
                return figure


def language_of(cookie: str | None, accepted: str) -> str:
    """The language somebody chose, else the first that their browser asks for and there is."""
    if cookie in LANGUAGES:
        return str(cookie)
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.split(",")[:20]):
        tag, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), place, tag.partition("-")[0].strip().lower()))
        except ValueError:
            continue
    return next((tag for _, _, tag in sorted(wanted) if tag in LANGUAGES), OTHER_LANGUAGE)


@cache
def texts() -> dict[str, dict[str, str]]:
    """All texts, by language and name."""
    there = files("agents.console") / "texts"
    found = {
        language: tomllib.loads((there / f"{language}.toml").read_text(encoding="utf-8"))
        for language in LANGUAGES
    }
    found[OTHER_LANGUAGE] |= {f"{_SAID}{name}": phrase for name, phrase in PHRASES.items()}
    return found
