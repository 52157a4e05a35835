"""`headroom doctor`: what is set, and whether all that Headroom needs is there and answers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.error import URLError
from urllib.request import urlopen

import typer
from clickhouse_connect.driver.exceptions import ClickHouseError
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from agents.cli.topics import compare_topics
from streams.clickhouse import open_clickhouse
from streams.embedded import apicurio, kafka
from streams.embedded.clickhouse import find_endpoint
from streams.embedded.java import find_java, java_version
from streams.embedded.kafka import running_kafka
from streams.embedded.parts import at_broker, clickhouse_directory, kafka_directory
from streams.errors import HeadroomError
from streams.kafka_client import client_config
from streams.settings import SettingLine, Settings, describe, load_settings

_ANSWER_SECONDS = 5.0
_SAFE_REPLICATION = 3

Verdict = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What one check found. Only `wrong` makes the command fail."""

    check: str
    verdict: Verdict
    text: str


class SomethingWrongError(HeadroomError):
    """At least one check failed; all findings have been printed."""


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For a program to read.")] = False,
) -> None:
    """Show every setting with value, default and unit, and check what Headroom needs.

    Exit status 1 when something is wrong; a warning alone is no failure. Secrets are masked.
    """
    settings = load_settings()
    lines = describe(settings)
    findings = list(examine(settings))
    if as_json:
        document = {
            "settings": [asdict(line) for line in lines],
            "checks": [asdict(finding) for finding in findings],
        }
        typer.echo(json.dumps(document, indent=1))
    else:
        _print(lines, findings)
    wrong = [finding.check for finding in findings if finding.verdict == "wrong"]
    if wrong:
        raise SomethingWrongError(f"something is wrong: {', '.join(wrong)}")


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check; none of them changes anything, and each ends within seconds."""
    yield _guarded("java", lambda: _java(settings))
    yield from _kafka(settings)
    if settings.schema_registry_url:
        yield _guarded("registry", lambda: _registry(settings.schema_registry_url or ""))
    yield _guarded("clickhouse", lambda: _clickhouse(settings))
    for name, directory in (
        ("state_dir", settings.state_dir),
        ("embedded_dir", settings.embedded_dir),
        ("cache_dir", settings.cache_dir),
    ):
        yield _writable(name, directory)


def _guarded(check: str, examine_it: Callable[[], Finding]) -> Finding:
    """An error of the thing that is examined is a finding; a bug of ours still shows itself."""
    try:
        return examine_it()
    except (HeadroomError, KafkaException, ClickHouseError, URLError, OSError) as error:
        return Finding(check, "wrong", str(error).partition("\n")[0])


def _java(settings: Settings) -> Finding:
    if settings.kafka_bootstrap:
        return Finding("java", "ok", "not needed: the settings name a broker")
    program = find_java(settings.java, kafka.JAVA_AT_LEAST)
    version = java_version(program)
    if version < apicurio.JAVA_AT_LEAST:
        text = f"Java {version} runs the broker, but a registry needs {apicurio.JAVA_AT_LEAST}"
        return Finding("java", "warning", text)
    return Finding("java", "ok", f"Java {version} at {program}")


def _kafka(settings: Settings) -> Iterator[Finding]:
    bootstrap = settings.kafka_bootstrap or running_kafka(kafka_directory(settings))
    if bootstrap is None:
        text = "the embedded broker does not run; `headroom up` starts it"
        yield Finding("kafka", "warning", text)
        return
    reachable = at_broker(settings, bootstrap)
    answer = _guarded("kafka", lambda: _broker(reachable))
    yield answer
    if answer.verdict == "wrong":
        return
    yield _guarded("topics", lambda: _topics(reachable))
    if settings.kafka_bootstrap:
        yield _replication(settings)


def _broker(settings: Settings) -> Finding:
    admin = AdminClient(client_config(settings))
    cluster = admin.list_topics(timeout=_ANSWER_SECONDS)
    count = len(cluster.brokers)
    brokers = "1 broker" if count == 1 else f"{count} brokers"
    return Finding("kafka", "ok", f"{brokers} at {settings.kafka_bootstrap}")


def _topics(settings: Settings) -> Finding:
    different = compare_topics(settings)
    if not different:
        return Finding("topics", "ok", "all are as the catalogue says")
    missing = [entry for entry in different if entry.what == "topic"]
    if len(missing) == len(different):
        text = f"{len(missing)} are missing; `headroom topics apply` creates them"
        return Finding("topics", "wrong", text)
    return Finding("topics", "wrong", "; ".join(str(entry) for entry in different))


def _replication(settings: Settings) -> Finding:
    replicas, insync = settings.replication_factor, settings.min_insync_replicas
    text = f"{replicas} replicas, {insync} of them before a record counts"
    if replicas < _SAFE_REPLICATION:
        return Finding("replication", "warning", f"{text}: one lost broker can lose records")
    if insync >= replicas:
        return Finding("replication", "warning", f"{text}: one lost broker stops all writing")
    if insync == 1:
        return Finding("replication", "warning", f"{text}: a record may be on one broker only")
    return Finding("replication", "ok", text)


def _registry(url: str) -> Finding:
    with urlopen(f"{url.rstrip('/')}/subjects", timeout=_ANSWER_SECONDS) as answer:  # noqa: S310  the settings allow http and https
        return Finding("registry", "ok", f"{len(json.load(answer))} subjects")


def _clickhouse(settings: Settings) -> Finding:
    directory = clickhouse_directory(settings)
    if settings.clickhouse_dsn is None and find_endpoint(directory) is None:
        text = f"embedded engine, in {directory.absolute()}, no process has it open"
        return Finding("clickhouse", "ok", text)
    client = open_clickhouse(settings)
    try:
        where = "embedded engine" if settings.clickhouse_dsn is None else "server"
        return Finding("clickhouse", "ok", f"{where}, version {client.server_version}")
    finally:
        client.close()


def _writable(name: str, directory: Path) -> Finding:
    """Whether files can be made there, or in the nearest parent that exists."""
    there = directory.absolute()
    while not there.exists():
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Finding(name, "ok", str(directory.absolute()))
    return Finding(name, "wrong", f"HEADROOM_{name.upper()}: nothing can be written to {there}")


def _print(lines: list[SettingLine], findings: list[Finding]) -> None:
    width = max(len(line.name) for line in lines)
    for line in lines:
        value = "-" if line.value is None else line.value
        unit = f" {line.unit}" if line.unit and line.value is not None else ""
        typer.echo(f"{line.name:{width}}  {value}{unit}")
        default = "none" if line.default is None else line.default
        origin = "set" if line.source == "environment" else "default"
        typer.echo(f"{'':{width}}    {origin}; default {default}. {line.description}.")
    typer.echo()
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        typer.echo(f"{finding.verdict:7}  {finding.check:{width}}  {finding.text}")
