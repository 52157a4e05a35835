"""The console as routes under `/console/`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from agents.console import export, lists
from agents.console.access import Sessions, Visitor, check_form, is_loopback, visitor_of
from agents.console.acts import ACTIONS, RELEASE_REASONS, SNOOZE_MINUTES, Doing, event_for
from agents.console.alerts_page import alerts_shown, answer_shown
from agents.console.customer import customer_view, order_line, what_holds
from agents.console.customer_page import customer_shown
from agents.console.desk import Desk, Sources, order_href, standing
from agents.console.history import HistoryUnreachableError, Year, chart_of
from agents.console.hub import Hub
from agents.console.kept import Proposal
from agents.console.order_page import explained, order_shown
from agents.console.outcomes import Act, Witnesses, act_asked, act_of
from agents.console.portfolio_page import portfolio_shown
from agents.console.render import asset, page
from agents.console.telling import LANGUAGES, Telling, language_of
from agents.credit import state
from agents.credit.explanation import Explanation
from agents.credit.reasons import PRECEDENCE
from agents.credit.rules import group_figures
from agents.gateway.audit import audited
from agents.gateway.callers import Action, Callers, allowed
from agents.gateway.problems import Problem
from agents.gateway.sign_in import MEMO_SECONDS, SignIn
from agents.live_copy import CopyNotReadyError, Place
from schemas.dates import format_day, format_instant
from schemas.events import Event, GroupExposureChanged, Instant
from streams.errors import HeadroomError

logger = logging.getLogger(__name__)

_FORM_BYTES_MAX = 64 * 1024
_LANGUAGE_COOKIE = "headroom_language"
_REASON_COOKIE = "headroom_reason"
SIGN_IN = "/console/sso"
BACK = f"{SIGN_IN}/back"
"""Where the identity provider sends browsers back."""
_MEMO_COOKIE = "headroom_sign_in"
_YEAR_SECONDS = 365 * 86_400
_EXPLAINED_AT_ONCE = 2
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[Request], Awaitable[Response]]
Explain = Callable[[str, str], list[Explanation]]
"""Recomputes all decisions on an order of a customer."""


@dataclass(frozen=True)
class Console:
    """What the pages need.

    Attributes:
        callers: recognises who asks.
        is_open: nobody has to say who they are.
        sessions: makes and reads cookies.
        sources: where what is shown comes from.
        witnesses: where it can be seen what became of acts.
        write: writes what somebody does; returns when the brokers have it.
        hub: tells open pages of changes.
        year: a customer's year.
        explain: all decisions on an order.
        zone: where the clock on the wall hangs.
        sign_in: with an identity provider, where there is one.
    """

    callers: Callers
    is_open: bool
    sessions: Sessions
    sources: Sources
    witnesses: Witnesses
    write: Callable[[Event], Awaitable[None]]
    hub: Hub
    year: Year
    explain: Explain
    zone: ZoneInfo
    sign_in: SignIn | None = None


def console_routes(console: Callable[[], Console]) -> list[Route]:
    """The routes. `console` is asked with each request: it is opened after the routes are made."""
    pages = _Pages(console)
    shown = {
        "/console/": pages.work,
        "/console/second": pages.second,
        "/console/alerts": pages.alerts,
        "/console/customer": pages.customer,
        "/console/order": pages.order,
        "/console/explain": pages.explain,
        "/console/history": pages.history,
        "/console/portfolio": pages.portfolio,
        "/console/search": pages.search,
        "/console/act": pages.act,
        "/console/live": pages.live,
        "/console/held.csv": pages.held_csv,
        "/console/items.csv": pages.items_csv,
        "/console/portfolio.csv": pages.portfolio_csv,
    }
    return [
        Route("/", _to_the_console, methods=["GET"]),
        Route("/console", _to_the_console, methods=["GET"]),
        Route("/console/customers/{id:path}", _to_the_customer, methods=["GET"]),
        Route("/console/login", pages.answering(pages.login), methods=["GET", "POST"]),
        Route(SIGN_IN, pages.answering(pages.begin_sign_in), methods=["GET"]),
        Route(BACK, pages.answering(pages.end_sign_in), methods=["GET"]),
        Route("/console/logout", pages.answering(pages.logout), methods=["POST"]),
        Route("/console/act/{did}", pages.answering(pages.do), methods=["POST"]),
        *(Route(path, pages.answering(one), methods=["GET"]) for path, one in shown.items()),
        Route("/console/{name}", pages.answering(pages.asset), methods=["GET"]),
    ]


async def _to_the_console(_request: Request) -> Response:
    return RedirectResponse("/console/", 302, headers=_HEADERS)


async def _to_the_customer(request: Request) -> Response:
    """Mails and chats about alerts link here."""
    there = "/console/customer?" + urlencode({"id": request.path_params["id"]})
    return RedirectResponse(there, 302, headers=_HEADERS)


class _Pages:
    def __init__(self, console: Callable[[], Console]) -> None:
        self._console = console
        self._explaining = asyncio.Semaphore(_EXPLAINED_AT_ONCE)

    # ── lists ───────────────────────────────────────────────────────────────────────────────────

    async def work(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        return await self._shown(request, visitor, "work", self._work)

    def _work(self, request: Request, visitor: Visitor, telling: Telling) -> dict[str, Any]:
        desk = Desk(self._console().sources, visitor.caller, telling)
        return {
            "live": "held",
            "page": desk.held_page(lists.wanted_of(request.query_params)),
            "sorts": list(lists.SORTS),
            "all_reasons": PRECEDENCE,
        }

    async def second(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        return await self._shown(request, visitor, "second", self._second)

    def _second(self, _request: Request, visitor: Visitor, telling: Telling) -> dict[str, Any]:
        desk = Desk(self._console().sources, visitor.caller, telling)
        return {"live": "desk", "rows": desk.second_rows(), "may_release": desk.may_release}

    async def alerts(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        return await self._shown(request, visitor, "alerts", self._alerts)

    def _alerts(self, request: Request, visitor: Visitor, telling: Telling) -> dict[str, Any]:
        before = request.query_params.get("before", "")
        shown = alerts_shown(self._console().sources, before, visitor.caller, telling, _now())
        return {"live": "alerts", **shown}

    async def portfolio(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        return await self._shown(request, visitor, "portfolio", self._portfolio)

    def _portfolio(self, request: Request, _visitor: Visitor, telling: Telling) -> dict[str, Any]:
        by = request.query_params.get("by", "")
        by = by if by in lists.RISKS else "overdue"
        return {
            "live": "portfolio",
            "p": portfolio_shown(self._console().sources, by, telling),
            "risk_sorts": list(lists.RISKS),
        }

    async def search(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        found = await run_in_threadpool(self._found, request)
        if len(found) == 1 and found[0]["is_it"]:
            return RedirectResponse(found[0]["href"], 303, headers=_HEADERS)
        return await self._shown(request, visitor, "search", partial(self._search, found))

    def _found(self, request: Request) -> list[dict[str, Any]]:
        index, text = self._console().sources.index, _text(request)
        if not text:
            return []
        found: list[dict[str, Any]] = [
            dict(row)
            | {
                "kind": "customer",
                "is_it": row["account_id"] == text,
                "href": "/console/customer?" + urlencode({"id": row["account_id"]}),
            }
            for row in lists.customers_found(index, text)
        ]
        return found + [
            dict(row)
            | {
                "is_it": row["document_id"] == text,
                "href": order_href(row["account_id"], row["document_id"])
                if row["kind"] == "order"
                else "/console/customer?" + urlencode({"id": row["account_id"]}) + "#items",
            }
            for row in lists.documents_found(index, text)
        ]

    def _search(
        self, found: list[dict[str, Any]], request: Request, _visitor: Visitor, telling: Telling
    ) -> dict[str, Any]:
        for one in found:
            if one["kind"] == "customer":
                one["exposure"] = telling.money(one["exposure"], one["currency"])
        return {
            "q": _text(request),
            "customers": [one for one in found if one["kind"] == "customer"],
            "documents": [one for one in found if one["kind"] != "customer"],
        }

    # ── one customer, one order ─────────────────────────────────────────────────────────────────

    async def customer(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        return await self._shown(request, visitor, "customer", self._customer)

    def _customer(self, request: Request, visitor: Visitor, telling: Telling) -> dict[str, Any]:
        console = self._console()
        asked = request.query_params.get("id", "")
        place = console.sources.place_of(asked)
        view = customer_view(place.ledger, place.account_id, console.sources.policies)
        if view is None:
            raise _unknown()
        group: GroupExposureChanged | None = None
        group_id = view.account.group_id
        if group_id and place.ledger.get(state.group_key(group_id)) is not None:
            group = group_figures(place.ledger, group_id, console.sources.policies)
        desk = Desk(console.sources, visitor.caller, telling)
        shown = customer_shown(
            view, desk, console.sources, visitor.caller, telling, asked=asked, group=group
        )
        return {"live": "customer", "live_customer": view.account_id, "c": shown}

    async def order(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        return await self._shown(request, visitor, "order", self._order)

    def _order(self, request: Request, visitor: Visitor, telling: Telling) -> dict[str, Any]:
        sources = self._console().sources
        place, order_id = self._place(request, "customer"), request.query_params.get("id", "")
        one = order_line(place.ledger, place.account_id, order_id)
        if one is None:
            raise _unknown()
        holds = []
        if one.status == "held":
            holds = what_holds(place.ledger, sources.policies, place.account_id, order_id)
        name = lists.names(sources.index, {place.account_id}).get(place.account_id, "")
        decided = sources.latest_on(order_id, place.account_id)
        answer = None
        if one.status == "held" and decided:
            told = decided[0].event_id, place.account_id
            answer = answer_shown(sources, *told, visitor.caller, telling, _now())
        shown = order_shown(
            one,
            place.account_id,
            name,
            holds,
            decided,
            Desk(sources, visitor.caller, telling),
            self._proposal(place.account_id, order_id),
            visitor.caller,
            telling,
            answer,
        )
        return {"live": "customer", "live_customer": place.account_id, "o": shown}

    async def explain(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        place = await run_in_threadpool(self._place, request, "customer")
        order_id = request.query_params.get("id", "")
        async with self._explaining:
            found = await run_in_threadpool(self._console().explain, place.account_id, order_id)

        def shown(_request: Request, _visitor: Visitor, telling: Telling) -> dict[str, Any]:
            heading = f"{telling.w.explanation}: {order_id}"
            return {"found": explained(found, telling), "heading": heading}

        return await self._fragment(request, visitor, "explained", shown)

    async def history(self, request: Request) -> Response:
        visitor = self._visitor(request, Action.READ)
        return await self._fragment(request, visitor, "history", self._history)

    def _history(self, request: Request, _visitor: Visitor, telling: Telling) -> dict[str, Any]:
        place = self._place(request, "id")
        account: state.Account | None = place.ledger.get(state.account_key(place.account_id))
        if account is None:
            raise _unknown()
        try:
            days = self._console().year(place.account_id, account.currency)
        except HistoryUnreachableError as error:
            logger.info("no history: %s", error)
            return {"h": None, "heading": telling.w.history}
        chart = chart_of(days, account.currency, telling)
        return {"h": chart, "heading": telling.w.history}

    # ── what people do ──────────────────────────────────────────────────────────────────────────

    async def do(self, request: Request) -> Response:
        did = request.path_params["did"]
        if did not in ACTIONS:
            raise Problem(404, "no_such_path", "Not Found", "Not Found")
        visitor = self._visitor(request)
        form = await _form(request)
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        check_form(request, None if visitor.is_new else visitor.session, fields.get("token", ""))
        telling = self._telling(request)
        invoices = [one for one in form.getlist("invoice") if isinstance(one, str)]
        with audited(visitor.caller, did) as entry:
            allowed(visitor.caller, ACTIONS[did])
            event = await run_in_threadpool(self._event, did, fields, invoices, visitor, telling)
            entry.is_about(event)
            await self._console().write(event)
        act = act_of(event, did)
        if request.headers.get("sec-fetch-dest") == "empty":
            response = await self._told(request, visitor, act)
        else:
            there = _back(fields.get("back", ""))
            mark = "&" if "?" in there else "?"
            query = urlencode({f"act_{k}": v for k, v in _fields_of(act).items()})
            response = RedirectResponse(f"{there}{mark}{query}", 303, headers=_HEADERS)
        if fields.get("why") in RELEASE_REASONS:
            _remember(response, _REASON_COOKIE, fields["why"])
        return response

    def _event(
        self,
        did: str,
        form: Mapping[str, str],
        invoices: list[str],
        visitor: Visitor,
        telling: Telling,
    ) -> Event:
        sources = self._console().sources
        place = sources.place_of(form.get("customer_id", ""))
        order_id = form.get("order_id", "")
        account: state.Account | None = place.ledger.get(state.account_key(place.account_id))
        order: state.Order | None = None
        proposal: Proposal | None = None
        swapped = False
        if did in ("propose", "confirm"):
            order = place.ledger.get(state.order_key(place.account_id, order_id))
        if did == "confirm":
            proposal = self._proposal(place.account_id, order_id)
            # It is that proposal which was on the page, and no other that came since.
            if proposal is not None and proposal.event_id != form.get("proposal"):
                proposal = None
            if proposal is not None:
                swapped, _ = Desk(sources, visitor.caller, telling).swapped(proposal)

        def owed(invoice_ids: list[str]) -> int:
            keys = [state.invoice_key(place.account_id, one) for one in invoice_ids]
            found = [one for key in keys if (one := place.ledger.get(key)) is not None]
            return sum(one.booked_due for one in found)

        doing = Doing(
            caller=visitor.caller,
            at=_now(),
            currency="" if account is None else account.currency,
            owed=owed,
            proposal=proposal,
            decision_number=None if order is None else order.decision_number,
            swapped=swapped,
        )
        return event_for(did, form, invoices, doing)

    async def act(self, request: Request) -> Response:
        """How something stands that somebody did."""
        visitor = self._visitor(request, Action.READ)
        act = act_asked(request.query_params)
        if act is None:
            raise _unknown()
        return await self._told(request, visitor, act)

    async def _told(self, request: Request, visitor: Visitor, act: Act) -> Response:
        telling = self._telling(request)
        shown = await run_in_threadpool(self._act_shown, act, telling)
        context = {"visitor": visitor, "act": shown, "w": telling.w}
        return _html(page("act.html.j2", context))

    def _act_shown(self, act: Act, telling: Telling) -> dict[str, Any]:
        outcome = self._console().witnesses.outcome(act, telling, _now())
        return {
            "id": act.id,
            "url": f"/console/act?{act.query}",
            "state": outcome.state,
            "text": outcome.text,
            "detail": outcome.detail,
        }

    async def live(self, request: Request) -> Response:
        """Server-sent events: where something changed."""
        self._visitor(request, Action.READ)
        headers = _HEADERS | {"X-Accel-Buffering": "no"}
        return StreamingResponse(
            self._console().hub.stream(), media_type="text/event-stream", headers=headers
        )

    # ── exports ─────────────────────────────────────────────────────────────────────────────────

    async def held_csv(self, request: Request) -> Response:
        self._visitor(request, Action.READ)
        w = self._telling(request).w
        wanted = lists.wanted_of(request.query_params)
        rows = await run_in_threadpool(lists.all_held, self._console().sources.index, wanted)
        heading = [w.order, w.customer, w.name, w.amount, w.currency, w.placed, w.reason, w.manager]
        return _csv("held-orders", heading, (
            (
                row["order_id"], row["account_id"], row["name"],
                export.number(row["amount"], row["currency"]), row["currency"],
                format_instant(row["placed_at"]), row["reasons"].strip(), row["manager"],
            )
            for row in rows
        ))  # fmt: skip

    async def items_csv(self, request: Request) -> Response:
        self._visitor(request, Action.READ)
        w = self._telling(request).w
        place = await run_in_threadpool(self._place, request, "id")
        policies = self._console().sources.policies
        view = await run_in_threadpool(
            customer_view, place.ledger, place.account_id, policies, all_items=True
        )
        if view is None:
            raise _unknown()
        heading = [
            w.customer, w.invoice, w.issued_on, w.due_on, w.days_late, w.currency, w.amount, w.open,
            w.contested_amount,
        ]  # fmt: skip
        return _csv("open-items", heading, (
            (
                view.account_id, one.invoice_id, format_day(one.issued_on), format_day(one.due_on),
                one.days_late, one.currency, export.number(one.amount, one.currency),
                export.number(one.open, one.currency), export.number(one.contested, one.currency),
            )
            for one in view.open_items
        ))  # fmt: skip

    async def portfolio_csv(self, request: Request) -> Response:
        self._visitor(request, Action.READ)
        w = self._telling(request).w
        rows = await run_in_threadpool(lists.all_accounts, self._console().sources.index)
        heading = [
            w.customer, w.name, w.manager, w.segment, w.currency, w.exposure, w.limit, w.headroom,
            w.overdue, w.days_late, w.held_orders,
        ]  # fmt: skip
        money = ("exposure", "credit_limit", "headroom", "overdue")
        return _csv("portfolio", heading, (
            (
                row["account_id"], row["name"], row["manager"], row["segment"], row["currency"],
                *(export.number(row[name], row["currency"]) for name in money),
                row["overdue_days"], row["held_orders"],
            )
            for row in rows
        ))  # fmt: skip

    # ── who ─────────────────────────────────────────────────────────────────────────────────────

    async def login(self, request: Request) -> Response:
        console, telling = self._console(), self._telling(request)
        session = console.sessions.read(request) or console.sessions.begun(None)
        there, wrong = _back(request.query_params.get("next", "")), ""
        if request.method == "POST":
            form = await _form(request)
            sent = console.sessions.read(request)
            check_form(request, sent, str(form.get("token", "")))
            there = _back(str(form.get("next", "")))
            fresh = console.sessions.begun(f"Bearer {str(form.get('key', '')).strip()}")
            try:
                caller = console.callers.recognise(fresh.authorization)
                response: Response = RedirectResponse(there, 303, headers=_HEADERS)
                console.sessions.set(request, response, fresh)
            except Problem as problem:
                if problem.status != 401:  # noqa: PLR2004  not recognised
                    raise
                wrong = telling.w.wrong_key
            else:
                logger.info("%s signed in (%s)", caller.id, caller.role)
                return response
        context = self._frame(request, None, telling, "login") | {
            "token": session.token, "next": there, "wrong": wrong,
            "sign_in": "" if console.sign_in is None else f"{SIGN_IN}?{urlencode({'next': there})}",
        }  # fmt: skip
        response = _html(page("login.html.j2", context), 401 if wrong else 200)
        console.sessions.set(request, response, session)
        return self._with_language(request, response)

    async def begin_sign_in(self, request: Request) -> Response:
        begun = await self._sign_in().begin(_back(request.query_params.get("next", "")))
        response = RedirectResponse(begun.url, 303, headers=_HEADERS)
        response.set_cookie(
            _MEMO_COOKIE, begun.memo, max_age=MEMO_SECONDS, path=SIGN_IN, httponly=True,
            samesite="lax", secure=not is_loopback(request.url.hostname or ""),
        )  # fmt: skip
        return response

    async def end_sign_in(self, request: Request) -> Response:
        console, memo = self._console(), request.cookies.get(_MEMO_COOKIE, "")
        try:
            ended = await self._sign_in().end(memo, request.query_params)
            caller = console.callers.recognise(ended.authorization)
        except Problem as problem:  # told here: to be asked for a key would say nothing of it
            return self._problem(request, problem)
        response = RedirectResponse(ended.there, 303, headers=_HEADERS)
        console.sessions.set(request, response, console.sessions.begun(ended.authorization))
        response.delete_cookie(_MEMO_COOKIE, path=SIGN_IN)
        logger.info("%s signed in (%s)", caller.id, caller.role)
        return response

    def _sign_in(self) -> SignIn:
        sign_in = self._console().sign_in
        if sign_in is None:
            raise Problem(404, "no_such_path", "Not Found", "Not Found")
        return sign_in

    async def logout(self, request: Request) -> Response:
        console = self._console()
        form = await _form(request)
        check_form(request, console.sessions.read(request), str(form.get("token", "")))
        response = RedirectResponse("/console/", 303, headers=_HEADERS)
        console.sessions.end(request, response)
        return response

    async def asset(self, request: Request) -> Response:
        found = asset(request.path_params["name"])
        if found is None:
            raise Problem(404, "no_such_path", "Not Found", "Not Found")
        content, media_type = found
        kept = {"Cache-Control": f"public, max-age={_YEAR_SECONDS}, immutable"}
        return Response(content, media_type=media_type, headers=_HEADERS | kept)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def answering(self, handler: Handler) -> Handler:
        """Every error a page of its kind, in somebody's language."""

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except Problem as problem:
                if problem.status == 401 and request.method == "GET":  # noqa: PLR2004
                    there = urlencode({"next": f"{request.url.path}?{request.url.query}"})
                    return RedirectResponse(f"/console/login?{there}", 303, headers=_HEADERS)
                return self._problem(request, problem)
            except CopyNotReadyError:
                return self._problem(request, _away())
            except ClientDisconnect:
                return Response(status_code=400)
            except HTTPException as error:  # of a form that cannot be read
                return self._problem(request, Problem(error.status_code, "invalid", "", ""))
            except HeadroomError as error:
                logger.error("%s %s: %s", request.method, request.url.path, error)  # noqa: TRY400
                return self._problem(request, _away())
            except Exception:
                logger.exception("%s %s failed", request.method, request.url.path)
                return self._problem(request, Problem(500, "failed", "", ""))

        return answer

    def _problem(self, request: Request, problem: Problem) -> Response:
        telling = self._telling(request)
        heading = telling.w.get(f"problem_{problem.kind}", "")
        fields = ", ".join(f"{name}: {why}" for name, why in problem.fields.items())
        detail = "" if heading and problem.kind != "invalid" else fields or problem.detail
        context = self._frame(request, None, telling, "") | {
            "heading": heading or problem.title,
            "detail": detail,
            "detail_language": "en",
        }
        if request.headers.get("sec-fetch-dest") == "empty":
            act = {"id": "", "url": "", "state": "refused", "text": context["heading"]}
            text = page("act.html.j2", {"act": act | {"detail": detail}, "w": telling.w})
        else:
            text = page("message.html.j2", context)
        response = _html(text, problem.status)
        if "Retry-After" in problem.headers:
            response.headers["Retry-After"] = problem.headers["Retry-After"]
        return response

    def _visitor(self, request: Request, action: Action | None = None) -> Visitor:
        console = self._console()
        visitor = visitor_of(request, console.callers, console.sessions, open_=console.is_open)
        if action is not None:
            allowed(visitor.caller, action)
        return visitor

    def _telling(self, request: Request) -> Telling:
        asked = request.query_params.get("lang")
        cookie = asked if asked in LANGUAGES else request.cookies.get(_LANGUAGE_COOKIE)
        accepted = request.headers.get("accept-language", "")
        return Telling(language_of(cookie, accepted), self._console().zone)

    async def _shown(
        self,
        request: Request,
        visitor: Visitor,
        name: str,
        context: Callable[[Request, Visitor, Telling], dict[str, Any]],
    ) -> Response:
        telling = self._telling(request)

        def rendered() -> str:
            frame = self._frame(request, visitor, telling, name)
            return page(f"{name}.html.j2", frame | context(request, visitor, telling))

        response = _html(await run_in_threadpool(rendered))
        if visitor.is_new:
            self._console().sessions.set(request, response, visitor.session)
        return self._with_language(request, response)

    async def _fragment(
        self,
        request: Request,
        visitor: Visitor,
        name: str,
        context: Callable[[Request, Visitor, Telling], dict[str, Any]],
    ) -> Response:
        """A part of a page, or where no script asks for it, a page of its own."""
        if request.headers.get("sec-fetch-dest") != "empty":

            def whole(request: Request, visitor: Visitor, telling: Telling) -> dict[str, Any]:
                return context(request, visitor, telling) | {"fragment": f"{name}.html.j2"}

            return await self._shown(request, visitor, "fragment", whole)
        telling = self._telling(request)

        def rendered() -> str:
            return page(f"{name}.html.j2", {"w": telling.w} | context(request, visitor, telling))

        return _html(await run_in_threadpool(rendered))

    def _frame(
        self, request: Request, visitor: Visitor | None, telling: Telling, here: str
    ) -> dict[str, Any]:
        """What every page has."""
        asked = dict(request.query_params)
        act = act_asked({k[4:]: v for k, v in asked.items() if k.startswith("act_")})
        kept = {k: v for k, v in asked.items() if not k.startswith("act_") and k != "lang"}
        path = request.url.path
        waiting = 0
        if visitor is not None and visitor.caller.may(Action.RELEASE_ORDERS):
            waiting = len(standing(self._console().sources))
        return {
            "w": telling.w,
            "language": telling.language,
            "languages": LANGUAGES.items(),
            "in_language": lambda code: f"{path}?{urlencode(kept | {'lang': code})}",
            "visitor": visitor,
            "here": here,
            "live": "",
            "live_customer": "",
            "q": "",
            "act": None if act is None else self._act_shown(act, telling),
            "back": f"{path}?{urlencode(kept)}" if kept else path,
            "waiting_count": waiting,
            "last_reason": request.cookies.get(_REASON_COOKIE, ""),
            "release_reasons": RELEASE_REASONS,
            "snooze_spans": list(SNOOZE_MINUTES),
        }

    def _with_language(self, request: Request, response: Response) -> Response:
        asked = request.query_params.get("lang")
        if asked in LANGUAGES:
            _remember(response, _LANGUAGE_COOKIE, str(asked))
        return response

    def _place(self, request: Request, name: str) -> Place:
        return self._console().sources.place_of(request.query_params.get(name, ""))

    def _proposal(self, account_id: str, order_id: str) -> Proposal | None:
        """The one that stands on an order."""
        for one in standing(self._console().sources):
            if (one.customer_id, one.order_id) == (account_id, order_id):
                return one
        return None


def _html(text: str, status: int = 200) -> Response:
    return Response(text, status, dict(_HEADERS), media_type="text/html")


def _csv(name: str, heading: list[str], rows: Any) -> Response:
    headers = _HEADERS | {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(
        export.csv_lines(heading, rows), media_type="text/csv", headers=headers
    )


def _remember(response: Response, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=_YEAR_SECONDS, path="/console", httponly=True, samesite="lax"
    )


def _back(path: str) -> str:
    """A path of the console; anything else would lead somebody away."""
    parts = urlsplit(path)
    inside = parts.path.startswith("/console/") and not parts.scheme and not parts.netloc
    return path if inside and path.isprintable() and "\\" not in path else "/console/"


def _fields_of(act: Act) -> dict[str, Any]:
    return {name: getattr(act, name) for name in ("id", "did", "at", "customer", "name")}


async def _form(request: Request) -> FormData:
    """The fields of a form. Raises `Problem` 413 for one that is too large, or of files."""
    if int(request.headers.get("content-length") or _FORM_BYTES_MAX + 1) > _FORM_BYTES_MAX:
        raise Problem(413, "too_large", "Too large", f"at most {_FORM_BYTES_MAX} bytes")
    return await request.form(max_files=0, max_fields=500)


def _text(request: Request) -> str:
    return request.query_params.get("q", "").strip()[:200]


def _now() -> Instant:
    return int(time.time() * 1_000_000)


def _unknown() -> Problem:
    return Problem(404, "unknown", "Not known", "")


def _away() -> Problem:
    return Problem(503, "starting", "Not ready", "", retry_after=1)
