"""What the log says, and what it keeps to itself."""

from __future__ import annotations

import json
import logging
import ssl
import subprocess
import sys
from datetime import datetime, timedelta
from typing import Any

import pytest

from streams.errors import InvalidMessage, InvariantViolated
from streams.fast_lane.transaction import FencedError
from streams.logs import JsonLines, TextLines, shown

_PERSON = "Jan Jansen <jan@example.com>"


def a_record(message: Any, *args: Any, name: str = "streams.x", **more: Any) -> logging.LogRecord:
    record = logging.LogRecord(
        name, logging.WARNING, __file__, 1, message, args, more.pop("exc_info", None)
    )
    record.__dict__.update(more)
    return record


def said(record: logging.LogRecord) -> dict[str, Any]:
    line = JsonLines().format(record)
    assert "\n" not in line
    found: dict[str, Any] = json.loads(line)
    return found


def _raise(error: BaseException) -> None:
    raise error


def raised(error: BaseException) -> Any:
    """As `sys.exc_info` has it."""
    try:
        _raise(error)
    except type(error):
        return sys.exc_info()


def test_a_line_is_an_object_that_says_when_what_and_about_which_record() -> None:
    record = a_record(
        "%s-%s@%s is refused", "credit.orders.v1", 2, 7, topic="credit.orders.v1", partition=2,
        offset=7, event_id="op-1", order_id=None, trace_id="", secret=_PERSON,
    )  # fmt: skip
    line = said(record)
    when = datetime.fromisoformat(line.pop("time"))
    assert when.utcoffset() == timedelta(0)
    assert abs(when.timestamp() - record.created) < 1e-3
    assert line == {
        "level": "warning",
        "logger": "streams.x",
        "message": "credit.orders.v1-2@7 is refused",
        "topic": "credit.orders.v1",
        "partition": 2,
        "offset": 7,
        "event_id": "op-1",
    }


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()])
@pytest.mark.parametrize(
    "error",
    [
        ValueError(_PERSON),
        KeyError(_PERSON),
        InvalidMessage("undecodable", _PERSON),
        InvariantViolated(_PERSON),
        ExceptionGroup(_PERSON, [ValueError(_PERSON)]),
    ],
)
def test_the_words_of_an_exception_stay_out(lines: logging.Formatter, error: Exception) -> None:
    behind = RuntimeError(_PERSON)
    behind.__cause__ = error
    text = lines.format(a_record("%s, %r, %s", error, error, behind, exc_info=raised(behind)))
    text += lines.format(a_record(error)) + lines.format(a_record("%(e)s", {"e": error}))
    assert "Jan" not in text
    assert "jan@" not in text
    assert text.count(type(error).__name__) >= 4
    assert "test_logs.py" in text, "where it was raised is said"


def test_what_systems_and_our_own_errors_say_is_kept() -> None:
    assert shown(OSError(28, _PERSON)) == "OSError: No space left on device"
    assert shown(FencedError("journal-0 was fenced")) == "FencedError: journal-0 was fenced"
    lost = RuntimeError(_PERSON)
    lost.__cause__ = ConnectionRefusedError(111, _PERSON)
    assert shown(lost) == "RuntimeError: Connection refused"
    untrusted = ssl.SSLError(1, _PERSON)
    untrusted.reason = "CERTIFICATE_VERIFY_FAILED"
    assert shown(untrusted) == "SSLError: CERTIFICATE_VERIFY_FAILED"


def test_of_a_library_only_the_first_line_is_written() -> None:
    record = a_record(f"Task exception was never retrieved\nfuture: {_PERSON}", name="asyncio")
    assert said(record)["message"] == "Task exception was never retrieved"


def test_a_line_whose_values_do_not_fit_is_still_a_line() -> None:
    assert said(a_record("%d of %d", "x"))["message"] == (
        "%d of %d (with other values than that needs)"
    )


_PROGRAM = """
import logging, sys, threading, warnings
from streams.logs import set_up_log
from streams.settings import Settings
set_up_log(Settings(log_level="debug", log_format=sys.argv[1]))
logging.getLogger("agents.x").debug("ours")
logging.getLogger("httpcore").info("not ours")
warnings.warn("old\\nJan", DeprecationWarning)
thread = threading.Thread(target=lambda: {}["Jan"])
thread.start()
thread.join()
int("Jan")
"""


@pytest.mark.parametrize("how", ["json", "text"])
def test_all_that_a_process_says_goes_through_it(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", _PROGRAM, how],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Jan" not in done.stderr
    if how == "text":
        assert " DEBUG agents.x: ours\n" in done.stderr
        return
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["logger"] for line in lines] == [
        "agents.x", "py.warnings", "streams.logs", "streams.logs",
    ]  # fmt: skip
    assert lines[2]["exception"].endswith("KeyError")
    assert lines[3]["exception"].endswith("ValueError")
