"""The demo as somebody runs it, and the pipeline against `simulate` on its journal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from agents.demo.history import events_of, read_settled_invoices
from agents.policy_file import load_policy
from agents.simulate import Simulation
from schemas.catalogue import DEAD_LETTERS, JOURNAL, topic_of
from schemas.currencies import Currencies
from schemas.events import BusinessDayContinued, Event, OrderDecision
from schemas.json_lines import to_line
from streams.codec import Codec
from streams.embedded.kafka import EmbeddedKafka
from streams.registry import open_schema_ids
from streams.settings import Settings

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_PARTITIONS = Settings.model_fields["partitions"].default
_SAID = tuple(topic_of(name) for name in ("OrderDecision", "CreditLimitAlert", "RiskSignal"))


def run_headroom(
    *arguments: str, directory: Path, cache_dir: Path
) -> subprocess.CompletedProcess[str]:
    environment = {name: v for name, v in os.environ.items() if not name.startswith("HEADROOM_")}
    return subprocess.run(
        [sys.executable, "-m", "agents.cli.main", *arguments],
        env=environment
        | {"HEADROOM_CACHE_DIR": str(cache_dir), "HEADROOM_EMBEDDED_DIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Path:
    """The directory of a demo that has run at full speed and agreed with the file."""
    directory = tmp_path_factory.mktemp("demo")
    done = run_headroom("demo", "--days-per-second", "0", directory=directory, cache_dir=cache_dir)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "Everything agrees" in done.stdout
    assert "DIFFERS" not in done.stdout
    return directory / "demo"


@pytest.fixture(scope="module")
def bootstrap(demo: Path, cache_dir: Path) -> Iterator[str]:
    """The demo's broker, started again; commands with the demo's directory find it."""
    with EmbeddedKafka(demo / "kafka", cache=cache_dir) as kafka:
        yield kafka.bootstrap_servers


def test_the_pipeline_says_what_simulate_says_on_the_same_journal(
    bootstrap: str, tmp_path: Path
) -> None:
    """Event for event, in content, id and order per customer, on the real data."""
    codec = Codec(open_schema_ids(None))
    said: dict[str, list[str]] = defaultdict(list)
    assert read(bootstrap, DEAD_LETTERS, 0) == []
    journal = [
        [codec.decode(value) for value in read(bootstrap, JOURNAL, n)] for n in range(_PARTITIONS)
    ]
    for topic in _SAID:
        for n in range(_PARTITIONS):
            for value in read(bootstrap, topic, n):
                event = codec.decode(value)
                said[f"{topic} {customer_of(event)}"].append(to_line(event))
    sent_in = [one for events in journal for one in events if type(one) is not BusinessDayContinued]
    assert len(sent_in) == 8_620 + _PARTITIONS * 752
    expected: dict[str, list[str]] = defaultdict(list)
    for n, events in enumerate(journal):
        for line in simulated(tmp_path / f"{n}.jsonl", events):
            event_topic, customer_id, text = line
            expected[f"{event_topic} {customer_id}"].append(text)
    assert said == expected
    decisions = [line for key, lines in said.items() if "decisions" in key for line in lines]
    assert len(decisions) > 2_466


def test_an_order_is_explained_from_kafka_as_it_was_decided_there(
    demo: Path, bootstrap: str, cache_dir: Path
) -> None:
    codec = Codec(open_schema_ids(None))
    topic = topic_of("OrderDecision")
    decided = [codec.decode(value) for value in read(bootstrap, topic, 1)]
    held = next(one for one in decided if isinstance(one, OrderDecision) and one.decision == "held")
    done = run_headroom("explain", held.order_id, "--json", directory=demo, cache_dir=cache_dir)
    assert done.returncode == 0, done.stderr
    (explained,) = json.loads(done.stdout)
    assert [ruling["decision"] for ruling in explained["rulings"]] == [
        json.loads(to_line(one))
        for one in decided
        if isinstance(one, OrderDecision) and one.order_id == held.order_id
    ]
    first = explained["rulings"][0]
    assert first["published"] == {"partition": 1, "offset": decided.index(held)}
    counted = sum((Decimal(one["amount"]) for one in first["inputs"]), start=Decimal(0))
    assert counted == Decimal(first["decision"]["exposure_after"])
    assert [one["reason"] for one in first["obstacles"]] == held.reasons


def test_explaining_under_another_policy_tells_that_it_was_not_decided_so(
    demo: Path, bootstrap: str, cache_dir: Path, tmp_path: Path
) -> None:
    decided = (
        Codec(open_schema_ids(None)).decode(value)
        for value in read(bootstrap, topic_of("OrderDecision"), 0)
    )
    order_id = next(one.order_id for one in decided if isinstance(one, OrderDecision))
    other = tmp_path / "other.toml"
    other.write_text('version = "other"\n', encoding="utf-8")
    done = run_headroom(
        "explain", order_id, "--policy", str(other), directory=demo, cache_dir=cache_dir
    )
    assert done.returncode == 1
    assert f"order {order_id}, decision 1 was published with other content" in done.stderr


def test_a_backtest_reads_kafka_as_it_reads_the_file_of_the_history(
    demo: Path, bootstrap: str, cache_dir: Path, tmp_path: Path
) -> None:
    assert bootstrap
    tried = tmp_path / "tried.toml"
    tried.write_text('version = "tried"\n[overdue]\nmax_overdue_days = 7\n', encoding="utf-8")
    history = events_of(read_settled_invoices())
    currencies = Currencies()
    for event in history:
        currencies.learn(event)
    lines = "\n".join(to_line(event, currencies.of(event)) for event in history)
    (tmp_path / "history.jsonl").write_text(lines, encoding="utf-8")
    asked = ("backtest", "--policy", str(tried), "--from", "2012-06-01", "--json")
    from_kafka = run_headroom(*asked, directory=demo, cache_dir=cache_dir)
    from_file = run_headroom(
        *asked,
        "--journal",
        str(tmp_path / "history.jsonl"),
        "--days",
        directory=demo,
        cache_dir=cache_dir,
    )
    assert from_kafka.returncode == 0, from_kafka.stderr
    assert json.loads(from_kafka.stdout) == json.loads(from_file.stdout)
    assert json.loads(from_kafka.stdout)["orders"]


def simulated(path: Path, events: list[Event]) -> list[tuple[str, str, str]]:
    """Topic, customer and line of what `headroom simulate` prints for the events as JSON lines."""
    currencies = Currencies()
    for event in events:
        currencies.learn(event)
    lines = [to_line(event, currencies.of(event)) for event in events]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = run_headroom("simulate", str(path), directory=path.parent, cache_dir=path.parent)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    simulation = Simulation(load_policy(None))
    effects = [effect for event in events for effect in simulation.feed(event)]
    printed = done.stdout.splitlines()
    assert len(printed) == len(effects)
    return [
        (topic_of(type(effect).__name__), customer_of(effect), line)
        for effect, line in zip(effects, printed, strict=True)
    ]


def customer_of(event: object) -> str:
    return str(getattr(event, "customer_id", ""))


def read(bootstrap: str, topic: str, partition: int) -> list[bytes]:
    """All values of a partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "demo-test",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, 0)])
    values: list[bytes] = []
    while True:
        message = consumer.poll(20)
        assert message is not None, f"{topic}-{partition} does not come to its end"
        if message.error() is not None:
            break
        value = message.value()
        assert isinstance(value, bytes)
        values.append(value)
    consumer.close()
    return values
