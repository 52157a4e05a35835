"""Signing in at the console with an identity provider, from the link to the page asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import urllib3
from console.asking import Answer, Asking
from console.office import SECRET, Office, Served, busy_office
from gateway.provider import CLIENT, Provider, provider
from gateway.provider import SECRET as CLIENT_SECRET

from agents.console.app import BACK
from agents.gateway.callers import Callers, hash_of
from agents.gateway.issuer import Issuer, open_client
from agents.gateway.sign_in import Client, SignIn
from schemas.events import CustomerBlocked

ORDER = "/console/order?customer=C-100&id=O-2"


@pytest.fixture
def there() -> Iterator[Provider]:
    with provider() as one:
        yield one


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    one = busy_office(tmp_path, roles={"ben": "manager"})
    yield one
    one.close()


@pytest.fixture
def served(office: Office, there: Provider) -> Iterator[Served]:
    one = Served()
    issuer = Issuer(there.terms, open_client())
    client = Client(CLIENT, CLIENT_SECRET, one.url + BACK)
    office.sign_in = SignIn(issuer, client, (SECRET,), 10.0)
    office.callers = Callers(office.callers._keys, issuer, office.sign_in)
    one.show(office)
    yield one
    one.close()


def at_the_provider(answer: Answer) -> str:
    """Where it sends the browser, once somebody signed in there: a path of ours."""
    assert answer.status == 303
    sent = urllib3.request("GET", answer.headers["location"], redirect=False, retries=False)
    assert sent.status == 302
    back = urlsplit(sent.headers["location"])
    return f"{back.path}?{back.query}"


def test_one_signs_in_there_and_comes_to_the_page_asked_for(
    served: Served, office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agents")
    browser = Asking(served.url)
    login = browser.get(ORDER).headers["location"]
    page = browser.get(login)
    assert 'id="sso" href="/console/sso?next=%2Fconsole%2Forder' in page.text
    begun = browser.get("/console/sso?next=" + login.partition("next=")[2])
    cookie = begun.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "Path=/console/sso" in cookie
    ended = browser.get(at_the_provider(begun))
    assert (ended.status, ended.headers["location"]) == (303, ORDER)
    assert "headroom_sign_in" not in browser.cookies
    assert "O-2" in browser.get(ORDER).words
    done = browser.post("/console/act/block", {"customer_id": "C-100", "text": "late"})
    assert done.status == 303, done.words
    (event,) = office.written
    assert isinstance(event, CustomerBlocked)
    assert event.by == "anna"
    said = f"CustomerBlocked by sub:0d3c-77 (manager): accepted, event {event.event_id}"
    assert said in caplog.text
    assert "anna" not in caplog.text


def test_nobody_is_signed_in_by_a_link_of_somebody_else(served: Served, there: Provider) -> None:
    browser, attacker = Asking(served.url), Asking(served.url)
    theirs = at_the_provider(attacker.get("/console/sso"))
    assert browser.get(theirs).status == 400
    browser.get("/console/sso")
    assert browser.get(theirs).status == 400
    assert browser.get("/console/").status == 303
    there.identity = {"realm_access": {"roles": ["cleaner"]}}
    there.access = there.identity
    refused = browser.get(at_the_provider(browser.get("/console/sso")))
    assert refused.status == 403
    assert browser.get("/console/").status == 303


@pytest.mark.parametrize("there_after", ["https://evil.example/", "//evil.example", "/v1/orders"])
def test_one_comes_back_to_pages_of_ours_only(served: Served, there_after: str) -> None:
    browser = Asking(served.url)
    ended = browser.get(at_the_provider(browser.get(f"/console/sso?next={there_after}")))
    assert ended.headers["location"].startswith("/console/")


def test_a_key_signs_in_as_before_and_without_a_provider_there_is_no_link(
    served: Served, office: Office, tmp_path: Path
) -> None:
    assert Asking(served.url, office.keys["ben"]).get("/console/").status == 200
    assert hash_of(office.keys["ben"]) in office.callers._keys
    alone = busy_office(tmp_path / "alone", roles={"ben": "manager"})
    without = Served(alone)
    try:
        assert 'id="sso"' not in Asking(without.url).get("/console/login").text
        assert Asking(without.url).get("/console/sso").status == 404
    finally:
        without.close()
        alone.close()
