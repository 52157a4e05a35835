"""Which version of a policy holds on a day."""

from __future__ import annotations

from importlib.resources import files

from agents.core.policy import ALWAYS, PolicyBook, PolicyVersion, in_minor
from agents.core.policy_text import parse_policy
from schemas.events import Day

_DAY: Day = 20_000
_SHIPPED = parse_policy((files("agents.policy") / "default.toml").read_text(encoding="utf-8"))


def _book(*starts: Day, name: str = "") -> PolicyBook:
    base = _SHIPPED.versions[0].base
    return PolicyBook(
        tuple(
            PolicyVersion(version=f"{name}{start}", valid_from=start, base=base, segments={})
            for start in starts
        )
    )


def test_a_version_holds_from_its_day_until_the_next_one() -> None:
    book = _book(ALWAYS, _DAY, _DAY + 10)
    days = (_DAY - 1, _DAY, _DAY + 9, _DAY + 10)
    in_force = [book.at(day).valid_from for day in days]
    assert in_force == [ALWAYS, _DAY, _DAY, _DAY + 10]


def test_before_the_first_day_the_first_version_holds() -> None:
    assert _book(_DAY, _DAY + 10).at(_DAY - 1).valid_from == _DAY
    assert _book(_DAY).at(_DAY - 1).valid_from == _DAY


def test_versions_change_on_a_day_after_the_one_and_up_to_the_other() -> None:
    book = _book(ALWAYS, _DAY)
    assert book.changes_within(_DAY - 1, _DAY)
    assert not book.changes_within(_DAY, _DAY + 5)
    assert not book.changes_within(_DAY - 5, _DAY - 1)


def test_a_policy_that_takes_over_on_a_day_holds_from_then_on_with_all_that_follows_in_it() -> None:
    ours, theirs = _book(ALWAYS, _DAY - 5, _DAY), _book(ALWAYS, _DAY, _DAY + 5, name="proposed ")
    after = ours.followed_by(theirs, _DAY)
    assert [(one.version, one.valid_from) for one in after.versions] == [
        (f"{ALWAYS}", ALWAYS),
        (f"{_DAY - 5}", _DAY - 5),
        (f"proposed {_DAY}", _DAY),
        (f"proposed {_DAY + 5}", _DAY + 5),
    ]
    begun_before = ours.followed_by(theirs, _DAY + 2).versions[3]
    assert (begun_before.version, begun_before.valid_from) == (f"proposed {_DAY}", _DAY + 2)


def test_an_amount_of_the_policy_is_rounded_down_to_the_currencys_digits() -> None:
    assert in_minor("0.05", "EUR") == 5
    assert in_minor("0.05", "JPY") == 0
    assert in_minor("12.3456", "KWD") == 12_345
