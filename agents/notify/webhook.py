"""Letters over a service: text messages, and letters on paper.

The service gets a POST with a JSON object and the header `Idempotency-Key`, which is the same for
the same attempt, however often it is repeated: a service that heard of it already only says so
again. docs/dunning.md has the fields.
"""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote, urlsplit

import urllib3

from agents.notify.carriers import CarrierAwayError, Leaving, RefusedError
from agents.notify.rendering import Rendered
from schemas.dates import format_day
from schemas.events import DunningStep
from schemas.money import format_amount

_TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)
_PDF_SECONDS = 60.0
_AGAIN_LATER = frozenset({408, 409, 425, 429})
_DETAIL = 300


class UnprintableError(Exception):
    """No PDF can be made of a page."""


def pdf_of(page: str) -> bytes:
    """A page as PDF, made by a process of its own: it takes a second of computing time, which
    decisions on orders in this one would wait for.

    Raises:
        UnprintableError: with what was wrong.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "weasyprint", "--quiet", "-", "-"],
            input=page.encode(),
            capture_output=True,
            timeout=_PDF_SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise UnprintableError(f"no PDF after {_PDF_SECONDS:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise UnprintableError(said[-1] if said else f"exit status {error.returncode}") from error
    return done.stdout


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
        parts = urlsplit(url)
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self._headers = {}
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers = urllib3.make_headers(basic_auth=login)
        self._render = render
        self._on_paper = on_paper
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT, retries=False)

    def begin(self, step: DunningStep) -> Leaving:
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
        else:
            body |= {"to": step.phone, "text": letter.short}
        return _Call(self, body, f"{step.step_id}#{step.attempt}")

    def post(self, body: dict[str, Any], key: str) -> str:
        """What the service answers."""
        try:
            answer = self._pool.request(
                "POST",
                self._url,
                json=body,
                headers={**self._headers, "Idempotency-Key": key},
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise CarrierAwayError(str(error)) from error
        text = answer.data.decode(errors="replace").strip()[:_DETAIL]
        said = f"{answer.status} {text}".strip()
        if 200 <= answer.status < 300:  # noqa: PLR2004  success
            return said
        if answer.status >= 500 or answer.status in _AGAIN_LATER:  # noqa: PLR2004  its own fault
            raise CarrierAwayError(said)
        raise RefusedError("failed", said)

    def close(self) -> None:
        self._pool.clear()


class _Call:
    def __init__(self, carrier: WebhookCarrier, body: dict[str, Any], key: str) -> None:
        self._carrier = carrier
        self._body = body
        self._key = key

    def finish(self) -> str:
        return self._carrier.post(self._body, self._key)

    def drop(self) -> None:
        """Nothing was asked for yet."""
