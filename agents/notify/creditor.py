"""Who writes the letters, and where the money is to go."""

from __future__ import annotations

import msgspec
from stdnum import bic, iban
from stdnum.exceptions import ValidationError

from agents.notify.addresses import mail_address
from streams.errors import ConfigurationError
from streams.settings import Settings


class Creditor(msgspec.Struct, frozen=True):
    """Name and address, as they stand under a letter; account and address for answers."""

    name: str
    lines: tuple[str, ...]
    iban: str
    bic: str
    email: str


def creditor_of(settings: Settings) -> Creditor:
    """The creditor of the installation.

    Raises:
        ConfigurationError: a setting is missing or cannot be; it is named.
    """
    missing = [
        f"HEADROOM_{name.upper()}"
        for name in ("creditor_name", "creditor_email")
        if not getattr(settings, name)
    ]
    if missing:
        raise ConfigurationError(f"letters need {' and '.join(missing)}")
    try:
        mail_address(settings.creditor_name or "", settings.creditor_email or "")
    except ValueError as error:
        raise ConfigurationError(f"HEADROOM_CREDITOR_EMAIL: {error}") from error
    lines = tuple(one.strip() for one in (settings.creditor_address or "").split("|"))
    return Creditor(
        name=settings.creditor_name or "",
        lines=tuple(line for line in lines if line),
        iban=_checked("HEADROOM_CREDITOR_IBAN", settings.creditor_iban),
        bic=_checked("HEADROOM_CREDITOR_BIC", settings.creditor_bic),
        email=settings.creditor_email or "",
    )


def _checked(setting: str, text: str | None) -> str:
    if not text:
        return ""
    number = iban if setting.endswith("IBAN") else bic
    try:
        return str(number.validate(text))
    except ValidationError as error:
        raise ConfigurationError(f"{setting}: {text!r}: {error}") from error
