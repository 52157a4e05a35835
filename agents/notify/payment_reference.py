"""The reference that a debtor gives with a transfer, and the code that a bank's app can scan.

Formats: ISO 11649 (RF), the Belgian structured communication (OGM/VCS), and the European Payments
Council's quick response code (EPC069-12).
"""

from __future__ import annotations

import io
from decimal import Decimal
from hashlib import blake2b

from segno import helpers
from stdnum.be import ogm_vcs
from stdnum.iso7064 import mod_97_10

from agents.notify.creditor import Creditor
from schemas.events import Minor
from schemas.money import format_amount

_DIGITS = 10
_SCALE = 4
_EPC_AMOUNT_MAX = Decimal("999999999.99")


def reference_of(step_id: str, country: str | None) -> str:
    """The same for every attempt to send the step: a Belgian one (OGM) for debtors in Belgium, else
    RF.
    """
    digest = blake2b(step_id.encode(), digest_size=8).digest()
    number = str(int.from_bytes(digest) % 10**_DIGITS).zfill(_DIGITS)
    if country == "BE":
        return f"+++{ogm_vcs.format(number + ogm_vcs.calc_check_digits(number))!s}+++"
    return f"RF{mod_97_10.calc_check_digits(number + 'RF')}{number}"


def payment_code(creditor: Creditor, amount: Minor, currency: str, reference: str) -> bytes | None:
    """A PNG of the code that fills in a SEPA transfer; None where there can be none: no account, or
    another currency than the euro.
    """
    total = Decimal(format_amount(amount, currency))
    if not creditor.iban or currency != "EUR" or not 0 < total <= _EPC_AMOUNT_MAX:
        return None
    is_rf = reference.startswith("RF")
    code = helpers.make_epc_qr(
        name=creditor.name[:70],
        iban=creditor.iban,
        bic=creditor.bic or None,
        amount=total,
        reference=reference if is_rf else None,
        text=None if is_rf else reference,
    )
    png = io.BytesIO()
    code.save(png, kind="png", scale=_SCALE, border=4)
    return png.getvalue()
