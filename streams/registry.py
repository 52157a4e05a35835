"""Which schema id means which schema: from the lock file, or from a registry.

Without a registry the ids are those of `schemas/ids.lock.json`. With one (Confluent's interface,
which others speak too) every event's schema is looked up, and registered where it is missing, under
`<topic>-<record full name>` (TopicRecordNameStrategy), with the topic's compatibility.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas import records
from schemas.records import AvroSchema, LockedSchema
from streams.codec import Codec, SchemaIds
from streams.errors import InvalidMessage
from streams.settings import Settings


def open_schema_ids(registry_url: str | None) -> SchemaIds:
    """The ids of the registry at the URL, or of the lock file when there is none.

    Raises:
        ConfigurationError, TransportError: see `RegistrySchemaIds`.
    """
    if registry_url is None:
        return LockedSchemaIds()
    # Its client takes a third of a second to import, and most commands know no registry.
    from streams.registry_ids import RegistrySchemaIds  # noqa: PLC0415

    return RegistrySchemaIds(registry_url)


def open_codec(settings: Settings) -> Codec:
    """The codec of an installation.

    Raises:
        ConfigurationError, TransportError: see `RegistrySchemaIds`.
    """
    return Codec(open_schema_ids(settings.schema_registry_url), bytes_max=settings.max_record_bytes)


class LockedSchemaIds:
    """The ids of the lock file."""

    def __init__(self, rows: Iterable[LockedSchema] | None = None) -> None:
        self._rows = {row.id: row for row in (records.locked() if rows is None else rows)}
        newest = sorted(self._rows.values(), key=lambda row: row.version)
        self._newest = {row.record: row.id for row in newest}

    def id_of(self, record: str) -> int:
        return self._newest[record]

    def writer(self, schema_id: int) -> AvroSchema:
        row = self._rows.get(schema_id)
        if row is None:
            raise InvalidMessage(
                "unknown_schema", f"schema id {schema_id} is unknown", schema_id=schema_id
            )
        return records.released(row.record, row.version)
