"""The `headroom` command: exit statuses, clear errors, nothing imported in vain."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agents.cli import main

pytestmark = pytest.mark.slow  # each one starts an interpreter

HEADROOM = [sys.executable, "-m", "agents.cli.main"]
HEAVY = {"faust", "confluent_kafka", "clickhouse_connect", "chdb", "rich", "pydantic", "jgo"}


def headroom(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADROOM, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_help_lists_the_verbs() -> None:
    shown = headroom("--help")
    assert shown.returncode == 0
    for verb in ("up", "down", "topics", "doctor", "sql", "simulate"):
        assert f"\n  {verb} " in shown.stdout


def test_help_imports_no_verb_and_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['headroom', '--help']\n"
        "from agents.cli.main import run\n"
        "try:\n    run()\n"
        "except SystemExit:\n    print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    imported = set(done.stderr.split())
    assert "typer" in imported
    assert imported & HEAVY == set()
    of_verbs = {name for name in imported if name.startswith("agents.cli.")}
    assert of_verbs == {"agents.cli.main", "agents.cli.verbs"}


@pytest.mark.parametrize("verb", list(main.VERBS))
def test_every_verb_explains_itself(verb: str) -> None:
    shown = headroom(verb, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "Usage:" in shown.stdout


@pytest.mark.parametrize("arguments", [["nonsense"], ["sql"], ["topics", "burn"], ["up", "--fast"]])
def test_wrong_use_is_told_and_is_exit_status_2(arguments: list[str]) -> None:
    done = headroom(*arguments)
    assert done.returncode == 2
    assert "Usage:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("clean_environment")
def test_a_wrong_setting_is_one_line_and_exit_status_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_PARTITIONS", "none")
    done = headroom("doctor")
    assert done.returncode == 2
    assert done.stderr.startswith("headroom: HEADROOM_PARTITIONS=none: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["topics", "diff"], "no Kafka broker: start one with `headroom up`"),
        (["sql", "SELECT 1"], "no tables in"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, arguments: list[str], told: str
) -> None:
    monkeypatch.setenv("HEADROOM_EMBEDDED_DIR", str(tmp_path))
    done = headroom(*arguments)
    assert done.returncode in {1, 2}
    assert told in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("clean_environment")
def test_down_with_nothing_up_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("HEADROOM_EMBEDDED_DIR", str(tmp_path))
    done = headroom("down")
    assert done.returncode == 0
    assert "Nothing is up" in done.stderr
