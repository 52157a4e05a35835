"""The pages on the web: `/p/<ticket>` shows a claim and takes answers, `/webhooks/<provider>` hears
of payments.

No cookie, no session, no script: who has the link may do what it offers, and nothing else can be
done with anything else that a browser sends by itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from agents.live_copy import CopyNotReadyError, Place
from agents.notify.creditor import Creditor
from agents.notify.payment_reference import reference_of
from agents.notify.ticket import BadTicketError, Ticket, read
from agents.portal.answers import WrongAnswerError, contested, promised
from agents.portal.claim import ClaimNow, claim_now
from agents.portal.page import page_of, page_without_claim
from agents.portal.providers import Bill, PaymentProvider, ProviderError, events_of
from schemas.dates import day_of
from schemas.events import Day, Event, Instant
from streams.errors import HeadroomError

logger = logging.getLogger(__name__)

_STYLE = "/style.css"
_FORM_BYTES_MAX = 16_384
_COPY_SECONDS = 3.0
_LOOK_AGAIN_SECONDS = 0.2
_KEY_SECONDS = 600
"""Who presses the button again within this time comes to the same payment."""


@dataclass(frozen=True)
class Portal:
    """What the pages need.

    Attributes:
        place_of: where a customer's account is.
        say: writes events to their topics; returns when the brokers have them.
        creditor: to whom is paid.
        secrets: by which links are signed.
        url: under which customers see the pages.
        provider: with whom they can pay online, if with anybody.
        zone: by whose calendar it is today.
        promise_days: how far ahead a promise may be; 0: none is taken.
        missing: what of the state has not been read yet.
    """

    place_of: Callable[[str], Place]
    say: Callable[[list[Event]], None]
    creditor: Creditor
    secrets: tuple[str, ...]
    url: str
    provider: PaymentProvider | None
    zone: ZoneInfo
    promise_days: int
    missing: Callable[[], list[int]]


def application(portal: Portal) -> Starlette:
    """The pages as an ASGI application."""
    pages = _Pages(portal)
    routes = [
        Route("/p/{ticket}", pages.show, methods=["GET"]),
        Route("/p/{ticket}/contest", pages.contest, methods=["POST"]),
        Route("/p/{ticket}/promise", pages.promise, methods=["POST"]),
        Route("/p/{ticket}/pay", pages.pay, methods=["POST"]),
        Route("/webhooks/{provider}", pages.hear, methods=["POST"]),
        Route(_STYLE, _style, methods=["GET"]),
        Route("/livez", _live, methods=["GET"]),
        Route("/readyz", pages.ready, methods=["GET"]),
    ]
    return Starlette(
        routes=routes,
        exception_handlers={
            HTTPException: pages.refuse,
            CopyNotReadyError: pages.away,
            Exception: pages.away,
        },
    )


class _Pages:
    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        provider = portal.provider
        # A browser applies form-action to where a form's answer sends it, too.
        action = "'self'" if provider is None else f"'self' {provider.origin}"
        self._headers = {
            "Content-Security-Policy": (
                "default-src 'none'; style-src 'self'; img-src data:; "
                f"form-action {action}; base-uri 'none'; frame-ancestors 'none'"
            ),
            "Referrer-Policy": "no-referrer",  # the link is the key to the page
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Robots-Tag": "noindex",
        }

    # ── what customers do ───────────────────────────────────────────────────────────────────────

    async def show(self, request: Request) -> Response:
        claim = await self._claim(request)
        said = request.query_params.get("said", "")
        return self._page(self._shown(request, claim, said=said))

    async def contest(self, request: Request) -> Response:
        claim, form = await self._claim(request), await _form(request)
        try:
            event = contested(claim, form, _now())
        except WrongAnswerError as error:
            return self._again(request, claim, form, error.field)
        return await self._answered(request, claim, form, event, "contested")

    async def promise(self, request: Request) -> Response:
        claim, form = await self._claim(request), await _form(request)
        try:
            event = promised(claim, form, _now(), self._today(), self._portal.promise_days)
        except WrongAnswerError as error:
            return self._again(request, claim, form, error.field)
        return await self._answered(request, claim, form, event, "promised")

    async def pay(self, request: Request) -> Response:
        claim, provider = await self._claim(request), self._portal.provider
        if provider is None:
            raise HTTPException(404)
        if not claim.total or claim.handed_over:
            return self._page(self._shown(request, claim))
        bill = Bill(
            customer_id=claim.customer_id,
            reference=reference_of(claim.step_id, claim.country),
            amount=claim.total,
            currency=claim.currency,
            shares=claim.shares,
            language=claim.language,
            country=claim.country,
            back_to=f"{self._portal.url}{_base(request)}?said=paying",
        )
        wish = f"{claim.step_id}\0{claim.total}\0{claim.shares}\0{int(time.time()) // _KEY_SECONDS}"
        key = blake2b(wish.encode(), digest_size=16).hexdigest()
        notices = f"{self._portal.url}/webhooks/{provider.name}"
        try:
            there = await run_in_threadpool(provider.begin, bill, notices, key)
        except ProviderError:
            logger.exception("no payment could be begun for %s", claim.step_id)
            return self._page(self._shown(request, claim, wrong="away"), 503)
        return RedirectResponse(there, 303, headers=self._headers)

    # ── what providers tell ─────────────────────────────────────────────────────────────────────

    async def hear(self, request: Request) -> Response:
        """Find out how a payment stands, and say it. Whoever asks learns nothing."""
        provider = self._portal.provider
        if provider is None or request.path_params["provider"] != provider.name:
            raise HTTPException(404)
        form = await _form(request)
        try:
            standing = await run_in_threadpool(provider.standing, form.get("id", ""))
        except ProviderError:
            logger.exception("%s cannot be asked about a payment", provider.name)
            return PlainTextResponse("", 503)  # it tries again
        events = [] if standing is None else events_of(standing)
        if standing is not None and events:
            try:
                await run_in_threadpool(self._portal.say, events)
            except HeadroomError:
                logger.exception("%s could not be written", standing.payment_id)
                return PlainTextResponse("", 503)
            logger.info("%s: %s", standing.payment_id, standing.status)
        return PlainTextResponse("")

    # ── whether it works ────────────────────────────────────────────────────────────────────────

    async def ready(self, _request: Request) -> Response:
        missing = self._portal.missing()
        if missing:
            return PlainTextResponse(f"{len(missing)} partitions are being read\n", 503)
        return PlainTextResponse("ok\n")

    async def refuse(self, _request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  it is registered for that
        word = "old_link" if error.status_code == 410 else "bad_link"  # noqa: PLR2004  gone
        return self._page(self._without(word), error.status_code)

    async def away(self, request: Request, error: Exception) -> Response:
        logger.error("%s: %s", request.url.path[:3], error or type(error).__name__)
        return self._page(self._without("away"), 503)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _claim(self, request: Request) -> ClaimNow:
        try:
            ticket = read(request.path_params["ticket"], self._portal.secrets)
        except BadTicketError as error:
            raise HTTPException(404) from error
        # A letter may be read before the copy of the state has heard of it.
        patience = time.monotonic() + _COPY_SECONDS
        while (claim := await run_in_threadpool(self._look, ticket)) is None:
            if time.monotonic() > patience:
                raise HTTPException(410)
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
        return claim

    def _look(self, ticket: Ticket) -> ClaimNow | None:
        place = self._portal.place_of(ticket.customer_id)
        return claim_now(place.ledger, place.account_id, ticket)

    async def _answered(
        self,
        request: Request,
        claim: ClaimNow,
        form: Mapping[str, str],
        event: Event,
        said: str,
    ) -> Response:
        try:
            await run_in_threadpool(self._portal.say, [event])
        except HeadroomError:
            logger.exception("an answer to %s could not be written", claim.step_id)
            return self._page(self._shown(request, claim, wrong="away", form=form), 503)
        return RedirectResponse(f"{_base(request)}?said={said}", 303, headers=self._headers)

    def _again(
        self, request: Request, claim: ClaimNow, form: Mapping[str, str], field: str
    ) -> Response:
        return self._page(self._shown(request, claim, wrong=field, form=form), 422)

    def _shown(self, request: Request, claim: ClaimNow, **more: Any) -> str:
        return page_of(
            claim,
            self._portal.creditor,
            base=_base(request),
            style=_STYLE,
            online=self._portal.provider is not None,
            today=self._today(),
            promise_days=self._portal.promise_days,
            **more,
        )

    def _without(self, word: str) -> str:
        return page_without_claim(word, self._portal.creditor, _STYLE)

    def _page(self, page: str, status: int = 200) -> Response:
        return HTMLResponse(page, status, headers=self._headers)

    def _today(self) -> Day:
        return day_of(datetime.now(self._portal.zone).date())


def _base(request: Request) -> str:
    return f"/p/{request.path_params['ticket']}"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form; of one with files, or too large, nothing is taken."""
    if int(request.headers.get("content-length") or _FORM_BYTES_MAX + 1) > _FORM_BYTES_MAX:
        raise HTTPException(413)
    async with request.form(max_files=0, max_fields=20) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


async def _live(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _style(_request: Request) -> Response:
    text = (files("agents.portal") / "page.css").read_text(encoding="utf-8")
    return Response(text, media_type="text/css", headers={"Cache-Control": "max-age=3600"})


def _now() -> Instant:
    return int(time.time() * 1_000_000)
