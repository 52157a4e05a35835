"""Asking an identity provider over HTTP: keys that change, and a provider that misbehaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from gateway.provider import EC, RSA, Provider, provider
from joserfc.jwk import RSAKey

from agents.gateway import callers as callers_module
from agents.gateway import issuer as issuer_module
from agents.gateway.callers import Caller, Callers, entry_of, new_key, read_keys
from agents.gateway.issuer import DISCOVERY, Issuer, open_client
from agents.gateway.problems import Problem

KEY = new_key()
NEW = RSAKey.generate_key(2048, {"kid": "new"})


@pytest.fixture
def there() -> Iterator[Provider]:
    with provider() as one:
        yield one


class Time:
    """The clock that the issuer waits by."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    one = Time()
    monkeypatch.setattr(issuer_module, "time", SimpleNamespace(monotonic=one, time=time.time))
    monkeypatch.setattr(callers_module, "time", SimpleNamespace(monotonic=one))
    return one


class Door:
    """Callers with keys and an issuer."""

    def __init__(self, there: Provider) -> None:
        self.there = there
        self.issuer = Issuer(there.terms, open_client())
        keys = read_keys(entry_of("shop", ("order-system",), KEY), "file")
        self.callers = Callers(keys, self.issuer)

    async def enter(self, token: str) -> Caller:
        return await self.callers.recognise_any(f"Bearer {token}")

    async def refused(self, token: str) -> Problem:
        with pytest.raises(Problem) as caught:
            await self.enter(token)
        return caught.value


def story(there: Provider, tell: Callable[[Door], Awaitable[None]]) -> None:
    async def run() -> None:
        door = Door(there)
        try:
            await tell(door)
        finally:
            await door.issuer.client.aclose()

    asyncio.run(run())


def test_a_token_and_a_key_open_the_same_door(there: Provider) -> None:
    async def tell(door: Door) -> None:
        assert (await door.enter(KEY)).name == "shop"
        assert there.asked == []
        token = there.token()
        caller = await door.enter(token)
        assert caller == Caller("anna", ("manager",), 1000.0, "sub:0d3c-77", caller.until)
        assert [path.removeprefix("/realms/firm") for path in there.asked] == [DISCOVERY, "/keys"]
        await door.enter(there.token(sub="2"))
        assert len(there.asked) == 2
        assert door.callers.recognise(f"Bearer {token}") == caller

    story(there, tell)


def test_keys_change(there: Provider, clock: Time) -> None:
    async def tell(door: Door) -> None:
        await door.enter(there.token())
        there.keys = [NEW, EC]
        clock.now += 60
        assert (await door.enter(there.token(NEW))).name == "anna"
        assert (await door.enter(there.token(EC, {"alg": "ES256"}))).name == "anna"
        refused = await door.refused(there.token(RSA))
        assert (refused.status, refused.kind) == (401, "unauthenticated")
        assert 'error="invalid_token"' in refused.headers["WWW-Authenticate"]

    story(there, tell)


def test_a_key_that_is_not_there_is_asked_for_now_and_then(there: Provider, clock: Time) -> None:
    async def tell(door: Door) -> None:
        await door.enter(there.token())
        asked = len(there.asked)
        for n in range(50):
            other = {"kid": f"none-{n}"}
            assert (await door.refused(there.token(NEW, other))).status == 401
        assert len(there.asked) == asked
        clock.now += 11
        for n in range(50):
            assert (await door.refused(there.token(NEW, {"kid": f"no-{n}"}))).status == 401
        assert len(there.asked) == asked + 2

    story(there, tell)


def test_what_is_forged_does_not_make_it_ask(there: Provider, clock: Time) -> None:
    async def tell(door: Door) -> None:
        await door.enter(there.token())
        asked = len(there.asked)
        clock.now += 60
        for token in ("x", "eyJ.e30.", there.token()[:-8], there.token(RSA, {"kid": "rsa"}, exp=1)):
            assert (await door.refused(token)).status == 401
        assert len(there.asked) == asked

    story(there, tell)


def _answers(**of: tuple[int, Any]) -> dict[str, tuple[int, bytes]]:
    paths = {"discovery": "/realms/firm" + DISCOVERY, "keys": "/realms/firm/keys"}
    return {
        paths[name]: (status, body if isinstance(body, bytes) else json.dumps(body).encode())
        for name, (status, body) in of.items()
    }


_FAR = "http://login.firm.example/keys"


@pytest.mark.parametrize(
    "of",
    [
        {"discovery": (503, b"")},
        {"discovery": (200, b"<html>")},
        {"discovery": (200, [])},
        {"discovery": (200, {"issuer": "http://127.0.0.1/another", "jwks_uri": _FAR})},
        {"discovery": (302, b"http://127.0.0.1:1/elsewhere")},
        {"keys": (404, b"")},
        {"keys": (200, b"[" * 100_000)},
        {"keys": (200, {"keys": []})},
        {"keys": (200, b" " * ((1 << 20) + 1))},
    ],
)
def test_a_provider_that_misbehaves_opens_nothing(there: Provider, of: dict[str, Any]) -> None:
    async def tell(door: Door) -> None:
        there.answers = _answers(**of)
        refused = await door.refused(there.token())
        assert (refused.status, refused.kind) == (503, "issuer_away")
        assert refused.headers["Retry-After"] == "10"
        with pytest.raises(Problem) as caught:
            door.callers.recognise(f"Bearer {there.token()}")
        assert caught.value.status == 503
        assert (await door.enter(KEY)).name == "shop"

    story(there, tell)


def test_keys_are_not_fetched_from_where_anybody_could_change_them(there: Provider) -> None:
    async def tell(door: Door) -> None:
        there.answers = _answers(discovery=(200, {"issuer": there.issuer, "jwks_uri": _FAR}))
        assert (await door.refused(there.token())).status == 503

    story(there, tell)


def test_a_provider_that_goes_away_leaves_its_keys_for_a_while(
    there: Provider, clock: Time
) -> None:
    async def tell(door: Door) -> None:
        await door.enter(there.token())
        there.answers = _answers(discovery=(503, b""))
        clock.now += 3_500
        assert (await door.enter(there.token())).name == "anna"
        # It may have another key by now, so it cannot be said that nobody has signed this.
        assert (await door.refused(there.token(NEW))).status == 503
        clock.now += 200
        assert (await door.refused(there.token())).status == 503
        there.answers = {}
        clock.now += 11
        assert (await door.enter(there.token())).name == "anna"

    story(there, tell)


def test_nobody_waits_for_the_provider_but_who_needs_it(
    there: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And of those only so many."""
    monkeypatch.setattr(issuer_module, "_PATIENCE_SECONDS", 60.0)

    async def tell(door: Door) -> None:
        there.goes_on.clear()
        waiting = [asyncio.create_task(door.enter(there.token(sub=f"s-{n}"))) for n in range(64)]
        await asyncio.to_thread(there.is_asked.wait, 30)
        assert (await door.enter(KEY)).name == "shop"
        assert (await door.refused(there.token())).status == 503
        assert not any(one.done() for one in waiting)
        there.goes_on.set()
        assert {caller.name for caller in await asyncio.gather(*waiting)} == {"anna"}
        assert len(there.asked) == 2

    story(there, tell)


def test_keys_are_read_ahead_and_anew(there: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer_module, "_RENEW_SECONDS", 0.01)
    monkeypatch.setattr(issuer_module, "_ASK_AGAIN_SECONDS", 0.0)

    async def run() -> None:
        issuer = Issuer(there.terms, open_client())
        async with issuer.kept_up():
            await asyncio.to_thread(there.is_asked.wait, 30)
            there.keys = [NEW]
            deadline = time.monotonic() + 30
            while issuer._provider is None or "new" not in issuer._provider.signers:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.01)
            assert issuer.holder_of(there.token(NEW)).name == "anna"

    asyncio.run(run())


@pytest.mark.usefixtures("clock")
def test_who_comes_too_often_with_a_token_is_told_to_come_back(
    there: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callers_module, "_PER_SECOND", 3.0)

    async def tell(door: Door) -> None:
        for n in range(3):  # a new token each time, of the same person
            await door.enter(there.token(jti=str(n)))
        for n in range(3):
            assert (await door.refused(there.token(jti=f"more-{n}"))).status == 429
        assert (await door.enter(there.token(sub="another"))).name == "anna"

    story(there, tell)


def test_who_does_not_come_any_more_is_forgotten(there: Provider, clock: Time) -> None:
    async def tell(door: Door) -> None:
        for n in range(100):
            await door.enter(there.token(sub=f"s-{n}"))
            clock.now += 0.1
        assert len(door.callers._buckets) <= 12
        for token in ("x", "hr_x", there.token(NEW), there.token(exp=1)):
            await door.refused(token)
        assert len(door.callers._buckets) <= 12

    story(there, tell)
