"""From the link in a mail to the order desk: real broker, workers, portal and mail server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3
from notify.firm import Firm, next_day, settled, working_day
from portal.fake_mollie import KEY, FakeMollie
from portal.test_pages import get, post, words
from worker.conftest import free_port

from streams.embedded.kafka import EmbeddedKafka
from streams.embedded.ports import LOOPBACK

pytestmark = [pytest.mark.connected, pytest.mark.slow]

_PROCEDURE = """
kind = "b2b"
min_days_between = 1

[[steps]]
days = 1
channels = ["email"]
template = "friendly_reminder"

[[steps]]
days = 2
channels = ["email"]
template = "second_reminder"
"""


class PortalProcess:
    """`headroom portal` beside the workers."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self.url = environment["HEADROOM_PORTAL_URL"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agents.cli.main", "portal"],
                env=os.environ | self._environment,
                stderr=log,
                stdout=log,
            )
        wait_until(lambda: self._answers() == 200, self._log)

    def _answers(self) -> int:
        try:
            return get(f"{self.url}/readyz")[0]
        except urllib3.exceptions.HTTPError:
            return 0

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(30)

    def close(self) -> None:
        """Whatever has become of the test."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)


def wait_until(is_so: Callable[[], bool], log: Path | None = None) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(log.read_text() if log else "it did not become so")
        time.sleep(0.1)


@pytest.fixture
def mollie() -> Iterator[FakeMollie]:
    one = FakeMollie()
    yield one
    one.close()


@pytest.fixture
def firm(tmp_path: Path, cache_dir: Path, mollie: FakeMollie) -> Iterator[Firm]:
    port = free_port()
    with EmbeddedKafka(tmp_path / "kafka", cache=cache_dir) as kafka:
        one = Firm(
            tmp_path,
            kafka.bootstrap_servers,
            _PROCEDURE,
            3,
            HEADROOM_PORTAL_URL=f"http://{LOOPBACK}:{port}",
            HEADROOM_PORTAL_PORT=str(port),
            HEADROOM_PORTAL_SECRET="s3cr3t" * 6,
            HEADROOM_MOLLIE_KEY=KEY,
            HEADROOM_MOLLIE_URL=mollie.url,
        )
        yield one
        one.close()


@pytest.fixture
def portal(firm: Firm, tmp_path: Path) -> Iterator[PortalProcess]:
    """Not started."""
    one = PortalProcess(firm.environment, tmp_path / "portal.log")
    yield one
    one.close()


def links(firm: Firm) -> dict[str, list[str]]:
    """By customer, the links of their mails, the first one first."""
    found: dict[str, list[str]] = {}
    for mail in firm.mailroom.box:
        plain = mail.get_body(("plain",))
        assert plain is not None
        link = re.search(r"https?://\S+/p/\S+", plain.get_content())
        assert link is not None, plain.get_content()
        found.setdefault(str(mail["To"]).partition("@")[0].upper(), []).append(link[0])
    return found


def test_what_customers_answer_is_followed_by_the_rules(
    firm: Firm, mollie: FakeMollie, portal: PortalProcess, tmp_path: Path
) -> None:
    today = working_day()
    firm.desk.start()
    firm.desk.wait_until_ready()
    letters = firm.post()
    letters.start(only="notify")
    firm.owe(today)
    letters.wait_until_ready()
    portal.start()
    firm.begin(today)
    firm.told(settled("sent", 3))
    (contests,), (pays,), (fails,) = (links(firm)[name] for name in ("C-0", "C-1", "C-2"))
    assert get(contests)[0] == 200  # it waits until it has heard of the letter
    assert "I-C-0" in words(get(contests)[1])

    assert post(f"{contests}/contest", invoice="I-C-0", reason="not_delivered")[0] == 303
    wait_until(lambda: "betwist" in words(get(contests)[1]))

    paid = post(f"{pays}/pay")[2]["Location"].rpartition("/")[2]
    mollie.becomes(paid, "paid")
    for _ in range(3):
        assert post(f"{portal.url}/webhooks/mollie", id=paid)[0] == 200
    wait_until(lambda: "niets meer te betalen" in words(get(pays)[1]))

    # A message of today was sent already; the second chance comes on the next day.
    tomorrow = next_day(today)
    firm.begin(tomorrow)
    firm.told(settled("sent", 4))
    assert {name: len(sent) for name, sent in links(firm).items()} == {"C-0": 1, "C-1": 1, "C-2": 2}
    firm.begin(next_day(tomorrow))
    failed = post(f"{fails}/pay")[2]["Location"].rpartition("/")[2]
    mollie.becomes(failed, "failed")
    for _ in range(3):
        assert post(f"{portal.url}/webhooks/mollie", id=failed)[0] == 200
    firm.told(settled("sent", 5))
    *earlier, fresh = links(firm)["C-2"]
    assert fresh not in earlier
    assert "I-C-2" in words(get(fresh)[1])
    assert len(firm.mailroom.box) == 5

    assert portal.stop() in (0, -15)
    portal.start()  # with the disk that it kept
    assert "betwist" in words(get(contests)[1])
    portal.stop()
    assert firm.run("reconcile") == "0 differences in 3 accounts\n"
    assert "Traceback" not in (tmp_path / "portal.log").read_text()
    assert contests.rpartition("/")[2] not in (tmp_path / "portal.log").read_text()
