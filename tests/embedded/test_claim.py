"""Who holds a directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from streams.embedded.claim import Claim, holder

HOLD = """
import sys, time
from pathlib import Path
from streams.embedded.claim import Claim
claim = Claim(Path(sys.argv[1]))
assert claim.take()
print("held", flush=True)
time.sleep(60)
"""


def test_nobody_holds_what_was_never_taken(tmp_path: Path) -> None:
    assert holder(tmp_path / "lock") is None


def test_the_holder_is_known_while_it_holds_and_not_after(tmp_path: Path) -> None:
    claim = Claim(tmp_path / "lock")
    assert claim.take()
    assert holder(claim.path) == os.getpid()
    assert not Claim(claim.path).take()
    claim.release()
    assert holder(claim.path) is None
    assert claim.take()
    claim.release()


def test_a_holder_killed_with_9_leaves_nothing_behind_but_a_file_that_nobody_believes(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert holder(path) == process.pid
        process.send_signal(signal.SIGKILL)
    assert path.read_text(encoding="ascii").strip() == str(process.pid)
    assert holder(path) is None
