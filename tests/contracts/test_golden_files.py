"""What subscribers test against: every type and released version, as the sources have it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas import golden, records
from schemas.currencies import Currencies
from schemas.events import BY_NAME
from schemas.json_lines import parse_payload
from streams.codec import Codec
from streams.registry import LockedSchemaIds

_GOLDEN = Path(__file__).parents[2] / "schemas" / "golden"


def test_the_files_are_those_that_the_sources_make() -> None:
    """`headroom schemas docs` brings them up to date."""
    found = {path.name: path.read_text(encoding="utf-8") for path in _GOLDEN.iterdir()}
    assert found == golden.documents()


def test_every_type_and_every_released_version_is_there() -> None:
    files = [json.loads(path.read_text(encoding="utf-8")) for path in _GOLDEN.iterdir()]
    assert {one["type"] for one in files} == set(BY_NAME)
    ids = [each["schema_id"] for one in files for each in one["examples"]]
    assert sorted(ids) == [row.id for row in records.locked()]


@pytest.mark.parametrize("name", BY_NAME)
def test_bytes_record_and_line_say_the_same(name: str) -> None:
    """Read by our own codec, which knows nothing of these files."""
    codec = Codec(LockedSchemaIds())
    file = json.loads((_GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    for example in file["examples"]:
        value = bytes.fromhex(example["value_hex"])
        event = codec.decode(value)
        assert event == parse_payload(example["event"], Currencies())
        assert int.from_bytes(value[1:5], "big") == example["schema_id"]
        for field, found in example["record"].items():
            ours = getattr(event, field)
            if not isinstance(found, list):
                assert found == ours, field
