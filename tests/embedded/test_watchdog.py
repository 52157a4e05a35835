"""A program of ours never outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded.claim import Claim, holder
from streams.embedded.supervised import EmbeddedPartError, SupervisedProcess

pytestmark = pytest.mark.slow

SLEEP = "import os, time; print(os.getpid(), flush=True); time.sleep(300)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP
PARENT = """
import os, sys, time
from pathlib import Path
from streams.embedded.claim import Claim
from streams.embedded.supervised import SupervisedProcess
claim = Claim(Path(sys.argv[1]) / "lock")
claim.take()
SupervisedProcess("part", [sys.executable, "-c", sys.argv[2]], log=Path(sys.argv[1]) / "part.log",
                  claim=claim, environment=os.environ)
time.sleep(300)
"""


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def wait_for(what: str, holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def logged_pid(log: Path) -> int:
    wait_for("the part logs its id", lambda: log.exists() and log.read_text().endswith("\n"))
    return int(log.read_text())


@pytest.fixture
def claim(tmp_path: Path) -> Iterator[Claim]:
    claim = Claim(tmp_path / "lock")
    assert claim.take()
    yield claim
    claim.release()


def start(code: str, tmp_path: Path, claim: Claim) -> SupervisedProcess:
    return SupervisedProcess(
        "The part",
        [sys.executable, "-c", code],
        log=tmp_path / "part.log",
        claim=claim,
        environment=os.environ,
    )


def test_a_part_that_is_stopped_is_gone(tmp_path: Path, claim: Claim) -> None:
    part = start(SLEEP, tmp_path, claim)
    pid = logged_pid(tmp_path / "part.log")
    part.check()
    part.stop()
    assert gone(pid)
    part.stop()


def test_a_part_that_died_is_reported_with_its_last_words(tmp_path: Path, claim: Claim) -> None:
    part = start("print('no room left'); raise SystemExit(3)", tmp_path, claim)

    def died() -> bool:
        try:
            part.check()
        except EmbeddedPartError as error:
            message = str(error)
            assert "The part ended with status 3" in message
            assert "no room left" in message
            assert str(tmp_path / "part.log") in message
            return True
        return False

    wait_for("the part is seen to be dead", died)
    part.stop()


def test_the_log_of_the_last_run_is_kept(tmp_path: Path, claim: Claim) -> None:
    (tmp_path / "part.log").write_text("of yesterday")
    part = start(SLEEP, tmp_path, claim)
    logged_pid(tmp_path / "part.log")
    part.stop()
    assert (tmp_path / "part.log.1").read_text() == "of yesterday"


@pytest.mark.parametrize(("code", "how"), [(SLEEP, signal.SIGKILL), (SLEEP, signal.SIGTERM)])
def test_a_part_is_gone_when_its_starter_is_killed(
    tmp_path: Path, code: str, how: signal.Signals
) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), code]) as starter:
        pid = logged_pid(tmp_path / "part.log")
        assert holder(tmp_path / "lock") == starter.pid
        starter.send_signal(how)
    wait_for("the part is gone", lambda: gone(pid))
    wait_for("the directory is free", lambda: holder(tmp_path / "lock") is None)


def test_the_directory_stays_taken_until_a_slow_part_is_gone_as_well(tmp_path: Path) -> None:
    slow = (
        "import signal, sys, time; "
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit())); " + SLEEP
    )
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), slow]) as starter:
        pid = logged_pid(tmp_path / "part.log")
        starter.kill()
    assert holder(tmp_path / "lock") is not None
    assert not Claim(tmp_path / "lock").take()
    assert Claim(tmp_path / "lock").take(timeout_seconds=15)
    assert gone(pid)


def test_a_part_that_will_not_stop_is_killed_after_the_grace(
    tmp_path: Path, claim: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.embedded.supervised._GRACE_SECONDS", 0.2)
    part = start(STUBBORN, tmp_path, claim)
    pid = logged_pid(tmp_path / "part.log")
    part.stop()
    assert gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child to its parent")
def test_a_part_is_gone_when_the_watchdog_itself_is_killed(tmp_path: Path, claim: Claim) -> None:
    part = start(SLEEP, tmp_path, claim)
    pid = logged_pid(tmp_path / "part.log")
    os.kill(part._process.pid, signal.SIGKILL)
    wait_for("the part is gone", lambda: gone(pid))
    part.stop()
