"""How long it takes to read and write one event: the product's codec beside plain fastavro.

`python -m benchmarks.codec` prints microseconds per event, the best of many short runs, so that a
busy machine disturbs it least.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable
from importlib.resources import files
from io import BytesIO
from typing import Any

import fastavro
import msgspec

from schemas import events, records
from schemas.events import Event
from streams.codec import Codec
from streams.registry import LockedSchemaIds

MEASURED = ("OrderPlaced", "InvoiceIssued", "PaymentReceived", "OrderDecision", "ExposureChanged")
_CALLS = 1_000
_RUNS = 200


def measure(name: str) -> dict[str, float]:
    """Microseconds to decode and to encode the golden example of an event, both ways."""
    raw = files("schemas").joinpath("examples", f"{name}-1.bin").read_bytes()
    codec = Codec(LockedSchemaIds())
    event = codec.decode(raw)
    schema = fastavro.parse_schema(records.structure(records.current(name)))
    kind = events.BY_NAME[name]
    return {
        "decode": _microseconds(codec.decode, raw),
        "encode": _microseconds(codec.encode, event),
        "fastavro_decode": _microseconds(lambda: _plain_decode(raw, schema, kind)),
        "fastavro_encode": _microseconds(lambda: _plain_encode(event, schema)),
    }


def _plain_decode(raw: bytes, schema: Any, kind: type[Event]) -> Event:
    fields: Any = fastavro.schemaless_reader(BytesIO(raw[5:]), schema, None)
    return kind(**fields)


def _plain_encode(event: Event, schema: Any) -> bytes:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, schema, msgspec.to_builtins(event))
    return stream.getvalue()


def _microseconds(call: Callable[..., object], *arguments: object) -> float:
    runs = timeit.repeat(lambda: call(*arguments), number=_CALLS, repeat=_RUNS)
    return min(runs) / _CALLS * 1e6


def main() -> None:
    print(f"{'µs per event':<18}{'decode':>8}{'encode':>8}   fastavro: {'decode':>8}{'encode':>8}")
    for name in MEASURED:
        found = measure(name)
        print(
            f"{name:<18}{found['decode']:>8.2f}{found['encode']:>8.2f}"
            f"{'':13}{found['fastavro_decode']:>8.2f}{found['fastavro_encode']:>8.2f}"
        )


if __name__ == "__main__":
    main()
