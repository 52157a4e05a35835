"""Letters over a service: text messages, and letters on paper.

The service gets a POST with a JSON object and the header `Idempotency-Key`, which is the same for
the same attempt, however often it is repeated: a service that heard of it already only says so
again. docs/dunning.md has the fields.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from agents.notify.carriers import Errand, Leaving, RefusedError, Words, step_of
from agents.notify.pdf import UnprintableError, pdf_of
from agents.notify.rendering import Rendered
from agents.notify.service import WebService
from schemas.dates import format_day
from schemas.events import DunningStep
from schemas.money import format_amount


class WebhookCarrier:
    """Gives letters to a service.

    Args:
        url: of the service; a user and a password in it are sent as such.
        render: the letter of a step.
        on_paper: whether the service prints, and gets a PDF.
    """

    repeatable = True

    def __init__(
        self, url: str, render: Callable[[DunningStep], Rendered], *, on_paper: bool
    ) -> None:
        self._service = WebService(url)
        self._render = render
        self._on_paper = on_paper

    def begin(self, errand: Errand) -> Leaving:
        step = step_of(errand)
        letter = self._render(step)
        body: dict[str, Any] = {
            "step_id": step.step_id,
            "attempt": step.attempt,
            "customer_id": step.customer_id,
            "name": step.name,
            "country": step.country,
            "language": letter.language,
            "subject": letter.subject,
            "total": format_amount(step.principal + step.interest + step.costs, step.currency),
            "currency": step.currency,
            "pay_by": format_day(step.pay_by),
        }
        if self._on_paper:
            try:
                body["pdf"] = base64.b64encode(pdf_of(letter.html)).decode()
            except UnprintableError as error:
                raise RefusedError("failed", f"no PDF could be made: {error}") from error
            words = Words("", letter.language, letter.subject, letter.text, letter.html)
        else:
            body |= {"to": step.phone, "text": letter.short}
            words = Words(step.phone or "", letter.language, letter.subject, letter.short, "")
        return _Call(self, body, f"{step.step_id}#{step.attempt}", words)

    def post(self, body: dict[str, Any], key: str) -> str:
        """What the service answers."""
        headers = {"Content-Type": "application/json"}
        return self._service.post(json.dumps(body).encode(), key, headers)

    def close(self) -> None:
        self._service.close()


class _Call:
    def __init__(
        self, carrier: WebhookCarrier, body: dict[str, Any], key: str, words: Words
    ) -> None:
        self._carrier = carrier
        self._body = body
        self._key = key
        self.words = words

    def finish(self) -> str:
        return self._carrier.post(self._body, self._key)

    def drop(self) -> None:
        """Nothing was asked for yet."""
