"""What the console's pages stand on, piece by piece."""

from __future__ import annotations

import csv
import io
import itertools
import re
import string
import time
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from console.office import DAY, WatchedLedger, busy_office
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from agents.console import lists
from agents.console.access import COOKIE, Session, Sessions
from agents.console.acts import RELEASE_REASONS, amount_text
from agents.console.export import csv_lines
from agents.console.history import DayFigures, chart_of
from agents.console.index import Index
from agents.console.kept import ALERTS, CONTROLS, Answer, Kept
from agents.console.render import page
from agents.console.run import secrets_of
from agents.console.telling import LANGUAGES, Telling, texts
from agents.core.ledger import Ledger
from agents.credit.reasons import PRECEDENCE
from agents.gateway.problems import Problem
from agents.live_copy import CopyNotReadyError
from schemas import events as ev
from streams.errors import ConfigurationError
from streams.record import Record
from streams.settings import Settings

# ── words ───────────────────────────────────────────────────────────────────────────────────────


def test_every_language_says_the_same_things_with_the_same_blanks() -> None:
    english = texts()["en"]
    blanks = {name: set(string.Formatter().parse(text)) for name, text in english.items()}
    for language in LANGUAGES:
        assert texts()[language].keys() == english.keys()
        for name, text in texts()[language].items():
            assert text.strip(), (language, name)
            fields = {field for _, field, _, _ in string.Formatter().parse(text) if field}
            assert fields == {field for _, field, _, _ in blanks[name] if field}, (language, name)


def test_everything_that_is_named_has_words() -> None:
    w = texts()["en"]
    assert {f"reason_{one}" for one in PRECEDENCE} <= w.keys()
    assert {f"why_{one}" for one in RELEASE_REASONS} <= w.keys()
    named = set()
    for one in (files("agents.console") / "templates").iterdir():
        text = one.read_text(encoding="utf-8")
        named |= set(re.findall(r"\bw\.([a-z_]+)\b(?!\()", text))
        named |= set(re.findall(r'\bw\["([a-z_]+)"\]', text))
    assert named - {"get"} <= w.keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_amounts_and_days_are_said_as_they_are_there(language: str) -> None:
    t = Telling(language, ZoneInfo("Europe/Amsterdam"))
    said = {"en": "€1,234.50", "nl": "€ 1.234,50", "fr": "1 234,50 €", "de": "1.234,50 €"}
    plain = t.money(1_234_50, "EUR").replace("\xa0", " ").replace("\u202f", " ")
    assert plain == said[language]
    assert t.money(None, "EUR") == "–"
    assert t.money(5, "") == "0.05"  # of a customer whose currency nobody has told
    assert "2024" in t.day(DAY)
    assert "12:00" in t.instant(DAY * 86_400_000_000 + 10 * 3_600_000_000)
    assert t.why("secured: by the bank").endswith(": by the bank")
    assert t.why("any other text: here") == "any other text: here"


# ── amounts that people write ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("1250", "EUR", "1250"), ("1.250,50", "EUR", "1250.50"), ("1,250.50", "EUR", "1250.50"),
        ("1.250", "EUR", "1250"), ("1,250", "EUR", "1250"), ("1250,5", "EUR", "1250.5"),
        ("1'250.00", "CHF", "1250.00"), ("1 250 000", "EUR", "1250000"),
        ("1.250.000", "EUR", "1250000"), ("1.250", "KWD", "1.250"),
        ("1.250,125", "KWD", "1250.125"),
        ("100.000", "JPY", "100000"), ("5.", "EUR", "5"), ("\u00a07\u202f500", "EUR", "7500"),
    ],
)  # fmt: skip
def test_amounts_are_read_as_people_write_them(text: str, currency: str, amount: str) -> None:
    assert Decimal(amount_text(text, currency)) == Decimal(amount)


@pytest.mark.parametrize(
    ("text", "currency"),
    [("", "EUR"), ("-5", "EUR"), ("1e5", "EUR"), ("1,25,0.5.5", "EUR"),
     ("12.3456", "EUR"), ("5.5", "JPY"), ("NaN", "EUR"), ("９", "EUR"), ("9" * 16, "EUR")],
)  # fmt: skip
def test_what_is_no_amount_is_refused(text: str, currency: str) -> None:
    with pytest.raises(Problem):
        amount_text(text, currency)


@given(st.lists(st.lists(st.text(max_size=20), min_size=2, max_size=2), max_size=20))
def test_no_cell_of_an_export_begins_like_a_formula(rows: list[list[str]]) -> None:
    text = b"".join(csv_lines(["a", "b"], rows)).decode().removeprefix("\ufeff")
    read = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert len(read) == len(rows)
    for cells in read:
        for cell in cells:
            assert not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


# ── the index ───────────────────────────────────────────────────────────────────────────────────


def table(index: Index) -> list[tuple[str, str, str]]:
    rows, _ = lists.held(index, lists.Wanted())
    return [(row["account_id"], row["order_id"], row["reasons"].strip()) for row in rows]


def test_what_was_followed_is_what_a_walk_finds(tmp_path: Path) -> None:
    """Whatever happens, the tables are those of a gateway that starts now."""
    office = busy_office(tmp_path / "followed")
    office.pay("C-100", "P-1", 900_00, "I-1003")
    office.say(ev.OrderCancelled, "C-200", order_id="O-4")
    office.say(ev.OrderHeld, "C-300", order_id="O-5", by="anna", reason="check")
    office.customer("C-200", 55_000_00, name="Müller AG", account_manager="carl")
    office.wait(3)
    fresh = Index(tmp_path / "fresh.sqlite", office.policies, office.latest_on, lambda _: None)
    fresh._walk(0, lambda _: office.ledger)
    for name in ("accounts", "held", "documents", "days"):
        query = f"SELECT * FROM {name}"  # noqa: S608
        followed = [tuple(row) for row in office.index.rows(query)]
        assert followed == [tuple(row) for row in fresh.rows(query)]
        assert followed
    assert fresh.missing(1) == 0
    fresh.close()
    office.close()


def test_an_account_that_moved_is_listed_where_it_is(tmp_path: Path) -> None:
    office = busy_office(tmp_path)
    other = WatchedLedger()
    for key, value in list(office.ledger.scan("C-100\0", "C-100\1")):
        other.put(key, value)
        office.ledger.delete(key)
    ledgers: dict[int, Ledger] = {0: office.ledger, 1: other}
    index = office.index
    index._whole.add(1)
    index._dirty[1] = set()
    index.changed(1, other.written)
    index.catch_up(ledgers.__getitem__)
    assert ("C-100", "O-1", "overdue") in table(index)
    index.changed(0, office.ledger.written)  # it is heard of last that it went away there
    index.catch_up(ledgers.__getitem__)
    assert ("C-100", "O-1", "overdue") in table(index)
    assert lists.names(index, {"C-100"}) == {"C-100": "Bakkerij De Vries"}
    office.close()


def test_reasons_that_the_topic_has_forgotten_are_those_that_hold_now(tmp_path: Path) -> None:
    office = busy_office(tmp_path / "one")
    fresh = Index(tmp_path / "x.sqlite", office.policies, lambda *_: [], lambda _: None)
    fresh._walk(0, lambda _: office.ledger)
    assert table(fresh) == table(office.index)
    fresh.close()
    office.close()


def test_a_decision_that_comes_after_the_state_is_shown_all_the_same(tmp_path: Path) -> None:
    office = busy_office(tmp_path)
    decision = office.decisions["C-100", "O-1"]
    later = msgspec.structs.replace(decision, reasons=["manual_hold"])
    office.index.heard([later])
    office.index.catch_up(lambda _: office.ledger)
    assert ("C-100", "O-1", "manual_hold") in table(office.index)
    assert office.told[-1].held
    office.close()


def test_a_copy_that_is_not_there_is_waited_for_and_a_fault_begins_anew(tmp_path: Path) -> None:
    office = busy_office(tmp_path / "one")
    asked: list[int] = []

    def ledger_of(partition: int) -> Ledger:
        asked.append(partition)
        if len(asked) == 1:
            raise CopyNotReadyError("partition 0")
        return office.ledger

    index = Index(tmp_path / "x.sqlite", office.policies, office.latest_on, lambda _: None)
    index._go_on(ledger_of, 1)
    assert index.missing(1) == 1
    index._go_on(ledger_of, 1)
    assert index.missing(1) == 0
    assert table(index) == table(office.index)
    index.close()
    office.close()


# ── what is kept ────────────────────────────────────────────────────────────────────────────────


def proposed(order_id: str, at: int, by: str = "anna") -> ev.OrderReleaseProposed:
    return ev.OrderReleaseProposed(
        event_id=f"{order_id}-{at}-{by}", occurred_at=at, customer_id="C", order_id=order_id, by=by,
        reason="secured", role="controller", decision_number=1,
    )  # fmt: skip


def declined(order_id: str, at: int) -> ev.OrderReleaseDeclined:
    return ev.OrderReleaseDeclined(
        event_id=f"no-{order_id}-{at}", occurred_at=at, customer_id="C", order_id=order_id,
        by="ben", reason="no",
    )  # fmt: skip


def test_the_last_word_on_a_proposal_counts_whatever_comes_first(tmp_path: Path) -> None:
    now = 2**60
    said = [
        proposed("O-1", now), declined("O-1", now + 1), proposed("O-2", now),
        proposed("O-2", now + 5, "carl"),
        declined("O-3", now + 1), proposed("O-3", now + 2), declined("O-4", now + 9),
        declined("O-4", now + 3), proposed("O-4", now + 5),
    ]  # fmt: skip
    for order, events in (("as it was", said), ("backwards", said[::-1]), ("twice", said + said)):
        kept = Kept(tmp_path / order / "kept.sqlite")
        for event in events:
            assert kept.note(event)
        found = {(one.order_id, one.who) for one in kept.proposals()}
        assert found == {("O-2", "carl"), ("O-3", "anna")}, order
        assert kept.has("no-O-1-" + str(now + 1))
        assert not kept.has("another")
        kept.close()


def test_the_last_word_on_an_alert_counts_whatever_comes_first(tmp_path: Path) -> None:
    def snooze(event_id: str, at: int, until: int, alert_id: str | None = "a-1") -> ev.AlertSnoozed:
        return ev.AlertSnoozed(
            event_id=event_id, occurred_at=at, customer_id="C-1", by=event_id, until=until,
            alert_id=alert_id,
        )  # fmt: skip

    seen = ev.AlertAcknowledged(
        event_id="ack", occurred_at=5, customer_id="C-1", alert_id="a-1", by="ann", reason="called"
    )
    said = [snooze("s-1", 1, 90), snooze("s-2", 2, 50), snooze("s-3", 3, 70, None), seen]
    for number, order in enumerate(itertools.permutations(said)):
        kept = Kept(tmp_path / f"{number}.sqlite")
        assert all(kept.note(one) for one in order)
        assert kept.answers_to("a-1", "C-1") == [
            Answer(2, "s-2", 50, ""), Answer(3, "s-3", 70, ""), Answer(5, "ann", None, "called")
        ]  # fmt: skip
        assert kept.answers_to("a-2", "C-1") == [Answer(3, "s-3", 70, "")]
        assert kept.answers_to("a-2", "C-2") == []
        assert [kept.has(one) for one in ("ack", "s-1", "s-2")] == [True, False, True]
        kept.close()


def test_what_was_said_to_alerts_goes_with_them(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kept.sqlite")
    now, day = time.time(), 86_400_000_000
    long_ago = int(now * 1_000_000) - 40 * day
    for alert_id, until in (("old", long_ago + day), ("lasts", long_ago + 20 * day)):
        kept.note(
            ev.AlertSnoozed(
                event_id=alert_id, occurred_at=long_ago, customer_id="C-1", by="ann", until=until,
                alert_id=alert_id,
            )
        )  # fmt: skip
    kept.forget(now)
    assert kept.answers_to("old", "C-1") == []
    assert len(kept.answers_to("lasts", "C-1")) == 1
    kept.close()


def test_a_topic_is_read_on_where_it_was_left_and_anew_when_it_was_made_anew(
    tmp_path: Path,
) -> None:
    note = ev.CustomerNoteAdded(event_id="n-1", occurred_at=5, customer_id="C", text="x", by="a")
    kept = Kept(tmp_path / "kept.sqlite")
    assert kept.known(CONTROLS, "id-1") == {}
    assert kept.take("id-1", [(Record(CONTROLS, 2, 41, 0, b"", b"", []), note)])
    assert not kept.take("id-1", [(Record(CONTROLS, 1, 7, 0, b"", b"", []), None)])
    kept.close()
    kept = Kept(tmp_path / "kept.sqlite")
    assert kept.known(CONTROLS, "id-1") == {2: 42, 1: 8}
    assert [one.text for one in kept.notes_on(["B", "C"])] == ["x"]
    assert kept.known(ALERTS, "id-9") == {}
    assert kept.known(CONTROLS, "id-2") == {}
    assert kept.notes_on(["C"]) == []
    kept.close()


# ── pictures and colours ────────────────────────────────────────────────────────────────────────


def test_a_chart_is_drawn_to_its_highest_and_told_in_a_table() -> None:
    days = [
        DayFigures(DAY, Decimal("100.00"), Decimal("0.00"), Decimal("400.00")),
        DayFigures(DAY + 40, Decimal("350.00"), Decimal("90.50"), Decimal("400.00")),
        DayFigures(DAY + 80, Decimal("-20.00"), Decimal("0.00"), None),
    ]
    t = Telling("en", ZoneInfo("UTC"))
    chart = chart_of(days, "EUR", t)
    assert chart is not None
    assert [line["text"] for line in chart.grid] == ["0", "100", "200", "300", "400"]
    assert chart.grid[-1]["y"] == 12
    assert chart.limit == "M90.0 12.0H495.0"  # while there was one
    assert chart.area.startswith("M90.0 175.5H495.0V39.2H900.0V230.0")
    assert chart.rows[-1] == {
        "day": "23 Dec 2024", "exposure": "-€20.00", "overdue": "€0.00", "limit": "–",
    }  # fmt: skip
    assert chart_of([], "EUR", t) is None
    shown = page("history.html.j2", {"h": chart, "w": t.w})
    assert "<title" in shown
    assert chart_of(days[:1], "EUR", t) is not None


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_told_apart() -> None:
    """WCAG AA: 4.5 for text, 3 for what is drawn. axe looks at the pages, this at what is drawn."""
    style = (files("agents.console") / "static" / "console.css").read_text(encoding="utf-8")
    colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", style))
    for name in ("good", "bad", "warn", "accent"):
        assert contrast(colour[name], colour["paper"]) >= 4.5, name
        assert contrast(colour[name], colour[f"{name}-ground"]) >= 4.5, name
    assert contrast(colour["quiet"], colour["ground"]) >= 4.5
    assert contrast(colour["quiet"], colour["accent-ground"]) >= 4.5
    for name in ("receivables", "delivered", "credit", "late"):
        assert contrast(colour[name], colour["paper"]) >= 3, name


# ── sessions ────────────────────────────────────────────────────────────────────────────────────


def request_with(cookie: str) -> Request:
    headers = [(b"host", b"credit.example"), (b"cookie", f"{COOKIE}={cookie}".encode())]
    return Request({"type": "http", "headers": headers, "path": "/", "query_string": b"",
                    "scheme": "http", "server": ("credit.example", 80)})  # fmt: skip


def cookie_of(sessions: Sessions, session: Session) -> str:
    response = Response()
    sessions.set(request_with(""), response, session)
    header = response.headers["set-cookie"]
    assert "Secure" in header
    return header.partition("=")[2].partition(";")[0]


def test_a_session_is_known_wherever_its_secret_is_and_until_it_is_over() -> None:
    old, new = "o" * 32, "n" * 32
    first = Sessions((old,), 10)
    session = first.begun("Bearer hr_x")
    cookie = cookie_of(first, session)
    assert "hr_x" not in cookie
    assert first.read(request_with(cookie)) == session
    assert Sessions((new, old), 10).read(request_with(cookie)) == session  # the secret is changed
    assert Sessions((new,), 10).read(request_with(cookie)) is None
    assert Sessions((), 10).read(request_with(cookie)) is None
    assert first.read(request_with("ünsinn")) is None
    late = first._box.encrypt_at_time(msgspec.json.encode(session), int(time.time()) - 11 * 3600)
    assert first.read(request_with(late.decode())) is None
    with pytest.raises(Problem):
        cookie_of(first, first.begun("Bearer " + "x" * 4_000))


def test_a_secret_that_keeps_nothing_is_refused(clean_environment: pytest.MonkeyPatch) -> None:
    assert secrets_of(Settings()) == ()
    clean_environment.setenv("HEADROOM_CONSOLE_SECRET", f"{'n' * 32}, {'o' * 32}")
    assert secrets_of(Settings()) == ("n" * 32, "o" * 32)
    clean_environment.setenv("HEADROOM_CONSOLE_SECRET", f"{'n' * 32},short")
    with pytest.raises(ConfigurationError, match="HEADROOM_CONSOLE_SECRET"):
        secrets_of(Settings())
