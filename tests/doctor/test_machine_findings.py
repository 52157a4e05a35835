"""What is said of this machine: clock, disk, files."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agents.doctor import clock
from agents.doctor.clock import clock_finding, compared
from agents.doctor.disk import directory_findings, room, secret_file_findings, writable
from streams.settings import Settings

MakeSettings = Callable[..., Settings]
GIB = 1 << 30


@pytest.mark.parametrize(
    ("free", "total", "verdict"),
    [
        (0.9 * GIB, 2 * GIB, "wrong"),
        (4 * GIB, 8 * GIB, "warning"),
        (6 * GIB, 8 * GIB, "ok"),
        (40 * GIB, 500 * GIB, "warning"),
        (60 * GIB, 2000 * GIB, "ok"),
        (0, 0, "wrong"),
    ],
)
def test_room_is_judged_by_bytes_and_by_share(free: float, total: float, verdict: str) -> None:
    found = room("disk", "/data", int(free), int(total))
    assert found.verdict == verdict
    assert bool(found.do) == (verdict != "ok")


def test_a_full_disk_is_wrong(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.doctor.disk._WRONG_BYTES", 1 << 62)
    found = [one for one in directory_findings(make_settings()) if one.check == "disk"]
    assert [one.verdict for one in found] == ["wrong"]  # both directories are on one disk


def test_a_directory_whose_place_is_a_file_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = writable("state_dir", tmp_path / "file" / "state")
    assert found.verdict == "wrong"
    assert "HEADROOM_STATE_DIR" in found.do
    assert writable("state_dir", tmp_path / "new" / "state").verdict == "ok"


def test_a_private_key_that_others_can_read(make_settings: MakeSettings, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.touch(mode=0o644)
    os.chmod(key, 0o644)  # noqa: PTH101  whatever the umask
    (told,) = secret_file_findings(make_settings(sftp_key=key))
    assert (told.verdict, told.do) == ("warning", f"chmod 600 {key}")
    key.chmod(0o600)
    assert [one.verdict for one in secret_file_findings(make_settings(sftp_key=key))] == ["ok"]
    missing = make_settings(kafka_ssl_ca_location=tmp_path / "none.pem")
    (absent,) = secret_file_findings(missing)
    assert (absent.verdict, absent.do) == ("wrong", "see HEADROOM_KAFKA_SSL_CA_LOCATION")


def test_a_clock_before_the_release_is_wrong_one_that_nothing_keeps_right_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert clock_finding(datetime(1970, 1, 2, tzinfo=UTC).timestamp()).verdict == "wrong"
    for kernel, verdict in ((True, "ok"), (None, "ok"), (False, "warning")):
        monkeypatch.setattr(clock, "_is_synchronised", lambda kernel=kernel: kernel)
        found = clock_finding(datetime(2026, 12, 1, tzinfo=UTC).timestamp())
        assert found.verdict == verdict


def test_the_kernel_of_this_machine_can_be_asked() -> None:
    assert clock._is_synchronised() in {True, False, None}
    assert clock_finding().verdict in {"ok", "warning"}


@pytest.mark.parametrize(
    ("theirs", "verdict", "text"),
    [
        (1000.0, "ok", "agrees with ours"),
        (1005.5, "ok", "agrees with ours"),
        (1020.0, "warning", "20 s ahead ours"),
        (900.0, "wrong", "100 s behind ours"),
    ],
)
def test_two_clocks(theirs: float, verdict: str, text: str) -> None:
    found = compared("registry", theirs, 1000.0, precision=1.0)
    assert (found.check, found.verdict, found.text) == ("clock of registry", verdict, text)
