"""Letters have a sender, and an account that exists."""

from __future__ import annotations

import pytest

from agents.notify.creditor import creditor_of
from streams.errors import ConfigurationError
from streams.settings import Settings


def settings(**said: str) -> Settings:
    known = {"creditor_name": "Noorderlicht", "creditor_email": "credit@noorderlicht.example"}
    return Settings.model_validate(known | said)


def test_an_address_is_told_line_by_line() -> None:
    creditor = creditor_of(settings(creditor_address="Keizersgracht 1 | 1015 CN Amsterdam|"))
    assert creditor.lines == ("Keizersgracht 1", "1015 CN Amsterdam")
    assert (creditor.iban, creditor.bic) == ("", "")


def test_an_account_is_written_without_spaces() -> None:
    assert (
        creditor_of(settings(creditor_iban="nl91 abna 0417 1643 00")).iban == "NL91ABNA0417164300"
    )


@pytest.mark.parametrize(
    ("name", "value"), [("creditor_iban", "NL91ABNA0417164301"), ("creditor_bic", "ABNA")]
)
def test_an_account_that_cannot_be_is_refused_with_the_setting(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"HEADROOM_{name.upper()}: '{value}'"):
        creditor_of(settings(**{name: value}))


def test_what_is_missing_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match="letters need HEADROOM_CREDITOR_NAME and HEADROOM_CREDITOR_EMAIL"
    ):
        creditor_of(settings(creditor_name="", creditor_email=""))
