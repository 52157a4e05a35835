"""The log: one line per thing that happened, on stderr, as text or as JSON.

No line holds personal data, at any level (docs/operations.md says what that is). Three things see
to it, whoever logs:

* our own packages speak at the level that is set, libraries only when something is wrong;
* of an exception a line has its type and where it was raised; its words only where they are of the
  operating system, of the brokers' clients, or of an error of ours that is `loggable`. Others quote
  what they stumbled over, such as a name that cannot be encoded;
* of the fields that a line may have, only those named here are written.

What is left to whoever writes a line: ids and counts in it, no contents.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import msgspec

from streams.errors import HeadroomError
from streams.settings import Settings

logger = logging.getLogger(__name__)

FIELDS = (
    "event_id",
    "topic",
    "partition",
    "offset",
    "order_id",
    "account",
    "step_id",
    "reason",
    "trace_id",
    "act",
    "who",
    "role",
    "result",
)
"""What a line may be about besides its words; given as `extra`."""
_OURS = ("agents", "streams", "schemas", "benchmarks")
_OF_THE_BROKERS = ("confluent_kafka", "cimpl", "aiokafka")
"""Packages whose exceptions tell of brokers, topics and groups, not of contents."""
_CHAIN_MAX = 8


def set_up_log(settings: Settings) -> None:
    """Have everything that this process logs, and whatever nobody catches, written to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for package in _OURS:
        logging.getLogger(package).setLevel(settings.log_level.upper())
    # It reports every attempt to reach a broker; `streams.kafka_client` says once that none
    # answers.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)
    sys.unraisablehook = lambda told: _uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def speaks_json() -> bool:
    """Whether who reads stderr expects JSON there."""
    return any(isinstance(one.formatter, JsonLines) for one in logging.getLogger().handlers)


def shown(error: BaseException) -> str:
    """What of an exception may stand in the log."""
    name = type(error).__name__
    for one in _chain(error):
        if words := _words(one):
            return f"{name}: {words}"
        if isinstance(one, HeadroomError):
            break  # what is behind an error of ours is said in a traceback
    return name


class TextLines(logging.Formatter):
    """Lines for people."""

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created).astimezone()
        stamp = f"{when:%Y-%m-%d %H:%M:%S},{int(record.msecs):03}"
        line = f"{stamp} {record.levelname} {record.name}: {_message(record)}"
        error = _error(record)
        return line if error is None else f"{line}\n{_traceback(error)}"


class JsonLines(logging.Formatter):
    """One JSON object a line: `time` (RFC 3339, UTC), `level`, `logger`, `message`, what it is
    about, and `exception` with all that is said of one.
    """

    def format(self, record: logging.LogRecord) -> str:
        when = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, Any] = {
            "time": f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond:06}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None and value != "":
                line[name] = value
        error = _error(record)
        if error is not None:
            line["exception"] = _traceback(error)
        return msgspec.json.encode(line).decode()


def _message(record: logging.LogRecord) -> str:
    """The line's words, with `shown` in the place of each exception."""
    args: Any = record.args
    if isinstance(args, tuple):
        args = tuple(_safe(one) for one in args)
    elif isinstance(args, Mapping):
        args = {name: _safe(one) for name, one in args.items()}
    text = str(_safe(record.msg))
    try:
        text = text % args if args else text
    except (TypeError, ValueError, KeyError):
        text = f"{text} (with other values than that needs)"
    if record.name.partition(".")[0] in _OURS:
        return text
    # Behind the first line libraries write objects out: asyncio a task, with its exception's words.
    return text.partition("\n")[0]


def _safe(value: object) -> object:
    return shown(value) if isinstance(value, BaseException) else value


def _error(record: logging.LogRecord) -> BaseException | None:
    return record.exc_info[1] if isinstance(record.exc_info, tuple) else None


def _words(error: BaseException) -> str:
    if isinstance(error, HeadroomError):
        return str(error) if error.loggable else ""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    if type(error).__module__.partition(".")[0] in _OF_THE_BROKERS:
        return str(error)
    return ""


def _traceback(error: BaseException) -> str:
    """As Python writes it, with `shown` in the place of each exception's words."""
    parts = []
    for one in _chain(error):
        frames = "".join(traceback.format_tb(one.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{shown(one)}")
    return "\n\nwhich came of:\n\n".join(parts)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception, that behind it, and so on."""
    one: BaseException | None = error
    for _ in range(_CHAIN_MAX):
        if one is None:
            return
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _uncaught(
    kind: type[BaseException], error: BaseException | None, where: TracebackType | None
) -> None:
    if error is not None and issubclass(kind, Exception):
        logger.critical("nobody caught an exception", exc_info=(kind, error, where))
