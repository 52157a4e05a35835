"""Reads a file of routes: TOML, checked as a whole, every fault with its place. Pure.

[recipients.ann]
email = "ann@firm.example"
language = "nl"
time_zone = "Europe/Amsterdam"
digest = "every 30 minutes"
quiet = "20:00-07:00"

[[routes]]
name = "large holds"
kinds = ["hold"]
amount_from = "25000.00"
to = ["account manager"]
without_manager = ["ann"]

[[routes.escalate]]
after_minutes = 60
to = ["ann"]
"""

from __future__ import annotations

import base64
import binascii
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from agents.alerts.alert import KINDS
from agents.alerts.routes import ACCOUNT_MANAGER, Escalation, Recipient, Route, Routes
from agents.alerts.timing import AT_ONCE, MINUTES_PER_DAY, Digest, Quiet
from agents.notify.addresses import mail_address
from schemas import money
from streams.errors import ConfigurationError

LANGUAGES = ("en", "nl", "de", "fr")
CHANNELS = ("email", "webhook", "chat")
_DIRECTIONS = ("raised", "cleared")
_SECRET_PREFIX = "whsec_"  # noqa: S105  how a secret begins
_SECRET_BYTES = (24, 64)
"""Standard Webhooks, symmetric secrets."""
_EVERY = re.compile(r"every ([1-9][0-9]{0,3}) minutes", re.ASCII)
_DAILY = re.compile(r"daily ([0-9]{2}):([0-9]{2})", re.ASCII)
_QUIET = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})", re.ASCII)
_THRESHOLD = re.compile(r"[0-9]{1,2}\.[0-9]{2}", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}", re.ASCII)
_ESCALATION_MINUTES_MAX = 7 * MINUTES_PER_DAY

_OF_RECIPIENT = (*CHANNELS, "secret", "language", "time_zone", "digest", "quiet", "account_manager")
_LISTS = (
    "kinds", "thresholds", "directions", "reasons", "signals", "severities", "segments",
    "account_managers", "currencies",
)  # fmt: skip
_OF_ROUTE = (
    "name", *_LISTS, "amount_from", "amount_to", "to", "without_manager", "urgent", "digest",
    "escalate",
)  # fmt: skip
_OF_ESCALATION = ("after_minutes", "to")


class RoutesError(ConfigurationError):
    """The file cannot be used; a line for each fault, with its place."""


def parse_routes(text: str) -> Routes:
    """Read a file of routes.

    Raises:
        RoutesError: it cannot be used.
    """
    try:
        document = tomllib.loads(text)
    # Also what is no TOMLDecodeError: a number of five thousand digits, a thousand brackets.
    except (ValueError, RecursionError) as error:
        raise RoutesError(f"not TOML: {error}") from error
    return _Reading().all_of(document)


class _Reading:
    """Collects faults, so that all of them are told at once."""

    def __init__(self) -> None:
        self._faults: list[str] = []

    def all_of(self, document: dict[str, Any]) -> Routes:
        self._known(document, ("recipients", "routes"), "")
        recipients = {
            name: self._recipient(name, table, f"recipients.{name}")
            for name, table in self._tables(document, "recipients")
        }
        routes = tuple(
            self._route(table, f"routes[{number}]", recipients)
            for number, table in enumerate(self._array(document, "routes", ""), 1)
        )
        if not recipients:
            self._fault("recipients", "there are none")
        if not routes:
            self._fault("routes", "there are none")
        for name in _twice(route.name for route in routes):
            self._fault("routes", f"two are named {name!r}")
        self._managers_once(recipients)
        if self._faults:
            raise RoutesError("\n".join(self._faults))
        return Routes(recipients, routes)

    # ── recipients ──────────────────────────────────────────────────────────────────────────────

    def _recipient(self, name: str, table: Mapping[str, Any], place: str) -> Recipient:
        self._known(table, _OF_RECIPIENT, place)
        if not _NAME.fullmatch(name) or name == ACCOUNT_MANAGER:
            self._fault(place, "a name of letters, digits, blanks, points and dashes, up to 64")
        given = [channel for channel in CHANNELS if channel in table]
        if len(given) != 1:
            self._fault(place, f"needs exactly one of {', '.join(CHANNELS)}")
        channel = given[0] if given else ""
        address = self._text(table, channel, place) if channel else ""
        self._check_address(channel, address, f"{place}.{channel}")
        zone = self._text(table, "time_zone", place, "UTC")
        if zone not in available_timezones():
            self._fault(f"{place}.time_zone", "is no time zone, such as Europe/Amsterdam")
        language = self._text(table, "language", place, "en")
        if language not in LANGUAGES:
            self._fault(f"{place}.language", f"is none of {', '.join(LANGUAGES)}")
        digest = self._digest(table, place) or AT_ONCE
        quiet = self._quiet(table, place)
        if quiet is not None and digest.daily is not None and quiet.holds(digest.daily):
            self._fault(f"{place}.digest", "falls into the quiet hours")
        if channel == "webhook":
            for key in ("digest", "quiet", "account_manager", "language"):
                if key in table:
                    self._fault(
                        f"{place}.{key}", "is not for a webhook: it gets each alert at once"
                    )
        elif "secret" in table:
            self._fault(f"{place}.secret", "is for webhooks")
        return Recipient(
            name=name,
            channel=channel,
            address=address,
            language=language,
            zone=zone,
            digest=digest,
            quiet=quiet,
            secrets=self._secrets(table, place) if channel == "webhook" else (),
            is_manager=self._names(table, "account_manager", place),
        )

    def _check_address(self, channel: str, address: str, place: str) -> None:
        if channel == "email" and address:
            try:
                mail_address("", address)
            except ValueError as error:
                self._fault(place, str(error))
        elif address and not _is_url(address):
            # The address itself may be a secret, so it is not repeated.
            self._fault(place, "should be https://host/path, without user or fragment")

    def _secrets(self, table: Mapping[str, Any], place: str) -> tuple[bytes, ...]:
        texts = self._names(table, "secret", place)
        if not texts:
            self._fault(
                f"{place}.secret", f"is missing: {_SECRET_PREFIX} and 24 to 64 bytes, base64"
            )
        found = []
        for text in texts:
            try:
                raw = base64.b64decode(text.removeprefix(_SECRET_PREFIX), validate=True)
            except binascii.Error:
                raw = b""
            low, high = _SECRET_BYTES
            if not text.startswith(_SECRET_PREFIX) or not low <= len(raw) <= high:
                self._fault(
                    f"{place}.secret", f"should be {_SECRET_PREFIX} and 24 to 64 bytes, base64"
                )
            found.append(raw)
        return tuple(found)

    def _managers_once(self, recipients: Mapping[str, Recipient]) -> None:
        named = [
            name.lower()
            for one in recipients.values()
            if one.channel != "webhook"
            for name in {n.lower() for n in (one.name, one.address, *one.is_manager)}
            if one.channel == "email" or name != one.address.lower()
        ]
        for name in _twice(named):
            self._fault("recipients", f"an account manager {name!r} would be several of them")

    # ── routes ──────────────────────────────────────────────────────────────────────────────────

    def _route(
        self, table: Mapping[str, Any], place: str, recipients: Mapping[str, Recipient]
    ) -> Route:
        self._known(table, _OF_ROUTE, place)
        lists = {key: self._names(table, key, place) for key in _LISTS}
        self._each(lists["kinds"], f"{place}.kinds", KINDS.__contains__, ", ".join(KINDS))
        self._each(
            lists["directions"], f"{place}.directions", _DIRECTIONS.__contains__, "raised, cleared"
        )
        self._each(
            lists["thresholds"], f"{place}.thresholds",
            lambda one: _THRESHOLD.fullmatch(one) is not None, 'thresholds such as "0.80"',
        )  # fmt: skip
        self._each(lists["currencies"], f"{place}.currencies", money.is_known, "currencies")
        low, high = (self._amount(table, key, place) for key in ("amount_from", "amount_to"))
        if low is not None and high is not None and low > high:
            self._fault(f"{place}.amount_to", "is below amount_from")
        to = self._to(table, "to", place, recipients, needed=True)
        escalate = tuple(
            self._escalation(step, f"{place}.escalate[{number}]", recipients)
            for number, step in enumerate(self._array(table, "escalate", place), 1)
        )
        minutes = [step.after_minutes for step in escalate]
        if minutes != sorted(set(minutes)):
            self._fault(f"{place}.escalate", "each step has to come after the one before")
        without = self._to(table, "without_manager", place, recipients, needed=False)
        asks = ACCOUNT_MANAGER in to or any(ACCOUNT_MANAGER in step.to for step in escalate)
        if ACCOUNT_MANAGER in without:
            self._fault(f"{place}.without_manager", "cannot be the account manager")
        if asks and not without:
            self._fault(f"{place}.without_manager", "is missing: who is told where there is none")
        urgent = table.get("urgent", False)
        if not isinstance(urgent, bool):
            self._fault(f"{place}.urgent", "is true or false")
        digest = self._digest(table, place)
        if urgent and digest is not None and digest.gathers:
            self._fault(f"{place}.digest", "what is urgent leaves at once")
        return Route(
            name=self._text(table, "name", place),
            to=to,
            **lists,
            amount_from=low,
            amount_to=high,
            without_manager=without,
            urgent=urgent is True,
            digest=digest,
            escalate=escalate,
        )

    def _escalation(
        self, table: Mapping[str, Any], place: str, recipients: Mapping[str, Recipient]
    ) -> Escalation:
        self._known(table, _OF_ESCALATION, place)
        minutes = table.get("after_minutes")
        if (
            not isinstance(minutes, int)
            or isinstance(minutes, bool)
            or not 1 <= minutes <= _ESCALATION_MINUTES_MAX
        ):
            self._fault(
                f"{place}.after_minutes", f"is a number from 1 to {_ESCALATION_MINUTES_MAX}"
            )
            minutes = 1
        return Escalation(minutes, self._to(table, "to", place, recipients, needed=True))

    def _to(
        self,
        table: Mapping[str, Any],
        key: str,
        place: str,
        recipients: Mapping[str, Recipient],
        *,
        needed: bool,
    ) -> tuple[str, ...]:
        names = self._names(table, key, place)
        if needed and not names:
            self._fault(f"{place}.{key}", "is missing: recipients, or the account manager")
        for name in names:
            if name != ACCOUNT_MANAGER and name not in recipients:
                self._fault(f"{place}.{key}", f"there is no recipient {name!r}")
        return names

    # ── values ──────────────────────────────────────────────────────────────────────────────────

    def _digest(self, table: Mapping[str, Any], place: str) -> Digest | None:
        text = self._text(table, "digest", place, "")
        every, daily = _EVERY.fullmatch(text), _DAILY.fullmatch(text)
        if text == "at once":
            return AT_ONCE
        if every is not None and int(every[1]) <= MINUTES_PER_DAY:
            return Digest(every=int(every[1]))
        if daily is not None and (minute := _minute(daily[1], daily[2])) is not None:
            return Digest(daily=minute)
        if text or "digest" in table:
            self._fault(
                f"{place}.digest", 'should be "at once", "every 30 minutes" or "daily 08:00"'
            )
        return None

    def _quiet(self, table: Mapping[str, Any], place: str) -> Quiet | None:
        if "quiet" not in table:
            return None
        found = _QUIET.fullmatch(self._text(table, "quiet", place))
        start = None if found is None else _minute(found[1], found[2])
        end = None if found is None else _minute(found[3], found[4])
        if start is None or end is None or start == end:
            self._fault(f"{place}.quiet", 'should be hours such as "20:00-07:00"')
            return None
        return Quiet(start, end)

    def _amount(self, table: Mapping[str, Any], key: str, place: str) -> Decimal | None:
        if key not in table:
            return None
        value = table[key]
        try:
            # A fraction in TOML is binary, so 0.1 would not be 0.1.
            amount = Decimal(value) if isinstance(value, str | int) else None
        except InvalidOperation:
            amount = None
        if amount is None or isinstance(value, bool) or not amount.is_finite() or amount < 0:
            self._fault(f"{place}.{key}", 'should be an amount in quotes, such as "25000.00"')
            return None
        return amount

    def _text(
        self, table: Mapping[str, Any], key: str, place: str, default: str | None = None
    ) -> str:
        value = table.get(key, default)
        if not isinstance(value, str) or (not value.strip() and default is None):
            self._fault(f"{place}.{key}", "is missing" if value is None else "should be a text")
            return default or ""
        return value

    def _names(self, table: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
        """One text or several."""
        value = table.get(key, [])
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) and one.strip() for one in values):
            self._fault(f"{place}.{key}", "should be texts")
            return ()
        for name in _twice(values):
            self._fault(f"{place}.{key}", f"{name!r} is there twice")
        return tuple(values)

    def _each(
        self, names: tuple[str, ...], place: str, good: Callable[[str], bool], what: str
    ) -> None:
        for name in names:
            if not good(name):
                self._fault(place, f"{name!r} is none of: {what}")

    def _tables(
        self, document: Mapping[str, Any], key: str
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        tables = document.get(key, {})
        if not isinstance(tables, dict):
            self._fault(key, f"should be tables, [{key}.name]")
            return
        for name, table in tables.items():
            if isinstance(table, dict):
                yield name, table
            else:
                self._fault(f"{key}.{name}", "should be a table")

    def _array(self, table: Mapping[str, Any], key: str, place: str) -> list[Mapping[str, Any]]:
        found = table.get(key, [])
        where = f"{place}.{key}" if place else key
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            self._fault(where, "should be tables, [[...]]")
            return []
        return found

    def _known(self, table: Mapping[str, Any], keys: tuple[str, ...], place: str) -> None:
        for key in table:
            if key not in keys:
                where = f"{place}.{key}" if place else key
                self._fault(where, f"is unknown; there are {', '.join(keys)}")

    def _fault(self, place: str, problem: str) -> None:
        self._faults.append(f"{place}: {problem}")


def _is_url(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    plain = parts.username is None and not parts.fragment and port != 0
    return parts.scheme in ("http", "https") and bool(host) and plain


def _minute(hours: str, minutes: str) -> int | None:
    if int(hours) > 23 or int(minutes) > 59:  # noqa: PLR2004  a day's
        return None
    return int(hours) * 60 + int(minutes)


def _twice(names: Any) -> list[str]:
    seen: set[str] = set()
    twice: dict[str, None] = {}
    for name in names:
        if name in seen:
            twice[name] = None
        seen.add(name)
    return list(twice)
