"""Links that we made are read, and no others."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify.letters import a_step
from pydantic import SecretStr

from agents.notify.ticket import BadTicketError, Ticket, links_of, read, sign, ticket_of
from streams.errors import ConfigurationError
from streams.settings import Settings

SECRET, OTHER = "s" * 32, "o" * 32
_tickets = st.builds(Ticket, st.text(), st.text(), st.integers(0, 10**15), st.integers(0, 10**15))


@given(_tickets)
def test_what_was_signed_is_read(ticket: Ticket) -> None:
    text = sign(ticket, SECRET)
    assert read(text, (SECRET,)) == read(text, (OTHER, SECRET)) == ticket
    assert text.isascii()
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@given(_tickets, st.data())
def test_what_was_changed_or_signed_by_others_is_not(ticket: Ticket, data: st.DataObject) -> None:
    text = sign(ticket, SECRET)
    with pytest.raises(BadTicketError):
        read(text, (OTHER,))
    place = data.draw(st.integers(0, len(text) - 2))  # the last may hold bits that mean nothing
    other = data.draw(st.sampled_from(sorted(set("ABCDEFGHIJKLMNOP234") - {text[place]})))
    with pytest.raises(BadTicketError):
        read(text[:place] + other + text[place + 1 :], (SECRET,))


@given(st.one_of(st.text(), st.binary().map(lambda raw: urlsafe_b64encode(raw).decode())))
def test_what_nobody_signed_is_not(text: str) -> None:
    with pytest.raises(BadTicketError):
        read(text, (SECRET,))


def test_a_link_is_short_enough_for_a_text_message() -> None:
    link = links_of(Settings(portal_url="https://pay.example/", portal_secret=SecretStr(SECRET)))
    assert link is not None
    found = link(a_step())
    assert found.startswith("https://pay.example/p/")
    assert len(found) < 120
    assert read(found.rpartition("/")[2], (SECRET,)) == ticket_of(a_step())


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"portal_url": "pay.example"}, "HEADROOM_PORTAL_URL: should be https://host"),
        ({"portal_url": "https://pay.example"}, "HEADROOM_PORTAL_SECRET: needs 32"),
        (
            {"portal_url": "https://pay.example", "portal_secret": f"{SECRET},short"},
            "HEADROOM_PORTAL_SECRET: needs 32",
        ),
    ],
)
def test_a_setting_that_cannot_be_is_named(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        links_of(Settings(**settings))


def test_without_an_address_letters_have_no_link() -> None:
    assert links_of(Settings()) is None
