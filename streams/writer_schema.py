"""Schemas that others wrote: what may be used to read their bytes, and a look at lists beforehand.

A schema from a registry is input like any other. Used as it comes it could make a few bytes into a
lot of memory: a list of items that take no bytes, a record that holds itself, a dozen levels of
records with a hundred fields each. Such a schema is refused before the first message is read.
"""

from __future__ import annotations

from typing import Any

from schemas.records import AvroSchema
from streams.varint import MalformedError, items_at, length_at, long_at

DEPTH_MAX = 32
NODES_MAX = 10_000
"""Types in a schema when every named type is written out where it is used. Our largest has 30."""

_FIXED_WIDTH = {"float": 4, "double": 8}
_NUMBERS = frozenset({"int", "long", "enum"})
_TEXTS = frozenset({"string", "bytes"})
_PRIMITIVES = frozenset({"null", "boolean"}) | _NUMBERS | _TEXTS | _FIXED_WIDTH.keys()


class UnsafeSchemaError(ValueError):
    """The schema is malformed, or could turn few bytes into much memory."""


def written_out(schema: AvroSchema) -> AvroSchema:
    """The schema with every named type in the place of its name.

    Raises:
        UnsafeSchemaError: it holds itself, is too deep or too large, names what is not defined, or
            has lists of items that may take no bytes.
    """
    return _Walk().expand(schema, "", (), in_list=False)


class _Walk:
    def __init__(self) -> None:
        self._named: dict[str, tuple[AvroSchema, str]] = {}
        self._nodes = 0

    def expand(
        self, schema: AvroSchema, namespace: str, inside: tuple[str, ...], *, in_list: bool
    ) -> AvroSchema:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise UnsafeSchemaError(f"more than {NODES_MAX} types when written out")
        if len(inside) > DEPTH_MAX:
            raise UnsafeSchemaError(f"more than {DEPTH_MAX} levels")
        if isinstance(schema, list):
            deeper = (*inside, "union")
            # The branch's number takes a byte, so even a null branch is not for nothing.
            return [self.expand(branch, namespace, deeper, in_list=False) for branch in schema]
        if isinstance(schema, str):
            return self._named_or_primitive(schema, namespace, inside, in_list=in_list)
        if not isinstance(schema, dict):
            raise UnsafeSchemaError("not an Avro schema")
        return self._complex(schema, namespace, inside, in_list=in_list)

    def _named_or_primitive(
        self, name: str, namespace: str, inside: tuple[str, ...], *, in_list: bool
    ) -> AvroSchema:
        if name in _PRIMITIVES and name != "enum":
            if name == "null" and in_list:
                raise UnsafeSchemaError("a list whose items take no bytes")
            return name
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        if full not in self._named:
            raise UnsafeSchemaError("a type that is not defined")
        if full in inside:
            raise UnsafeSchemaError("a type that holds itself")
        definition, its_namespace = self._named[full]
        return self.expand(definition, its_namespace, inside, in_list=in_list)

    def _complex(
        self, schema: dict[str, Any], namespace: str, inside: tuple[str, ...], *, in_list: bool
    ) -> AvroSchema:
        word = schema.get("type")
        deeper = (*inside, str(word))
        match word:
            case "array" | "map":
                inner = "items" if word == "array" else "values"
                item = self.expand(schema.get(inner, ""), namespace, deeper, in_list=True)
                return {"type": word, inner: item}
            case "record" | "error":
                full, own = self._define(schema, namespace)
                fields = schema.get("fields")
                if not isinstance(fields, list) or not all(isinstance(f, dict) for f in fields):
                    raise UnsafeSchemaError("a record without fields")
                if in_list and not fields:
                    raise UnsafeSchemaError("a list whose items take no bytes")
                deeper = (*inside, full)
                types = [
                    self.expand(f.get("type", ""), own, deeper, in_list=in_list) for f in fields
                ]
                return {"type": "record", "fields": [{"type": each} for each in types]}
            case "enum":
                self._define(schema, namespace)
                return "enum"
            case "fixed":
                self._define(schema, namespace)
                size = schema.get("size")
                if not isinstance(size, int) or size < (1 if in_list else 0):
                    raise UnsafeSchemaError("a fixed type of no size")
                return {"type": "fixed", "size": size}
            case str() | dict() | list():
                return self.expand(word, namespace, deeper, in_list=in_list)
            case _:
                raise UnsafeSchemaError("not an Avro schema")

    def _define(self, schema: dict[str, Any], namespace: str) -> tuple[str, str]:
        name = schema.get("name")
        if not isinstance(name, str):
            raise UnsafeSchemaError("a type without a name")
        own = schema.get("namespace", namespace)
        full = name if "." in name or not own else f"{own}.{name}"
        self._named[full] = (schema, namespace)
        return full, full.rpartition(".")[0]


def check_lists(raw: bytes, at: int, schema: AvroSchema, items_max: int) -> int:
    """Walk over a value of a written-out schema without keeping any of it; where the next starts.

    Raises:
        MalformedError: a list of more than `items_max` items, or bytes that are no such value.
        IndexError: the bytes end too soon.
    """
    if isinstance(schema, list):
        branch, at = long_at(raw, at)
        if not 0 <= branch < len(schema):
            raise MalformedError(f"byte {at}: no such branch of a union")
        return check_lists(raw, at, schema[branch], items_max)
    if isinstance(schema, str):
        return _primitive_end(raw, at, schema)
    match schema["type"]:
        case "record":
            for field in schema["fields"]:
                at = check_lists(raw, at, field["type"], items_max)
            return at
        case "fixed":
            return at + int(schema["size"])
        case _:
            return _list_end(raw, at, schema, items_max)


def _list_end(raw: bytes, at: int, schema: dict[str, Any], items_max: int) -> int:
    seen = 0
    while True:
        count, at = items_at(raw, at, items_max - seen)
        if count == 0:
            return at
        seen += count
        for _ in range(count):
            if "values" in schema:
                at = _primitive_end(raw, at, "string")
            at = check_lists(raw, at, schema.get("items", schema.get("values", "")), items_max)
            if at > len(raw):
                raise MalformedError("the bytes end in a list")


def _primitive_end(raw: bytes, at: int, word: str) -> int:
    if word in _TEXTS:
        length, at = length_at(raw, at)
        return at + length
    if word in _NUMBERS:
        return long_at(raw, at)[1]
    if word == "boolean":
        return at + 1
    return at + _FIXED_WIDTH.get(word, 0)
