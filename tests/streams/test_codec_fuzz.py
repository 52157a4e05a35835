"""Whatever the bytes are, the codec answers: with an event, or with an `InvalidMessage`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from contracts.event_strategies import any_event
from hypothesis import given
from hypothesis import strategies as st

from schemas import records
from schemas.events import Event
from schemas.records import AvroSchema
from streams.codec import Codec
from streams.errors import InvalidMessage, MessageFault
from streams.registry import LockedSchemaIds

_ROOT = Path(__file__).parents[2]
_IDS = [row.id for row in records.locked()]


class Older:
    """Ids 1000 and up mean our schemas as an older writer had them: read through resolution."""

    def __init__(self) -> None:
        self._locked = LockedSchemaIds()

    def id_of(self, record: str) -> int:
        return self._locked.id_of(record)

    def writer(self, schema_id: int) -> AvroSchema:
        if schema_id < 1000:
            return self._locked.writer(schema_id)
        schema = self._locked.writer(schema_id - 1000)
        assert isinstance(schema, dict)
        extra = {"name": "extra", "type": {"type": "array", "items": ["null", "string"]}}
        return schema | {"fields": [*schema["fields"], extra]}


_CODEC = Codec(Older(), items_max=50)


def _check(raw: bytes) -> None:
    answer = _decoded(raw)
    if isinstance(answer, InvalidMessage):
        assert answer.reason in get_args(MessageFault)
        assert answer.detail
    else:
        # What was accepted is a whole event, of the right types: it can be written and read again.
        assert _CODEC.decode(_CODEC.encode(answer)) == answer


def _decoded(raw: bytes) -> Event | InvalidMessage:
    try:
        return _CODEC.decode(raw)
    except InvalidMessage as fault:
        return fault


@given(st.binary(max_size=200))
def test_any_bytes_at_all(raw: bytes) -> None:
    _check(raw)


@given(st.sampled_from(_IDS), st.sampled_from([0, 1000]), st.binary(max_size=200))
def test_any_body_under_a_known_id(schema_id: int, older: int, body: bytes) -> None:
    _check(b"\0" + (schema_id + older).to_bytes(4, "big") + body)


@given(any_event(), st.sampled_from([0, 1000]), st.data())
def test_any_change_to_a_good_message(event: Event, older: int, data: st.DataObject) -> None:
    """Bytes flipped, put in, taken out, cut off."""
    raw = bytearray(_CODEC.encode(event))
    raw[3:5] = (int.from_bytes(raw[3:5], "big") + older).to_bytes(2, "big")
    if older:
        raw += b"\0"
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(5, max(5, len(raw) - 1)))
        raw[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=12))
    _check(bytes(raw))


_CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from test_codec_fuzz import Older
from streams.codec import Codec
from streams.errors import InvalidMessage
codec = Codec(Older())
varint = lambda n: bytes([n >> shift & 127 | 128 for shift in range(0, 63, 7)] + [n >> 63])
long = lambda n: varint(n << 1 ^ n >> 63)
MEBIBYTE = 1 << 20
before = b"\\x02e" + long(1) + b"\\x02C\\x02P"  # up to the first list of a promise, a plan
bodies = {
    "a text of 2**62 bytes": long(2**62),
    "a text of -1 bytes": long(-1),
    "a text of -2**63 bytes": long(-2**63),
    "2**62 items": before + long(2**62),
    "-2**63 items": before + long(-2**63) + long(0),
    "-5 items of -1 bytes": before + long(-5) + long(-1),
    "a million items": before + long(10**6) + b"\\x00" * 10**6,
    "a million blocks of one item": before + b"\\x02\\x00" * (MEBIBYTE // 2 - 40),
    "a million blocks of -1 items": before + b"\\x01\\x02\\x00" * (MEBIBYTE // 3 - 40),
    "a number without end": b"\\xff" * (MEBIBYTE - 5),
    "a megabyte of zeros": b"\\x00" * (MEBIBYTE - 5),
    "a megabyte of ones": b"\\x01" * (MEBIBYTE - 5),
    "a megabyte of twos": b"\\x02" * (MEBIBYTE - 5),
    "a cut number": b"\\x80",
    "nothing": b"",
}
from schemas import records
with_lists = {row.id for row in records.locked() if row.record in sys.argv[2:]}
answers = 0
for schema_id in [*range(1, 38), *range(1001, 1038)]:
    for name, body in bodies.items():
        raw = b"\\0" + schema_id.to_bytes(4, "big") + body
        assert len(raw) <= MEBIBYTE, name
        try:
            codec.decode(raw)
        except InvalidMessage:
            pass
        else:
            # Where no list stands, what was a count there is an amount or a text's length here.
            assert schema_id % 1000 not in with_lists, (schema_id, name)
        answers += 1
# The highest memory since this process began; getrusage would count the parent's before the fork.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(answers, int(status["VmHWM"].split()[0]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory limits of a process are Linux's")
def test_hostile_bodies_cost_no_memory() -> None:
    """1,110 nasty messages in a child process that may have half a gigabyte: all are answered, and
    those with endless lists refused.
    """
    path = [str(_ROOT), str(_ROOT / "tests"), str(Path(__file__).parent)]
    lists = ["PromiseToPayMade", "PaymentPlanAgreed", "PaymentPlanCancelled"]
    code = f"import sys; sys.path[:0] = {path!r}\n{_CHILD}"
    done = subprocess.run(
        [sys.executable, "-c", code, str(1 << 29), *lists],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers, megabytes = map(int, done.stdout.split())
    assert answers == 74 * 15
    assert megabytes < 200
