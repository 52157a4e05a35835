"""From an order that is held to whoever should know: real broker, workers, mail and web servers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from alerts.watch import SECRET, Watch, until
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from worker.conftest import START

from agents.alerts.agent import SOURCES
from streams.embedded.kafka import EmbeddedKafka

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_ROUTES = f"""
[recipients.ann]
email = "ann@firm.example"
account_manager = "a.vries"
language = "nl"

[recipients.desk]
email = "desk@firm.example"

[recipients.head]
email = "head@firm.example"

[recipients.chat]
chat = "URL/chat"

[recipients.erp]
webhook = "URL/erp"
secret = "{SECRET}"

[recipients.slow]
webhook = "URL/slow"
secret = "{SECRET}"

[recipients.gone]
webhook = "URL/gone"
secret = "{SECRET}"

[[routes]]
name = "holds"
kinds = ["hold"]
to = ["account manager", "chat", "erp", "slow"]
without_manager = ["desk"]

[[routes.escalate]]
after_minutes = 60
to = ["head"]

[[routes]]
name = "key accounts"
kinds = ["hold"]
segments = ["key"]
to = ["gone"]
"""
_ENDS = """
import os
from agents.notify.mail import _Mail

def ends(kind, name, *, after):
    done = getattr(kind, name)
    def method(self, *arguments):
        if after:
            done(self, *arguments)
        os._exit(9)
    setattr(kind, name, method)

"""
_WHERE = (
    'ends(_Mail, "finish", after=False)',
    'ends(_Mail, "finish", after=True)',
)


@pytest.fixture
def watch(tmp_path: Path, cache_dir: Path, request: pytest.FixtureRequest) -> Iterator[Watch]:
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        one = Watch(tmp_path, kafka.bootstrap_servers, _ROUTES, HEADROOM_GUARANTEE=request.param)
        yield one
        one.close()


@pytest.mark.parametrize("watch", ["effectively_once"], indirect=True)
def test_who_should_know_is_told_and_says_so(watch: Watch) -> None:
    watch.endpoints.hanging.add("/slow")
    watch.endpoints.status["/gone"] = 410
    watch.desk.start(only="intake,credit,alerts")
    watch.desk.wait_until_ready()
    watch.customer("C-1", account_manager="a.vries", segment="key")
    watch.customer("C-2")
    for customer in ("C-1", "C-2"):
        watch.order(customer)
    received = watch.mailroom.received
    mails = Counter({"ann@firm.example": 1, "desk@firm.example": 1})
    until(lambda: received() == mails, lambda: f"{received()} {watch.desk.log}")
    until(lambda: len(watch.endpoints.ids("/erp")) == 2, lambda: watch.desk.log)
    until(lambda: len(watch.endpoints.asked.get("/chat", [])) == 2, lambda: watch.desk.log)
    # One that does not answer keeps nobody waiting, and is asked one thing at a time.
    assert len(watch.endpoints.asked["/slow"]) == 1
    ann = next(one for one in watch.mailroom.box if one["To"] == "ann@firm.example")
    assert ann["Subject"] == "Order O-C-1 staat geblokkeerd: Firm C-1 (C-1)"
    assert "https://credit.example/console/customers/C-1" in ann.as_string()
    text = json.loads(watch.endpoints.asked["/chat"][0][1])["text"]
    assert text.startswith("*Order O-C-")
    _, body = watch.endpoints.asked["/erp"][0]
    assert json.loads(body)["type"] == "credit.order.held"
    # What did not get through is a dead letter, and can be sent again.
    found = json.loads(watch.run("dlq", "list", "--json"))["letters"]
    assert [one["reason"] for one in found] == ["alert_failed"]
    watch.endpoints.status.clear()
    watch.run("dlq", "retry", found[0]["id"], "--by", "ann", "--reason", "there again")
    until(lambda: len(watch.endpoints.asked["/gone"]) == 2, lambda: watch.desk.log)
    assert len(watch.endpoints.ids("/gone")) == 1
    # Nobody else is told of what somebody sees to.
    watch.endpoints.hanging.clear()
    listed = json.loads(watch.run("alerts", "list", "--json"))
    first, second = sorted(listed, key=lambda one: str(one["customer_id"]))
    assert (first["event"]["order_id"], first["name"]) == ("O-C-1", "Firm C-1")
    assert {(told["recipient"], told["state"]) for told in second["told"]} >= {
        ("desk", "sent"), ("chat", "sent"), ("erp", "sent"), ("head", "waiting"),
    }  # fmt: skip
    watch.run("alerts", "ack", first["alert_id"], "--by", "ann", "--reason", "called")
    watch.run("alerts", "snooze", second["alert_id"], "--by", "ann", "--for", "4h")
    one_of_each = Counter(withdrawn=1, waiting=1)
    until(lambda: watch.states("head") == one_of_each, lambda: str(watch.states("head")))
    until(lambda: watch.alerts()["C-2"].snoozed_until > 0, lambda: str(watch.alerts()))
    told = watch.alerts()
    assert (told["C-1"].acknowledged_by, told["C-1"].is_open) == ("ann", False)
    assert told["C-2"].is_open
    until(lambda: len(watch.endpoints.ids("/slow")) == 2, lambda: watch.desk.log)
    metrics = watch.desk.get("/metrics")[1]
    assert 'headroom_alerts_sent_total{channel="email",result="sent"} 2.0' in metrics
    assert 'headroom_alerts_sent_total{channel="webhook",result="failed"} 1.0' in metrics
    assert 'headroom_alerts_waiting{channel="email"} 1.0' in metrics
    assert received() == mails
    assert "/elsewhere" not in watch.endpoints.asked
    watch.desk.terminate()
    assert watch.desk.wait(30) == 0, watch.desk.log
    assert "Traceback" not in watch.desk.log
    assert "firm.example" not in watch.desk.log
    assert "Firm C" not in watch.desk.log


@pytest.mark.parametrize("watch", ["exactly_once"], indirect=True)
def test_killed_or_read_again_or_shared_by_two_nobody_is_told_twice(watch: Watch) -> None:
    watch.desk.start()
    watch.desk.wait_until_ready()
    customers = [f"C-{number}" for number in range(12)]
    teller = watch.teller()  # always the same one: the group does not wait for who was killed
    for number, where in enumerate(_WHERE):
        teller.start(program=f"{_ENDS}{where}\n{START}", only="alerts")
        if not number:
            teller.wait_until_ready()  # from now on is told what happens
            for customer in customers:
                watch.customer(customer)
            for customer in customers:
                watch.order(customer)
        assert teller.wait(60) == 9, where
    two = [teller, watch.teller()]
    for one in two:
        one.start(only="alerts")
    until(lambda: len(watch.endpoints.ids("/erp")) == 12, lambda: two[0].log)
    until(lambda: len(watch.endpoints.ids("/slow")) == 12, lambda: two[0].log)
    until(lambda: watch.states().keys() == {"sent", "uncertain"}, lambda: str(watch.states()))
    for one in two:
        one.terminate()
        assert one.wait(30) == 0, one.log
    # Of mails that were cut short nobody knows; all the others arrived, once.
    mails = watch.states("desk")
    assert watch.alerts().keys() == {*customers}
    assert (mails.total(), set(mails)) == (12, {"sent", "uncertain"})
    assert mails["uncertain"] >= 2, "two were cut short"
    subjects = Counter(str(mail["Subject"]) for mail in watch.mailroom.box)
    assert max(subjects.values()) == 1, subjects
    assert mails["sent"] <= len(subjects) < 12  # one never got its last dot
    letters = json.loads(watch.run("dlq", "list", "--json"))["letters"]
    assert [one["reason"] for one in letters] == ["alert_uncertain"] * watch.states()["uncertain"]
    # All of it once more: who has been told is known.
    asked = watch.endpoints.ids("/erp")
    _read_again(watch)
    teller.start(only="alerts")
    teller.wait_until_ready()
    watch.customer("C-99")
    watch.order("C-99")
    until(lambda: len(watch.endpoints.ids("/erp")) == 13, lambda: teller.log)
    assert watch.endpoints.ids("/erp") - asked == Counter(
        [one for one in watch.endpoints.ids("/erp") if one not in asked]
    )
    until(lambda: len(watch.mailroom.box) == len(subjects) + 1, lambda: teller.log)
    assert max(Counter(str(mail["Subject"]) for mail in watch.mailroom.box).values()) == 1


def _read_again(watch: Watch) -> None:
    """Set the group back to the beginning of all that it reads."""
    admin = AdminClient({"bootstrap.servers": watch.environment["HEADROOM_KAFKA_BOOTSTRAP"]})
    places = [TopicPartition(topic, partition, 0) for topic in SOURCES for partition in range(4)]
    group = f"{watch.environment['HEADROOM_APP_ID']}-alerts"
    request = ConsumerGroupTopicPartitions(group, places)
    for done in admin.alter_consumer_group_offsets([request]).values():
        done.result(30)
