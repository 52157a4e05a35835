"""Which statements of a migration can lose or rewrite what is stored.

ClickHouse itself reads the statement (`formatQuery`, `EXPLAIN AST`), the very server that would
run it, so nothing is understood here that is not understood there. What is not known to be harmless
counts as a risk. Where there are no rows, nothing is at risk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from clickhouse_connect.driver.client import Client

from agents.sink.cluster import LOCAL
from agents.sink.tables import DATABASE

_HARMLESS = (
    "CREATE DATABASE",
    "CREATE TABLE",
    "CREATE VIEW",
    "CREATE OR REPLACE VIEW",
    "CREATE MATERIALIZED VIEW",
    "CREATE DICTIONARY",
    "CREATE FUNCTION",
    "INSERT INTO",
)
_RISKY = {
    "DROP DATABASE": "drops every table",
    "DROP TABLE": "drops the table and its rows",
    "DROP VIEW": "drops a view that keeps rows of its own",
    "TRUNCATE": "removes every row",
    "DELETE": "removes rows",
    "UPDATE": "rewrites rows",
    "OPTIMIZE": "rewrites the table, and may remove rows",
    "RENAME": "puts another table, or none, under a name that is written to and read",
    "EXCHANGE": "puts another table under a name that is written to and read",
    "CREATE OR REPLACE": "puts an empty table in the place of the one that is there",
    "REPLACE": "puts another table in the place of the one that is there",
    "DETACH": "takes the table away from those who read it",
}
_HARMLESS_CHANGES = frozenset(
    {
        "ADD_COLUMN", "COMMENT_COLUMN", "COMMENT_TABLE", "MODIFY_COMMENT",
        "ADD_INDEX", "DROP_INDEX", "MATERIALIZE_INDEX",
        "ADD_PROJECTION", "DROP_PROJECTION", "MATERIALIZE_PROJECTION",
        "ADD_STATISTICS", "DROP_STATISTICS", "MODIFY_STATISTICS", "MATERIALIZE_STATISTICS",
        "ADD_CONSTRAINT", "DROP_CONSTRAINT", "MODIFY_SETTING", "RESET_SETTING",
        "MODIFY_QUERY", "MODIFY_SQL_SECURITY", "REMOVE_TTL",
    }
)  # fmt: skip
_RISKY_CHANGES = {
    "DROP_COLUMN": "drops what stands in a column",
    "RENAME_COLUMN": "takes a column away under the name by which it is written and read",
    "MODIFY_ORDER_BY": "changes by what repeats are recognised",
    "MODIFY_TTL": "removes rows by their age",
    "MATERIALIZE_TTL": "removes rows by their age",
    "MATERIALIZE_COLUMN": "rewrites a column",
    "DELETE": "removes rows",
    "UPDATE": "rewrites rows",
    "DROP_PARTITION": "removes a partition",
    "DROP_DETACHED_PARTITION": "removes a partition",
    "REPLACE_PARTITION": "replaces a partition",
    "MOVE_PARTITION": "moves a partition away",
}
_UNKNOWN = "is not known to be harmless"


@dataclass(frozen=True)
class Risk:
    """A statement that can lose or rewrite what is stored, the file it stands in, and why."""

    file: str
    statement: str
    why: str

    def __str__(self) -> str:
        return f"{self.file}: {' '.join(self.statement.split())}: {self.why}"


class Node(NamedTuple):
    """A part of a statement as ClickHouse reads it."""

    text: str
    children: list[Node]


def risks_of(client: Client, file: str, statements: Iterable[str]) -> Iterator[Risk]:
    """Those of a file's statements that put at risk what stands in the tables now."""
    for statement in statements:
        why = _why_risky(client, statement)
        if why is not None:
            yield Risk(file, statement, why)


def _why_risky(client: Client, statement: str) -> str | None:
    """Why a statement is not simply run; None when it may be."""
    words = _first_line(client, statement)
    if words.startswith(_HARMLESS):
        return None
    tree = _tree(client, statement)
    table = _table(tree)
    keeps_rows = _engine(client, table) == "MaterializedView"
    if words.startswith("DROP VIEW") and not keeps_rows:
        return None
    if not keeps_rows and not _has_rows(client, table):
        return None
    if words.startswith("ALTER TABLE"):
        return _why_change_is_risky(client, statement, tree, table)
    return next((why for head, why in _RISKY.items() if words.startswith(head)), _UNKNOWN)


def _why_change_is_risky(client: Client, statement: str, tree: Node, table: str) -> str | None:
    """Of ALTER TABLE with all its changes: why the first one that is risky is so."""
    for change in tree.children[0].children:
        kind = change.text.removeprefix("AlterCommand ")
        if kind in _HARMLESS_CHANGES:
            continue
        if kind != "MODIFY_COLUMN":
            return _RISKY_CHANGES.get(kind, _UNKNOWN)
        if re.search(r"\bTTL\b", statement, re.IGNORECASE):
            return "removes what stands in a column by its age"
        why = _why_column_is_risky(client, table, change.children[0])
        if why is not None:
            return why
    return None


def _why_column_is_risky(client: Client, table: str, declared: Node) -> str | None:
    """A column may get a type that holds all that the old one does; the rest is no matter."""
    wanted = next((node for node in declared.children if "DataType " in node.text), None)
    if wanted is None:
        return None
    column = declared.text.removeprefix("ColumnDeclaration ")
    found = client.query(
        "SELECT type FROM system.columns"
        " WHERE database = {d:String} AND table = {t:String} AND name = {c:String}",
        {"d": DATABASE, "t": table, "c": column},
    ).result_rows
    there, name = str(found[0][0]) if found else "", _type(wanted)
    if name is not None and there and (there == name or _holds(client, name, there)):
        return None
    return f"what stands in {column} as {there} may not fit into {name or 'the new type'}"


def _holds(client: Client, wanted: str, there: str) -> bool:
    """Whether every value of the one type is one of the other too, as ClickHouse sees it: both in
    one array are of that type.
    """
    plain, other = (re.sub(r"\bLowCardinality\((\w+)\)", r"\1", name) for name in (wanted, there))
    return bool(
        client.command(
            "SELECT toTypeName([defaultValueOfTypeName({a:String}),"
            " defaultValueOfTypeName({b:String})])"
            " = concat('Array(', toTypeName(defaultValueOfTypeName({a:String})), ')')",
            {"a": plain, "b": other},
        )
    )


def _type(node: Node) -> str | None:
    """A type's text, from its part of the tree; None for one whose parts the tree does not tell,
    such as an Enum's.
    """
    if not node.text.startswith("DataType "):
        return None
    parts = []
    for part in node.children[0].children if node.children else ():
        if part.text.startswith("Literal "):
            parts.append(re.sub(r"^U?Int64_", "", part.text.removeprefix("Literal ")))
            continue
        inner = _type(part)
        if inner is None:
            return None
        parts.append(inner)
    name = node.text.removeprefix("DataType ")
    return f"{name}({', '.join(parts)})" if parts else name


def _first_line(client: Client, statement: str) -> str:
    """The statement's first line without comments, its key words as ClickHouse writes them."""
    text = client.command("SELECT formatQuery({q:String})", {"q": statement})
    return str(text).partition("\n")[0]


def _tree(client: Client, statement: str) -> Node:
    """The statement as ClickHouse reads it."""
    above: list[Node] = []
    # Asked for no format, which would be read as the statement's: the lines come as they are, but
    # for the quotes.
    answer = client.raw_query(f"EXPLAIN AST {statement}").decode()
    for line in answer.replace("\\'", "'").splitlines():
        text = line.lstrip(" ")
        depth = len(line) - len(text)
        node = Node(re.sub(r" \(children \d+\)$", "", text), [])
        del above[depth:]
        if above:
            above[-1].children.append(node)
        above.append(node)
    return above[0]


def _table(tree: Node) -> str:
    """The table that a statement is about; "" where it names several, or none.

    The first node names it too, but not always by its name only (`OptimizeQuery headroom t_final`).
    """
    named = [
        node.text.removeprefix("Identifier ")
        for node in tree.children
        if node.text.startswith("Identifier ")
    ]
    return named[1] if len(named) == 2 else ""  # noqa: PLR2004  database and table


def _engine(client: Client, table: str) -> str:
    return str(
        client.command(
            "SELECT any(engine) FROM system.tables"
            " WHERE database = {d:String} AND name = {t:String}",
            {"d": DATABASE, "t": table},
        )
    )


def _has_rows(client: Client, table: str) -> bool:
    """Whether a table of ours has rows; "" asks for any of them."""
    tables = client.query(
        "SELECT name FROM system.tables WHERE database = {d:String} AND engine LIKE '%MergeTree'"
        " AND name != 'schema_migrations' AND ({t:String} = '' OR name IN ({t:String}, {l:String}))"
        " UNION ALL SELECT name FROM system.tables WHERE database = {d:String}"
        " AND engine = 'Distributed' AND ({t:String} = '' OR name = {t:String})",
        {"d": DATABASE, "t": table, "l": table + LOCAL},
    ).result_rows
    asked = (f"SELECT 1 FROM {DATABASE}.`{name}` LIMIT 1" for (name,) in tables)  # noqa: S608  ours
    return any(client.query(question).result_rows for question in asked)
