"""Who may: keys in a file, roles, and how often."""

from __future__ import annotations

import pytest

from agents.gateway.callers import (
    ROLES,
    Action,
    Caller,
    Callers,
    allowed,
    entry_of,
    hash_of,
    new_key,
    read_keys,
)
from agents.gateway.problems import Problem
from streams.errors import ConfigurationError

MATRIX = {
    "order-system": {Action.CHECK_ORDERS, Action.READ},
    "viewer": {Action.READ},
    "controller": {
        Action.READ, Action.RELEASE_ORDERS, Action.HOLD_ORDERS, Action.DISPUTE, Action.PROMISE,
        Action.ANSWER_ALERTS,
    },
    "manager": set(Action) - {Action.CHECK_ORDERS},
    "admin": set(Action),
}  # fmt: skip
HASH = "a" * 64


def problem_of(call: object, *arguments: object) -> Problem:
    with pytest.raises(Problem) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value


@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("role", ROLES)
def test_what_each_role_may_do(role: str, action: Action) -> None:
    caller = Caller("somebody", (role,), 1.0)
    if action in MATRIX[role]:
        allowed(caller, action)
    else:
        refused = problem_of(allowed, caller, action)
        assert refused.status == 403
        assert "somebody is " + role in refused.detail


def test_the_highest_role_is_the_one_that_counts() -> None:
    assert Caller("a", ("manager", "viewer", "controller"), 1.0).role == "manager"


def test_a_key_opens_what_its_entry_says_and_is_not_in_it() -> None:
    key = new_key()
    text = entry_of("shop", ("order-system", "viewer"), key)
    assert key not in text
    known = Callers(read_keys(text, "file"))
    caller = known.recognise(f"Bearer {key}")
    assert caller == Caller("shop", ("order-system", "viewer"), 1000.0, f"key:{hash_of(key)[:12]}")
    assert known.recognise(f"bearer  {key}").name == "shop"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic hr_x", "hr_x", "Bearer \udce9"]
)
def test_anybody_else_is_nobody(header: str | None) -> None:
    known = Callers(read_keys(entry_of("shop", ("viewer",), new_key()), "file"))
    refused = problem_of(known.recognise, header)
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer ")


def test_the_hash_is_no_key() -> None:
    key = new_key()
    known = Callers(read_keys(entry_of("shop", ("viewer",), key), "file"))
    assert problem_of(known.recognise, f"Bearer {hash_of(key)}").status == 401


def test_without_keys_everybody_may_do_everything() -> None:
    assert Callers(None).recognise(None).role == "admin"


def test_who_comes_too_often_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("agents.gateway.callers.time.monotonic", lambda: now[0])
    first, second = new_key(), new_key()
    text = (
        entry_of("a", ("viewer",), first) + "per_second = 2\n" + entry_of("b", ("viewer",), second)
    )
    known = Callers(read_keys(text, "file"))
    for _ in range(2):
        known.recognise(f"Bearer {first}")
    refused = problem_of(known.recognise, f"Bearer {first}")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    known.recognise(f"Bearer {second}")  # somebody else is not kept waiting
    now[0] += 0.5
    known.recognise(f"Bearer {first}")
    assert problem_of(known.recognise, f"Bearer {first}").status == 429
    now[0] += 3_600
    for _ in range(2):  # an hour of rest is worth no more than a second
        known.recognise(f"Bearer {first}")
    assert problem_of(known.recognise, f"Bearer {first}").status == 429


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[keys]", "file: "),
        ("other = 1", "file: unknown: other"),
        ("keys = 1", "key 1: is no table"),
        ('[[keys]]\nname = "a"\nroles = ["viewer"]', "key 1: sha256"),
        (f'[[keys]]\nname = "a"\nroles = ["king"]\nsha256 = "{HASH}"', "key 1: roles"),
        (f'[[keys]]\nname = "a"\nroles = []\nsha256 = "{HASH}"', "key 1: roles"),
        (f'[[keys]]\nname = ""\nroles = ["viewer"]\nsha256 = "{HASH}"', "key 1: name"),
        (f'[[keys]]\nname = "a"\nroles = ["viewer"]\nsha256 = "{HASH.upper()}"', "key 1: sha256"),
        (
            f'[[keys]]\nname = "a"\nroles = ["viewer"]\nsha256 = "{HASH}"\nper_second = 0',
            "key 1: per_second",
        ),
        (f'[[keys]]\nname = "a"\nroles = ["viewer"]\nsha256 = "{HASH}"\nage = 3', "unknown: age"),
        (f'[[keys]]\nname = "a"\nroles = ["viewer"]\nsha256 = "{HASH}"\n' * 2, "the same key as a"),
    ],
)
def test_faults_of_the_file_are_told_with_their_place(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read_keys(text, "file")


def test_a_name_that_would_break_the_file_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        entry_of('a"\nroles = ["admin"]', ("viewer",), new_key())
