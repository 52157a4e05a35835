"""A file of routes is read as it stands, or refused with the place of every fault."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.alerts.routes import ACCOUNT_MANAGER, Escalation
from agents.alerts.routes_file import load_routes
from agents.alerts.routes_text import RoutesError, parse_routes
from agents.alerts.timing import AT_ONCE, Digest, Quiet

_GOOD = """
[recipients.ann]
email = "ann@firm.example"
language = "nl"
time_zone = "Europe/Amsterdam"
digest = "every 30 minutes"
quiet = "20:00-07:00"
account_manager = ["j.devries", "jv"]

[recipients.desk]
chat = "https://chat.example/hook/abc"
digest = "daily 08:00"

[recipients.erp]
webhook = "http://erp.example:8080/hooks"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

[[routes]]
name = "large holds"
kinds = ["hold"]
reasons = ["credit_limit_exceeded"]
segments = ["key"]
amount_from = "25000.00"
amount_to = 1000000
currencies = ["EUR"]
to = ["account manager", "erp"]
without_manager = ["ann"]
urgent = true

[[routes.escalate]]
after_minutes = 60
to = ["desk"]

[[routes]]
name = "the rest"
to = "desk"
digest = "at once"
"""


def test_a_file_is_read_as_it_stands() -> None:
    routes = parse_routes(_GOOD)
    ann, desk, erp = (routes.recipients[name] for name in ("ann", "desk", "erp"))
    assert (ann.channel, ann.address, ann.language) == ("email", "ann@firm.example", "nl")
    assert (ann.digest, ann.quiet) == (Digest(every=30), Quiet(1200, 420))
    assert ann.is_manager == ("j.devries", "jv")
    assert (desk.digest, desk.zone) == (Digest(daily=480), "UTC")
    assert [len(secret) for secret in erp.secrets] == [24]
    large, rest = routes.routes
    assert large.to == (ACCOUNT_MANAGER, "erp")
    assert (large.amount_from, large.amount_to) == (Decimal("25000.00"), Decimal(1000000))
    assert large.escalate == (Escalation(60, ("desk",)),)
    assert (rest.to, rest.digest, rest.urgent) == (("desk",), AT_ONCE, False)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('email = "ann@', 'emial = "ann@', "recipients.ann.emial: is unknown; there are email, "),
        ('email = "ann@', 'emial = "ann@', "recipients.ann: needs exactly one of email, "),
        ("ann@firm.example", "ann", "recipients.ann.email: 'ann' is no mail address"),
        ('"nl"', '"es"', "recipients.ann.language: is none of en, nl, de, fr"),
        ("Europe/Amsterdam", "Amsterdam", "recipients.ann.time_zone: is no time zone"),
        ("every 30 minutes", "hourly", 'recipients.ann.digest: should be "at once", '),
        ("daily 08:00", "daily 24:00", "recipients.desk.digest: should be"),
        ("20:00-07:00", "20-7", "recipients.ann.quiet: should be hours"),
        ("every 30 minutes", "daily 06:00", "recipients.ann.digest: falls into the quiet hours"),
        ("https://chat.example", "ftp://chat.example", "recipients.desk.chat: should be https://"),
        ("http://erp", "http://me:secret@erp", "recipients.erp.webhook: should be https://"),
        ("8080", "x", "recipients.erp.webhook: should be https://"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ", "recipients.erp.secret: should be whsec_"),
        ('secret = "whsec_', '# secret = "', "recipients.erp.secret: is missing: whsec_"),
        ('secret = "whsec_', 'quiet = "20:00-07:00"\nsecret = "whsec_', "erp.quiet: is not for a"),
        ("recipients.desk]", 'recipients."account manager"]', "recipients.account manager: a name"),
        ("jv", "desk", "recipients: an account manager 'desk' would be several of them"),
        ('["hold"]', '["holds"]', "routes[1].kinds: 'holds' is none of: limit_alert, hold, "),
        ('["EUR"]', '["Euro"]', "routes[1].currencies: 'Euro' is none of: currencies"),
        ('"25000.00"', "25000.5", "routes[1].amount_from: should be an amount in quotes"),
        ('"25000.00"', '"2000000"', "routes[1].amount_to: is below amount_from"),
        ('"erp"]', '"erq"]', "routes[1].to: there is no recipient 'erq'"),
        ('without_manager = ["ann"]', "", "routes[1].without_manager: is missing: who is told"),
        ("after_minutes = 60", "after_minutes = 0", "routes[1].escalate[1].after_minutes: is a"),
        ("urgent = true", 'urgent = "yes"', "routes[1].urgent: is true or false"),
        ("urgent = true", 'urgent = true\ndigest = "daily 08:00"', "routes[1].digest: what is"),
        ('"the rest"', '"large holds"', "routes: two are named 'large holds'"),
        ('name = "the rest"', "", "routes[2].name: is missing"),
        ('to = "desk"', "", "routes[2].to: is missing"),
        ("[[routes]]", "[routes]", "not TOML: "),
    ],
)
def test_every_fault_is_told_with_its_place(old: str, new: str, fault: str) -> None:
    assert old in _GOOD
    with pytest.raises(RoutesError) as refused:
        parse_routes(_GOOD.replace(old, new))
    assert fault in str(refused.value)
    assert "abc" not in str(refused.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(RoutesError) as refused:
        parse_routes('[recipients.a]\n[[routes]]\nto = ["b"]\nurgent = 1\n')
    assert str(refused.value).split("\n") == [
        "recipients.a: needs exactly one of email, webhook, chat",
        "routes[1].to: there is no recipient 'b'",
        "routes[1].urgent: is true or false",
        "routes[1].name: is missing",
    ]
    with pytest.raises(RoutesError, match="recipients: there are none\nroutes: there are none"):
        parse_routes("")


def test_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RoutesError, match="No such file"):
        load_routes(tmp_path / "none.toml")
    (tmp_path / "routes.toml").write_text("routes = 1")
    with pytest.raises(RoutesError, match=r"routes.toml: routes: should be tables"):
        load_routes(tmp_path / "routes.toml")


@given(st.integers(0, len(_GOOD)), st.integers(0, 12), st.text("[]\"'=.1a\n{}", max_size=4))
def test_whatever_stands_there_is_read_or_refused(at: int, length: int, text: str) -> None:
    try:
        parse_routes(_GOOD[:at] + text + _GOOD[at + length :])
    except RoutesError as error:
        assert str(error)  # noqa: PT017
