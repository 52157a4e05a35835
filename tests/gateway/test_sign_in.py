"""Signing in with an identity provider, the authorization code flow against a real one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from gateway.provider import CLIENT, RSA, SECRET, Provider, provider

from agents.gateway import sign_in as sign_in_module
from agents.gateway.callers import Caller, Callers
from agents.gateway.issuer import Issuer, open_client
from agents.gateway.problems import Problem
from agents.gateway.sign_in import Client, Ended, SignIn

BACK = "https://credit.firm.example/console/sso/back"
SECRETS = ("a secret of the installation, long enough",)


@pytest.fixture
def there() -> Iterator[Provider]:
    with provider() as one:
        yield one


class House:
    """A gateway at which people sign in."""

    def __init__(self, there: Provider, secrets: tuple[str, ...] = SECRETS) -> None:
        self.there = there
        self.issuer = Issuer(there.terms, open_client())
        self.sign_in = SignIn(self.issuer, Client(CLIENT, SECRET, BACK), secrets, 10.0)
        self.callers = Callers({}, self.issuer, self.sign_in)

    async def begun(self, there: str = "/console/") -> tuple[str, dict[str, str]]:
        """The memo, and what the provider gives the browser."""
        begun = await self.sign_in.begin(there)
        back = self.there.sign_in(begun.url)
        assert back.startswith(f"{BACK}?")
        return begun.memo, dict(parse_qsl(urlsplit(back).query))

    async def signed_in(self) -> Ended:
        memo, query = await self.begun("/console/order?id=O-1")
        return await self.sign_in.end(memo, query)


def story(
    there: Provider, tell: Callable[[House], Awaitable[None]], secrets: tuple[str, ...] = SECRETS
) -> None:
    async def run() -> None:
        house = House(there, secrets)
        try:
            await tell(house)
        finally:
            await house.issuer.client.aclose()

    asyncio.run(run())


async def refused(doing: Awaitable[object]) -> Problem:
    with pytest.raises(Problem) as caught:
        await doing
    return caught.value


def test_who_signed_in_is_known_without_the_provider(there: Provider) -> None:
    async def tell(house: House) -> None:
        ended = await house.signed_in()
        assert ended.there == "/console/order?id=O-1"
        asked = len(there.asked)
        caller = house.callers.recognise(ended.authorization)
        assert caller == Caller("anna", ("manager",), 1000.0, "sub:0d3c-77", caller.until)
        assert caller.until is not None
        assert 9.9 * 3600 < caller.until - time.time() <= 10 * 3600
        assert await house.callers.recognise_any(ended.authorization) == caller
        assert len(there.asked) == asked
        another = House(there)
        assert another.callers.recognise(ended.authorization).name == "anna"
        stranger = House(there, ("another secret",))
        with pytest.raises(Problem) as caught:
            stranger.callers.recognise(ended.authorization)
        assert caught.value.status == 401

    story(there, tell)


def test_a_session_ends(there: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(house: House) -> None:
        ended = await house.signed_in()
        assert len(ended.authorization) < 1_000
        later = time.time() + 10 * 3600 + 60
        monkeypatch.setattr("cryptography.fernet.time", SimpleNamespace(time=lambda: later))
        for session in (ended.authorization, "Bearer hs_", "Bearer hs_x", "Bearer hs_gAAAAA=="):
            with pytest.raises(Problem) as caught:
                house.callers.recognise(session)
            assert caught.value.status == 401

    story(there, tell)


def test_roles_may_stand_in_the_other_token(there: Provider) -> None:
    async def tell(house: House) -> None:
        there.identity = {"realm_access": None}
        there.access = {"realm_access": {"roles": ["credit"]}}
        ended = await house.signed_in()
        assert house.callers.recognise(ended.authorization).roles == ("controller",)
        there.access = {"realm_access": {"roles": ["credit"]}, "sub": "another"}
        assert (await refused(house.signed_in())).status == 401
        for access in ({"realm_access": {"roles": ["x"]}}, {"aud": "account"}, {"exp": 1}):
            there.access = access
            problem = await refused(house.signed_in())
            assert (problem.status, problem.kind) == (403, "no_role")
        there.odd = {"access_token": "opaque"}
        assert (await refused(house.signed_in())).kind == "no_role"

    story(there, tell)


@pytest.mark.parametrize(
    "identity",
    [
        {"nonce": "another"}, {"nonce": None}, {"aud": "headroom"}, {"exp": 1}, {"azp": "other"},
        {"iss": "https://other.example"}, {"sub": None},
    ],
)  # fmt: skip
def test_what_is_said_of_somebody_else_lets_nobody_in(
    there: Provider, identity: dict[str, Any]
) -> None:
    async def tell(house: House) -> None:
        there.identity = identity
        assert (await refused(house.signed_in())).status == 401

    story(there, tell)


@pytest.mark.parametrize(
    "odd", [{"id_token": None}, {"id_token": 1}, {"id_token": "x"}, {"id_token": ""}]
)
def test_an_answer_without_a_token_lets_nobody_in(there: Provider, odd: dict[str, Any]) -> None:
    async def tell(house: House) -> None:
        there.odd = odd
        assert (await refused(house.signed_in())).status == 401

    story(there, tell)


def test_only_who_began_comes_back(there: Provider) -> None:
    async def tell(house: House) -> None:
        memo, query = await house.begun()
        other, _ = await house.begun()
        wrong = [("", query), ("x", query), ("é", query), (other, query), (memo, {}),
                 (memo, query | {"state": ""}), (memo, query | {"state": "é"})]  # fmt: skip
        for brought, given in wrong:
            assert (await refused(house.sign_in.end(brought, given))).status == 400
        mixed_up = await refused(house.sign_in.end(memo, query | {"iss": "https://evil.example"}))
        assert mixed_up.status == 401
        assert (await house.sign_in.end(memo, query)).there == "/console/"
        assert (await refused(house.sign_in.end(memo, query))).status == 401  # the code is used up

    story(there, tell)


def test_who_takes_too_long_begins_anew(there: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(house: House) -> None:
        memo, query = await house.begun()
        later = time.time() + sign_in_module.MEMO_SECONDS + 60
        monkeypatch.setattr("cryptography.fernet.time", SimpleNamespace(time=lambda: later))
        assert (await refused(house.sign_in.end(memo, query))).status == 400

    story(there, tell)


def test_a_refusal_is_told_and_nothing_else_that_somebody_put_there(there: Provider) -> None:
    async def tell(house: House) -> None:
        memo, query = await house.begun()
        state = {"state": query["state"]}
        told = await refused(house.sign_in.end(memo, state | {"error": "access_denied"}))
        assert (told.status, told.detail.endswith(": access_denied")) == (401, True)
        told = await refused(house.sign_in.end(memo, state | {"error": "<b>call 0900</b>"}))
        assert "0900" not in told.detail

    story(there, tell)


@pytest.mark.parametrize("answer", [(500, b""), (400, b"{}"), (200, b"<html>"), (200, b"[]")])
def test_a_provider_that_gives_no_token(there: Provider, answer: tuple[int, bytes]) -> None:
    async def tell(house: House) -> None:
        memo, query = await house.begun()
        there.answers = {"/realms/firm/token": answer}
        assert (await refused(house.sign_in.end(memo, query))).status == 401

    story(there, tell)


def test_a_provider_that_is_away(there: Provider) -> None:
    async def tell(house: House) -> None:
        there.keys = []
        assert (await refused(house.sign_in.begin("/"))).status == 503

    story(there, tell)


def test_without_a_secret_a_session_ends_with_the_process(there: Provider) -> None:
    async def tell(house: House) -> None:
        ended = await house.signed_in()
        assert house.callers.recognise(ended.authorization).name == "anna"
        with pytest.raises(Problem):
            House(there, ()).callers.recognise(ended.authorization)

    story(there, tell, secrets=())


def test_a_token_of_the_interface_is_no_identity(there: Provider) -> None:
    """Nor is one that names the client an API's token."""

    async def tell(house: House) -> None:
        there.odd = {"id_token": there.token(RSA)}
        assert (await refused(house.signed_in())).status == 401
        identity = there.token(RSA, None, aud=CLIENT)
        assert (await refused(house.callers.recognise_any(f"Bearer {identity}"))).status == 401

    story(there, tell)
