"""A worker process on a real broker: what goes in comes out, once in effect, come what may."""

from __future__ import annotations

import random
import signal
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from agents.policy_file import load_policy
from agents.simulate import Simulation
from schemas.catalogue import DEAD_LETTERS, JOURNAL, topic_of
from schemas.events import CustomerUpserted, Event, ExposureChanged, OrderDecision, OrderPlaced

pytestmark = pytest.mark.connected

DECISIONS = topic_of("OrderDecision")
EXPOSURES = topic_of("ExposureChanged")
ALERTS = topic_of("CreditLimitAlert")
AT = 1_772_000_000_000_000


def customer(customer_id: str, limit: int) -> CustomerUpserted:
    return CustomerUpserted(
        event_id=f"cu-{customer_id}",
        occurred_at=AT,
        customer_id=customer_id,
        currency="EUR",
        credit_limit=limit,
    )


def order(customer_id: str, order_id: str, amount: int, at: int = AT) -> OrderPlaced:
    return OrderPlaced(
        event_id=f"op-{order_id}",
        occurred_at=at,
        customer_id=customer_id,
        order_id=order_id,
        amount=amount,
        currency="EUR",
    )


def headers_of(message: Any) -> dict[str, bytes]:
    return dict(message.headers())


def oracle(broker: Any, journal: list[Any]) -> dict[str, Event]:
    """What the pure rules say to the journal, partition by partition, repeats left out."""
    said: dict[str, Event] = {}
    for partition in range(broker.partitions):
        simulation = Simulation(load_policy(None))
        seen: set[bytes] = set()
        for message in sorted(journal, key=lambda m: m.offset()):
            origin = headers_of(message)["headroom_origin"]
            if message.partition() == partition and origin not in seen:
                seen.add(origin)
                for event in simulation.feed(broker.codec.decode(message.value())):
                    assert isinstance(event, Event)
                    said[event.event_id] = event
    return said


@pytest.mark.parametrize("guarantee", ["effectively_once", "exactly_once"])
def test_kill_9_in_mid_run_loses_nothing_and_repeats_only_what_the_setting_allows(
    kafka: str, broker: Any, make_worker: Any, guarantee: str
) -> None:
    """Killed three times under load, every order has the decision that the pure rules give it.

    Effectively once: a repeat has the same id and content. Exactly once: there is none, neither in
    the decisions nor in the journal.
    """
    read_journal, read_decisions = broker.reader(JOURNAL), broker.reader(DECISIONS)
    read_exposures = broker.reader(EXPOSURES)
    worker = make_worker(kafka, guarantee=guarantee)
    worker.start()
    chance = random.Random(7)
    run = f"k{time.time_ns():x}"
    customers = [f"{run}-{n}" for n in range(40)]
    for customer_id in customers:
        broker.send(customer(customer_id, 40_000_00), customer_id)
    broker.flush()

    def mine(messages: list[Any]) -> list[Any]:
        return [m for m in messages if run.encode() in (m.key() or b"")]

    # Another topic: nothing else orders the customers before their orders.
    assert len(mine(read_journal(lambda read: len(mine(read)) >= 40))) == 40
    number = 0
    for kill in range(4):
        for _ in range(300):
            customer_id = chance.choice(customers)
            amount = chance.randrange(1_00, 8_000_00)
            broker.send(order(customer_id, f"{run}-o{number}", amount, AT + number))
            number += 1
            time.sleep(0.002)
        if kill < 3:
            worker.kill()
            worker.start()
    broker.flush()

    by_id: dict[str, set[bytes]] = defaultdict(set)
    decisions = mine(read_decisions(lambda read: len({m.value() for m in mine(read)}) >= number))
    for message in decisions:
        by_id[headers_of(message)["ce_id"].decode()].add(message.value())
    assert all(len(values) == 1 for values in by_id.values()), "one id, two contents"

    everything = number + len(customers)
    journal = mine(read_journal(lambda read: len({m.value() for m in mine(read)}) == everything))
    if guarantee == "exactly_once":
        assert len(mine(read_decisions(_a_moment()))) == number
        assert len(mine(read_journal(_a_moment()))) == everything
    said = oracle(broker, journal)
    expected = {id_: event for id_, event in said.items() if isinstance(event, OrderDecision)}
    assert len(expected) == number
    assert {id_: broker.codec.decode(next(iter(v))) for id_, v in by_id.items()} == expected

    worker.signal(signal.SIGTERM)
    assert worker.wait(15) == 0, worker.log
    approved: dict[str, int] = defaultdict(int)
    for event in expected.values():
        assert isinstance(event, OrderDecision)
        if event.decision in ("approved", "released"):
            approved[event.customer_id] += event.amount
    latest: dict[str, ExposureChanged] = {}
    read_exposures(lambda read: len({m.key() for m in mine(read)}) == 40)
    for message in read_exposures(_a_moment()):  # to the last of each
        event = broker.codec.decode(message.value())
        if isinstance(event, ExposureChanged) and event.customer_id.startswith(run):
            latest[event.customer_id] = event
    assert {c: latest[c].exposure for c in customers} == {c: approved[c] for c in customers}


def _a_moment() -> Callable[[list[Any]], bool]:
    """Long enough that a repeat would have come."""
    end = time.monotonic() + 2
    return lambda _read: time.monotonic() > end


def _lets_go(broker: Any, message: Any, customer_id: str) -> bool:
    """Whether the message is a decision by which an order of the customer may ship."""
    decision = broker.codec.decode(message.value())
    return decision.customer_id == customer_id and decision.decision in ("approved", "released")


def test_bad_records_go_to_the_dead_letters_and_the_rest_goes_on(
    kafka: str, broker: Any, make_worker: Any
) -> None:
    """Original key, bytes, timestamp and headers are kept; reason, class and position are said."""
    read_dead, read_decisions = broker.reader(DEAD_LETTERS), broker.reader(DECISIONS)
    worker = make_worker(kafka)
    worker.start()
    run = f"d{time.time_ns():x}"
    good = broker.codec.encode(order(run, f"{run}-o", 100))
    orders = topic_of("OrderPlaced")
    bad = {
        "broken": (good[:-3], "undecodable"),
        "unknown id": (b"\0\xff\xff\xff\xff" + good[5:], "unknown_schema"),
        "text": (b"hello", "undecodable"),
        "nothing": (None, "undecodable"),
        "huge": (good + bytes(10_000_000), "too_large"),
        "negative": (broker.codec.encode(order(run, f"{run}-n", -5)), "amount_not_positive"),
    }
    broker.send(customer(run, 1_000_00), run)
    for name, (value, _) in bad.items():
        broker.send_raw(orders, value, f"{run} {name}", headers=[("mine", b"kept")], timestamp=1234)
    broker.send(order(run, f"{run}-good", 100_00))
    broker.flush()

    dead = [
        m
        for m in read_dead(lambda read: sum(run.encode() in (m.key() or b"") for m in read) == 6)
        if run.encode() in (m.key() or b"")
    ]
    found = {m.key().decode().removeprefix(run + " "): m for m in dead}
    assert found.keys() == bad.keys()
    for name, (value, reason) in bad.items():
        headers = headers_of(found[name])
        assert found[name].value() == value
        assert found[name].timestamp()[1] == 1234
        assert headers["mine"] == b"kept"
        assert headers["headroom_reason"].decode() == reason
        assert headers["headroom_class"] == (b"rule" if name == "negative" else b"message")
        assert headers["headroom_original_topic"].decode() == orders
        assert headers["headroom_original_timestamp"] == b"1234"
        assert headers["headroom_original_partition"].isdigit()
        assert headers["headroom_original_offset"].isdigit()
    # The order may overtake its customer, whose topic is another one: then it waits for it.
    decided = [
        broker.codec.decode(m.value())
        for m in read_decisions(lambda read: any(_lets_go(broker, m, run) for m in read))
        if m.key() == run.encode()
    ]
    assert [one.decision_number for one in decided] == list(range(1, len(decided) + 1))
    assert all(one.reasons == ["customer_unknown"] for one in decided[:-1])
    metrics = worker.get("/metrics")[1]
    assert 'headroom_dead_letters_total{reason="too_large"} 1.0' in metrics
    assert 'headroom_dead_letters_total{reason="undecodable"} 3.0' in metrics


def test_without_a_broker_a_worker_says_so_once_and_waits(make_worker: Any) -> None:
    """No traceback, not ready, alive, and it still stops when told to."""
    worker = make_worker("127.0.0.1:9")
    worker.start()
    deadline = time.monotonic() + 20
    while "no Kafka broker answers at 127.0.0.1:9" not in worker.log:
        assert time.monotonic() < deadline, worker.log
        time.sleep(0.1)
    assert worker.get("/readyz")[0] == 503
    assert worker.get("/livez") == (200, "ok\n")
    worker.signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert worker.log.count("\n") <= 3, worker.log
    assert "Traceback" not in worker.log


def test_a_second_worker_takes_over_and_the_state_goes_with_it(
    kafka: str, broker: Any, make_worker: Any
) -> None:
    """The limit used up under the first worker is used up under the second, whose disk is empty."""
    read_decisions = broker.reader(DECISIONS)
    run = f"s{time.time_ns():x}"
    first = make_worker(kafka, "first")
    first.start()
    first.wait_until_ready()
    broker.send(customer(run, 100_00), run)
    broker.flush()
    time.sleep(0.5)  # another topic: nothing orders the customer before the order but time
    broker.send(order(run, f"{run}-1", 80_00))
    broker.flush()

    def mine(read: list[Any]) -> list[Any]:
        return [m for m in read if m.key() == run.encode()]

    assert mine(read_decisions(lambda read: bool(mine(read))))
    first.kill()
    second = make_worker(kafka, "second")
    second.start()
    broker.send(order(run, f"{run}-2", 80_00, AT + 1))
    broker.flush()
    last = mine(read_decisions(lambda read: any(b"-2" in m.value() for m in mine(read))))[-1]
    decision = broker.codec.decode(last.value())
    assert (decision.order_id, decision.decision) == (f"{run}-2", "held")
    assert decision.reasons == ["credit_limit_exceeded"]


def test_two_installations_say_the_same_bytes_to_one_journal(
    kafka: str, broker: Any, make_worker: Any
) -> None:
    """Decisions and alerts of every partition, in their order: keys, values, headers."""
    run = f"y{time.time_ns():x}"

    def mine(messages: list[Any]) -> list[Any]:
        return [m for m in messages if run.encode() in (m.key() or b"")]

    def said(topics: dict[str, Any], count: int) -> dict[tuple[str, int], list[Any]]:
        by_place: dict[tuple[str, int], list[Any]] = defaultdict(list)
        for topic, read_on in topics.items():
            enough = count if topic == DECISIONS else 1
            read_on(lambda read, enough=enough: len(mine(read)) >= enough)
            for message in mine(read_on(_a_moment())):
                what = message.key(), message.value(), message.headers()
                by_place[topic, message.partition()].append(what)
        return by_place

    first_said = {topic: broker.reader(topic) for topic in (DECISIONS, ALERTS)}
    first = make_worker(kafka, "first")
    first.start()
    chance = random.Random(11)
    customers = [f"{run}-{n}" for n in range(20)]
    for customer_id in customers:
        broker.send(customer(customer_id, 10_000_00), customer_id)
    for number in range(400):
        amount = chance.randrange(1_00, 2_000_00)
        broker.send(order(chance.choice(customers), f"{run}-o{number}", amount, AT + number))
    broker.flush()
    one = said(first_said, 400)
    first.signal(signal.SIGTERM)
    assert first.wait(15) == 0, first.log

    second_said = {topic: broker.reader(topic) for topic in (DECISIONS, ALERTS)}
    second = make_worker(kafka, "second", app_id=f"{run}-other")
    second.start(only="credit")
    other = said(second_said, 400)
    assert other == one
    assert {topic for topic, _ in one} == {DECISIONS, ALERTS}
