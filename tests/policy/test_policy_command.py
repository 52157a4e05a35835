"""`headroom policy`, as somebody at a terminal or a program sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from agents.cli.main import run
from agents.core.policy_changes import settings
from agents.policy_file import example_names, example_text, load_policy, shipped_text


class Done(NamedTuple):
    status: int
    out: str
    told: str


Headroom = Callable[..., Done]

CHANGED = """\
version = "mine-1"
[overdue]
max_overdue_days = 14
[segments.key_account.overdue]
max_overdue_days = 45
[segments.key_account.release.authority]
controller = "15000"
manager = "100000"

[[versions]]
version = "mine-2"
valid_from = 2027-01-01
[versions.overdue]
max_overdue_days = 10
"""


@pytest.fixture
def headroom(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Headroom:
    """Runs `headroom policy` in a directory of its own, its output no terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def headroom(*arguments: str) -> Done:
        monkeypatch.setattr("sys.argv", ["headroom", "policy", *arguments])
        with pytest.raises(SystemExit) as ended:
            run()
        shown = capsys.readouterr()
        return Done(int(ended.value.code or 0), shown.out, shown.err)

    return headroom


def lines(shown: str) -> list[str]:
    """What is shown, without the space that tables are filled up with."""
    return [" ".join(line.split()) for line in shown.splitlines() if line.strip(" ─")]


# ── check ───────────────────────────────────────────────────────────────────────────────────────


def test_check_shows_what_is_in_force_by_version_and_segment(headroom: Headroom) -> None:
    Path("mine.toml").write_text(CHANGED, encoding="utf-8")
    done = headroom("check", "mine.toml")
    assert (done.status, done.told) == (0, "mine.toml: no faults\n")
    shown = lines(done.out)
    assert shown[:3] == [
        "mine-1, from the beginning",
        "setting other customers key_account",
        "currency none none",
    ]
    assert "overdue.max_overdue_days * 14 * 45" in shown
    assert "overdue.min_overdue_amount 0.00 0.00" in shown
    at = shown.index("release.authority none * controller 15000.00")
    assert shown[at + 1] == "* manager 100000.00"
    second = shown.index("mine-2, from 2027-01-01")
    assert "overdue.max_overdue_days * 10 * 45" in shown[second:]
    assert shown[-1] == "* differs from the policy that ships (default-1)"
    assert len(settings(load_policy(None).versions[0].base)) == second - len(shown[:2]) - 1


@pytest.mark.parametrize("columns", [60, 200])
def test_check_shows_segments_one_after_the_other_where_they_do_not_fit(
    headroom: Headroom, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    Path("wide.toml").write_text(example_text("wholesaler"), encoding="utf-8")
    shown = headroom("check", "wide.toml").out
    assert all(len(line) <= columns for line in shown.splitlines())
    side_by_side = "setting other customers key_account small"
    apart = {"setting other customers", "setting key_account", "setting small"}
    if columns == 200:
        assert side_by_side in lines(shown)
        assert "overdue.max_overdue_days * 14 30 * 7" in lines(shown)
    else:
        assert apart <= set(lines(shown))
        for one in ("* 14", "30", "* 7"):
            assert f"overdue.max_overdue_days {one}" in lines(shown)


def test_check_shows_names_as_they_are_written(headroom: Headroom) -> None:
    Path("odd.toml").write_text(
        'version = "[red]x[/] :smile:"\n[segments."[bold]".credit]\nprepayment = true\n',
        encoding="utf-8",
    )
    shown = lines(headroom("check", "odd.toml").out)
    assert shown[:2] == [
        "[red]x[/] :smile:, from the beginning",
        "setting other customers [bold]",
    ]


def test_check_tells_every_fault_and_ends_with_status_1(headroom: Headroom) -> None:
    Path("bad.toml").write_text(
        "[overdue]\nmax_overdue_days = -1\nmin_overdue_amount = 5\n[credits]\n", encoding="utf-8"
    )
    done = headroom("check", "bad.toml")
    assert done.status == 1
    assert done.out == (
        "line 2, overdue.max_overdue_days: must be at least 0\n"
        "line 3, overdue.min_overdue_amount: write an amount in quotes, up to 14 digits and four "
        'behind the point, as in "2500.00"\n'
        "line 4, credits: there is no such setting, is credit meant?\n"
    )
    assert done.told == "headroom: bad.toml: 3 faults\n"


def test_check_warns_of_new_terms_under_the_shipped_name(headroom: Headroom) -> None:
    Path("unnamed.toml").write_text("[overdue]\nmax_overdue_days = 14\n", encoding="utf-8")
    done = headroom("check", "unnamed.toml")
    assert done.status == 0
    assert done.told.startswith(
        "warning: version 'default-1' stands for other terms than in the policy that ships"
    )


def test_check_reads_what_an_editor_marked_as_utf_8(headroom: Headroom) -> None:
    Path("marked.toml").write_text(CHANGED, encoding="utf-8-sig", newline="\r\n")
    assert headroom("check", "marked.toml").told == "marked.toml: no faults\n"


@pytest.mark.parametrize("command", [["check"], ["check", "--json"], ["diff", "."]])
@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("nowhere.toml", "nowhere.toml: No such file or directory"),
        ("directory", "directory: Is a directory"),
        ("binary", "binary: is no text in UTF-8 (byte 2)"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_status_2(
    headroom: Headroom, command: list[str], file: str, told: str
) -> None:
    Path("directory").mkdir()
    Path("binary").write_bytes(b"a\xff\x00")
    Path("empty.toml").touch()
    arguments = ["diff", "empty.toml"] if command[0] == "diff" else command
    assert headroom(*arguments, file) == Done(2, "", f"headroom: {told}\n")


def test_an_empty_file_is_the_policy_that_ships(headroom: Headroom) -> None:
    Path("empty.toml").touch()
    done = headroom("check", "empty.toml")
    assert (done.status, done.told) == (0, "empty.toml: no faults\n")
    assert lines(done.out)[0] == "default-1, from the beginning"
    assert not any(line.startswith("* ") or " * " in line for line in lines(done.out)[:-1])


def test_check_for_a_program(headroom: Headroom) -> None:
    Path("mine.toml").write_text(CHANGED, encoding="utf-8")
    done = headroom("check", "mine.toml", "--json")
    assert (done.status, done.told) == (0, "")
    told = json.loads(done.out)
    assert (told["faults"], told["warnings"]) == ([], [])
    first, second = told["versions"]
    assert (first["version"], first["valid_from"]) == ("mine-1", None)
    assert (second["version"], second["valid_from"]) == ("mine-2", "2027-01-01")
    others, key = second["segments"]
    assert (others["segment"], key["segment"]) == (None, "key_account")
    assert others["settings"]["overdue.max_overdue_days"] == 10
    assert others["differs"] == ["overdue.max_overdue_days"]
    assert key["settings"]["release.authority"] == {
        "controller": "15000.00",
        "manager": "100000.00",
    }
    assert key["differs"] == ["overdue.max_overdue_days", "release.authority"]


def test_faults_for_a_program(headroom: Headroom) -> None:
    Path("bad.toml").write_text("\n[overdue]\nmax_overdue_days = -1\n", encoding="utf-8")
    done = headroom("check", "--json", "bad.toml")
    assert (done.status, done.told) == (1, "headroom: bad.toml: 1 fault\n")
    assert json.loads(done.out)["faults"] == [
        {"line": 3, "setting": "overdue.max_overdue_days", "what": "must be at least 0"}
    ]
    Path("bad.toml").write_text("[overdue", encoding="utf-8")
    (fault,) = json.loads(headroom("check", "--json", "bad.toml").out)["faults"]
    assert (fault["line"], fault["setting"]) == (None, "")


# ── diff ────────────────────────────────────────────────────────────────────────────────────────


def write_two() -> None:
    Path("old.toml").write_text(CHANGED, encoding="utf-8")
    Path("new.toml").write_text(
        CHANGED.replace("mine-1", "mine-3")
        .replace("max_overdue_days = 14", "max_overdue_days = 21")
        .replace('manager = "100000"', 'manager = "50000"\nboard = "1000000"'),
        encoding="utf-8",
    )


def test_diff_shows_what_changes_for_whom_and_when(headroom: Headroom) -> None:
    write_two()
    done = headroom("diff", "old.toml", "new.toml")
    assert done.status == 0
    assert done.told.startswith("warning: version 'mine-2' stands for other terms than in old.toml")
    authority = [
        "release.authority key_account controller 15000.00 controller 15000.00",
        "manager 100000.00 manager 50000.00",
        "board 1000000.00",
    ]
    assert lines(done.out) == [
        "up to and including 2026-12-31: mine-1 to mine-3",
        "setting customers old new",
        "overdue.max_overdue_days other customers 14 21",
        *authority,
        "from 2027-01-01 on: mine-2 to mine-2",
        "setting customers old new",
        *authority,
    ]


def test_diff_takes_lines_instead_of_a_table_where_that_does_not_fit(
    headroom: Headroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_two()
    monkeypatch.setenv("COLUMNS", "60")
    shown = headroom("diff", "old.toml", "new.toml").out
    assert all(len(line) <= 60 for line in shown.splitlines())
    assert [line.rstrip() for line in shown.splitlines()[:6]] == [
        "up to and including 2026-12-31: mine-1 to mine-3",
        "  overdue.max_overdue_days, other customers:",
        "    14 -> 21",
        "  release.authority, key_account:",
        "    controller 15000.00, manager 100000.00 -> controller",
        "    15000.00, manager 50000.00, board 1000000.00",
    ]


def test_diff_of_a_file_with_itself_says_that_nothing_changes(headroom: Headroom) -> None:
    write_two()
    done = headroom("diff", "old.toml", "old.toml")
    assert (done.status, done.told) == (0, "")
    assert done.out.splitlines() == [
        "up to and including 2026-12-31: mine-1 to mine-1: nothing changes",
        "from 2027-01-01 on: mine-2 to mine-2: nothing changes",
    ]
    Path("empty.toml").touch()
    assert headroom("diff", "empty.toml", "empty.toml").out == (
        "every day: default-1 to default-1: nothing changes\n"
    )


def test_diff_says_all_where_it_is_the_same_for_everybody(headroom: Headroom) -> None:
    write_two()
    Path("other.toml").write_text(
        CHANGED.replace("mine-", "other-") + "[versions.documents]\nremember_days = 500\n",
        encoding="utf-8",
    )
    assert lines(headroom("diff", "old.toml", "other.toml").out) == [
        "up to and including 2026-12-31: mine-1 to other-1: nothing changes",
        "from 2027-01-01 on: mine-2 to other-2",
        "setting customers old new",
        "documents.remember_days all 400 500",
    ]


def test_diff_for_a_program(headroom: Headroom) -> None:
    write_two()
    done = headroom("diff", "--json", "old.toml", "new.toml")
    assert (done.status, done.told) == (0, "")
    told = json.loads(done.out)
    assert len(told["warnings"]) == 1
    first, second = told["spans"]
    assert (first["valid_from"], first["valid_until"]) == (None, "2026-12-31")
    assert (second["valid_from"], second["valid_until"]) == ("2027-01-01", None)
    assert (first["old_version"], first["new_version"]) == ("mine-1", "mine-3")
    assert first["segments"][0] == {
        "segment": None,
        "changes": [{"setting": "overdue.max_overdue_days", "old": 14, "new": 21}],
    }
    assert second["segments"][0] == {"segment": None, "changes": []}
    assert second["segments"][1]["segment"] == "key_account"


def test_diff_with_a_faulty_file_names_file_and_faults_in_one_line(headroom: Headroom) -> None:
    write_two()
    Path("bad.toml").write_text("[overdue]\nmax_overdue_days = -1\nx = 1\n", encoding="utf-8")
    assert headroom("diff", "old.toml", "bad.toml") == Done(
        2,
        "",
        "headroom: bad.toml: line 2, overdue.max_overdue_days: must be at least 0; "
        "line 3, overdue.x: there is no such setting\n",
    )


# ── example, and wrong use ──────────────────────────────────────────────────────────────────────


def test_example_lists_and_prints_the_files_to_start_from(headroom: Headroom) -> None:
    assert headroom("example").out.split() == [
        "default",
        "public_sector_supplier",
        "subscription",
        "wholesaler",
    ]
    assert headroom("example", "default") == Done(0, shipped_text(), "")
    for name in example_names():
        printed = headroom("example", name).out
        assert printed == example_text(name)
        Path("mine.toml").write_text(printed, encoding="utf-8")
        assert headroom("check", "mine.toml").told == "mine.toml: no faults\n"


def test_an_example_that_does_not_exist_is_wrong_use(headroom: Headroom) -> None:
    done = headroom("example", "../default")
    assert (done.status, done.out) == (2, "")
    assert done.told == (
        "headroom: no example '../default'; there are default, public_sector_supplier, "
        "subscription, wholesaler\n"
    )


@pytest.mark.parametrize("arguments", [["check"], ["diff", "one.toml"], ["burn"]])
def test_wrong_use_is_told(headroom: Headroom, arguments: list[str]) -> None:
    done = headroom(*arguments)
    assert (done.status, done.out) == (2, "")
    assert "Usage: headroom policy" in done.told
