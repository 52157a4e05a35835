"""The HTTP interface: `POST /v1/orders/check` and what belongs to it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agents.console.app import Console, console_routes
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.gateway import openapi
from agents.gateway.acts import ACTS, Act, event_of, valid_event
from agents.gateway.alert_book import AlertBook
from agents.gateway.audit import audited
from agents.gateway.book import DecisionBook, content_hash, request_event_id, request_name
from agents.gateway.callers import Action, Caller, Callers, allowed
from agents.gateway.customer_names import CustomerNames
from agents.gateway.desk import Desk
from agents.gateway.feed import Feed
from agents.gateway.problems import PROBLEMS, Problem
from agents.gateway.reading import (
    body_of,
    check_parameters,
    cursor_of,
    idempotency_key,
    page_of,
    query,
    seconds_of,
    wanted,
    wants_json,
)
from agents.gateway.search import Match, matches
from agents.gateway.shown import customer_shown, held_orders, orders_of
from agents.live_copy import CopyNotReadyError, LiveCopy
from schemas.currencies import Currencies
from schemas.dates import format_instant
from schemas.events import CustomerUpserted, Event, OrderDecision, OrderPlaced
from schemas.json_lines import to_payload
from streams.errors import HeadroomError
from streams.settings import is_loopback

logger = logging.getLogger(__name__)

_OURS = "/v1/"
_NO_PATH = "no_such_path"
_MICROSECONDS = 1_000_000
_OPENAPI = openapi.text()
_READING = {"GET", "HEAD"}
_OWN_SITES = {"none", "same-origin"}
"""What a browser says of requests that no other site's page makes."""
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

_Entry = TypeVar("_Entry")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Gateway:
    """What the routes need.

    Attributes:
        callers: recognises who asks.
        book: the decisions that were published.
        desk: places orders and waits; writes what people do.
        alert_book, names: what is kept of alerts and of customers' names.
        copy: of the live state.
        policies: by which figures are told.
        alerts, decisions: feeds.
        timeout_seconds: for a decision, where the request does not say.
        console: the pages for people.
    """

    callers: Callers
    book: DecisionBook
    alert_book: AlertBook
    names: CustomerNames
    desk: Desk
    copy: LiveCopy
    policies: PolicyBook
    alerts: Feed
    decisions: Feed
    timeout_seconds: float
    console: Console


class Figures:
    """What `/metrics` tells of a gateway."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter(
            "headroom_http_requests_total", "Requests answered", ("route", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "headroom_http_request_seconds", "Time until the answer began", ("route",),
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip
        self.waiting = Gauge(
            "headroom_http_waiting", "Requests that wait for a decision", registry=self.registry
        )
        self.listeners = Gauge(
            "headroom_http_listeners", "Clients of the feeds", registry=self.registry
        )


def application(opened: Callable[[], Any]) -> Starlette:
    """The interface as an ASGI application.

    Args:
        opened: an asynchronous context manager that gives a `Gateway` in the server's event loop,
            and closes it.
    """
    figures = Figures()
    routes = _Routes(figures)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with opened() as gateway:
            routes.gateway = gateway
            yield

    known = openapi.query_parameters()

    def route(path: str, handler: Handler, method: str) -> Route:
        answer = _answering(path, handler, figures, known[method, path])
        return Route(path, answer, methods=[method])

    app = Starlette(
        middleware=[Middleware(_Front, routes)],
        lifespan=lifespan,
        routes=[
            route("/v1/orders/check", routes.check, "POST"),
            route("/v1/orders/held", routes.held, "GET"),
            route("/v1/orders", routes.orders, "GET"),
            route("/v1/orders/{order_id}", routes.order, "GET"),
            route("/v1/customers", routes.customers, "GET"),
            route("/v1/customers/{customer_id}", routes.customer, "GET"),
            *(route(act.path, partial(routes.act, act), "POST") for act in ACTS),
            route("/v1/alerts", routes.alerts, "GET"),
            route("/v1/decisions", partial(routes.listen, "decisions"), "GET"),
            route(openapi.PATH, _description, "GET"),
            Route("/metrics", routes.metrics, methods=["GET"]),
            Route("/livez", _live, methods=["GET"]),
            Route("/readyz", routes.ready, methods=["GET"]),
            *console_routes(lambda: routes.gateway.console),
        ],
        exception_handlers={HTTPException: _not_ours},
    )
    app.router.redirect_slashes = False  # a redirect names a host, which a proxy knows better
    return app


class _Routes:
    gateway: Gateway

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    # ── order systems ───────────────────────────────────────────────────────────────────────────

    async def check(self, request: Request) -> Response:
        caller = await self._recognised(request)
        self.gateway.desk.expect_room()  # before the body is read, let alone understood
        with audited(caller, "OrderPlaced") as entry:
            allowed(caller, Action.CHECK_ORDERS)
            body = await body_of(request)
            order = valid_event({"type": "OrderPlaced", **_stamp(), **body})
            assert isinstance(order, OrderPlaced)  # noqa: S101  the type was given
            key = idempotency_key(request) or f"order {order.customer_id}\0{order.order_id}"
            # The same request, whatever the white space or the order of its fields.
            content = content_hash(msgspec.json.encode(body, order="deterministic"))
            name = request_name(caller.name, key)
            seconds = seconds_of(request, self.gateway.timeout_seconds)
            entry.event_id = request_event_id(name, content)
            entry.account, entry.order_id = order.customer_id, order.order_id
            answer = await self.gateway.desk.decide(name, content, order, seconds)
            if answer.again:
                entry.result = "repeated"
        headers = {"Idempotency-Hit": "true"} if answer.again else {}
        return _json(to_payload(answer.decision), headers=headers)

    async def order(self, request: Request) -> Response:
        await self._may_read(request)
        order_id = request.path_params["order_id"]
        customer_id = query(request, "customer_id")
        found = await run_in_threadpool(self.gateway.book.latest_on, order_id, customer_id)
        if not found:
            raise _unknown(f"no decision on order {order_id}")
        if len(found) > 1:
            raise Problem(
                409,
                "ambiguous",
                "Several customers have such an order",
                f"say whose: customer_id is one of {', '.join(one.customer_id for one in found)}",
            )
        return _json(_order_shown(found[0]))

    async def held(self, request: Request) -> Response:
        await self._may_read(request)
        size, after = page_of(request, tuple[int, str, str])
        return _json(await run_in_threadpool(self._held, size, after))

    def _held(self, size: int, after: tuple[int, str, str] | None) -> dict[str, Any]:
        found = list(islice(held_orders(self.gateway.copy.ledgers(), after), size + 1))
        orders = []
        for _, order in found[:size]:
            decided = self.gateway.book.latest_on(order["order_id"], order["customer_id"])
            reasons = decided[0].reasons if decided else []
            orders.append(order | {"reasons": reasons})
        return {"orders": orders, "next": _next(found, size, lambda one: one[0])}

    async def orders(self, request: Request) -> Response:
        await self._may_read(request)
        customer_id = wanted(request, "customer_id")
        size, after = page_of(request, str)
        page = await run_in_threadpool(self._orders, customer_id, size, after)
        if page is None:
            raise _unknown(f"no customer {customer_id}")
        return _json(page)

    def _orders(self, customer_id: str, size: int, after: str | None) -> dict[str, Any] | None:
        ledger, account_id = self.gateway.copy.place_of(customer_id)
        if ledger.get(state.account_key(account_id)) is None:
            return None
        found = list(islice(orders_of(ledger, account_id, after), size + 1))
        return {"orders": found[:size], "next": _next(found, size, lambda one: one["order_id"])}

    async def customers(self, request: Request) -> Response:
        await self._may_read(request)
        text = query(request, "q")
        size, after = page_of(request, Match)
        if text is not None and not self.gateway.names.is_ready:
            raise _starting("names are being read")
        return _json(await run_in_threadpool(self._customers, text, size, after))

    def _customers(self, text: str | None, size: int, after: Match | None) -> dict[str, Any]:
        ledgers, names = self.gateway.copy.ledgers(), self.gateway.names
        customers = (
            (match, shown)
            for match in matches(ledgers, names, text, after)
            if (shown := self._customer(match.customer_id)) is not None
        )
        found = list(islice(customers, size + 1))
        return {
            "customers": [shown for _, shown in found[:size]],
            "next": _next(found, size, lambda one: one[0]),
        }

    async def customer(self, request: Request) -> Response:
        await self._may_read(request)
        customer_id = request.path_params["customer_id"]
        shown = await run_in_threadpool(self._customer, customer_id)
        if shown is None:
            raise _unknown(f"no customer {customer_id}")
        return _json(shown)

    def _customer(self, customer_id: str) -> dict[str, Any] | None:
        ledger, account_id = self.gateway.copy.place_of(customer_id)
        return customer_shown(ledger, account_id, customer_id, self.gateway.policies)

    # ── people ──────────────────────────────────────────────────────────────────────────────────

    async def act(self, act: Act, request: Request) -> Response:
        caller = await self._recognised(request)
        with audited(caller, act.event) as entry:
            allowed(caller, act.action)
            body = await body_of(request)
            path = request.path_params
            customer_id = path.get("customer_id", body.get("customer_id"))
            currencies = await run_in_threadpool(self._currencies, customer_id)
            event = event_of(act, caller, path, body, _stamp(), currencies)
            entry.is_about(event)
            await self.gateway.desk.write(event, entry.account)
        told = {"event_id": event.event_id, "type": act.event, "accepted": True}
        return _json(told, status=202)

    def _currencies(self, customer_id: object) -> Currencies:
        """For amounts that are in the customer's currency without saying so."""
        known = Currencies()
        if isinstance(customer_id, str):
            ledger, account_id = self.gateway.copy.place_of(customer_id)
            account: state.Account | None = ledger.get(state.account_key(account_id))
            if account is not None and account.currency:
                known.learn(
                    CustomerUpserted(
                        event_id="", occurred_at=0, customer_id=customer_id,
                        currency=account.currency, credit_limit=None,
                    )
                )  # fmt: skip
        return known

    async def alerts(self, request: Request) -> Response:
        if not wants_json(request.headers.get("accept", "")):
            return await self.listen("alerts", request)
        await self._may_read(request)
        customer_id = query(request, "customer_id")
        size, after = page_of(request, tuple[int, str])
        book = self.gateway.alert_book
        if not book.is_ready:
            raise _starting("alerts are being read")
        found = await run_in_threadpool(book.page, size + 1, after, customer_id)
        alerts = [to_payload(one) for one in found[:size]]
        following = _next(found, size, lambda one: (one.occurred_at, one.event_id))
        return _json({"alerts": alerts, "next": following}, headers={"Vary": "Accept"})

    async def listen(self, name: str, request: Request) -> Response:
        until = (await self._may_read(request)).until
        feed: Feed = getattr(self.gateway, name)
        customer_id = query(request, "customer_id")
        cursor = request.headers.get("last-event-id")

        def wanted(event: Event) -> bool:
            return customer_id is None or getattr(event, "customer_id", None) == customer_id

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no", "Vary": "Accept"}
        stream = feed.stream(cursor, wanted)
        first = await anext(stream)  # a cursor that is wrong is told before the answer begins

        async def all_of_it() -> AsyncIterator[bytes]:
            yield first
            async for chunk in stream:  # there is one every few seconds
                if until is not None and time.time() > until:
                    return  # who comes back with another token goes on where this one ended
                yield chunk

        return StreamingResponse(all_of_it(), media_type="text/event-stream", headers=headers)

    # ── whoever supervises it ───────────────────────────────────────────────────────────────────

    async def metrics(self, _request: Request) -> Response:
        gateway = self.gateway
        self._figures.waiting.set(gateway.desk.waiting)
        self._figures.listeners.set(gateway.alerts.clients + gateway.decisions.clients)
        return PlainTextResponse(
            generate_latest(self._figures.registry), media_type="text/plain; version=0.0.4"
        )

    async def ready(self, _request: Request) -> Response:
        missing = [f"partition {n} is being read" for n in self.gateway.copy.missing()]
        books = {
            "decisions": self.gateway.book, "alerts": self.gateway.alert_book,
            "names": self.gateway.names,
        }  # fmt: skip
        missing += [f"{name} are being read" for name, book in books.items() if not book.is_ready]
        if missing:
            return PlainTextResponse("\n".join(missing) + "\n", 503)
        return PlainTextResponse("ok\n")

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    async def _recognised(self, request: Request) -> Caller:
        return await self.gateway.callers.recognise_any(request.headers.get("authorization"))

    async def _may_read(self, request: Request) -> Caller:
        caller = await self._recognised(request)
        allowed(caller, Action.READ)
        return caller


class _Front:
    """Looks at a request before its route is chosen.

    Where nobody has to say who they are, pages of others that a browser of this machine shows have
    no business here: neither under a name of theirs, nor by sending from their pages.
    """

    def __init__(self, app: ASGIApp, routes: _Routes) -> None:
        self._app = app
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_OURS):
            # An id may have a slash in it, which as %2F does not part the path.
            scope = {**scope, "path": scope["raw_path"].decode("ascii")}
        if scope["type"] == "http" and self._routes.gateway.callers.is_open:
            headers = Headers(scope=scope)
            problem = _not_from_here(scope["method"], headers)
            if problem is not None:
                await _hardened(problem.response())(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _not_from_here(method: str, headers: Headers) -> Problem | None:
    try:
        host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host) and not host.endswith(".localhost"):
        return Problem(421, "misdirected", "Not here", "without keys, only as localhost")
    if method not in _READING and headers.get("sec-fetch-site", "none") not in _OWN_SITES:
        return Problem(
            403, "not_from_here", "Not from there", "a page of another site has sent this"
        )
    return None


def _answering(path: str, handler: Handler, figures: Figures, known: frozenset[str]) -> Handler:
    """Every error an answer of its kind, every answer counted. A parameter that is not known is
    refused: one that was mistyped would widen what is asked for.
    """

    async def answer(request: Request) -> Response:
        began = time.perf_counter()
        path_params = request.scope["path_params"]
        request.scope["path_params"] = {k: unquote(text) for k, text in path_params.items()}
        try:
            check_parameters(request, known)
            response = await handler(request)
        except Problem as problem:
            response = problem.response()
        except CopyNotReadyError:
            response = _starting("the state is being read").response()
        except ClientDisconnect:
            response = Response(status_code=400)
        except HeadroomError as error:
            logger.error("%s %s: %s", request.method, path, error)  # noqa: TRY400  no bug of ours
            response = _failed().response()
        except Exception:
            logger.exception("%s %s failed", request.method, path)
            response = _failed().response()
        _hardened(response)
        figures.requests.labels(path, response.status_code).inc()
        figures.seconds.labels(path).observe(time.perf_counter() - began)
        return response

    return answer


def _hardened(response: Response) -> Response:
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _failed() -> Problem:
    return Problem(500, "failed", "Something failed here", "it has been logged")


def _starting(detail: str) -> Problem:
    return Problem(503, "starting", "Not ready yet", detail, retry_after=1)


def _unknown(detail: str) -> Problem:
    return Problem(404, "unknown", "Not known", detail)


async def _not_ours(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  it is registered for nothing else
    kind = "no_such_method" if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED else _NO_PATH
    said = PROBLEMS[kind].when
    problem = Problem(error.status_code, kind, error.detail, said, headers=error.headers)
    return _hardened(problem.response())


async def _description(_request: Request) -> Response:
    return Response(_OPENAPI, media_type="application/json")


async def _live(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


def _stamp() -> dict[str, str]:
    """For an event whose sender has no id and no time for it."""
    now = int(time.time() * _MICROSECONDS)
    return {"event_id": f"act-{uuid4()}", "occurred_at": format_instant(now)}


def _next(found: Sequence[_Entry], size: int, place_of: Callable[[_Entry], object]) -> str | None:
    """Where the next page begins, if one more was found than a page has."""
    return cursor_of(place_of(found[size - 1])) if len(found) > size else None


def _order_shown(decision: OrderDecision) -> dict[str, Any]:
    return {
        "order_id": decision.order_id,
        "customer_id": decision.customer_id,
        "status": decision.decision,
        "decision": to_payload(decision),
    }


def _json(
    payload: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        msgspec.json.encode(payload), status, dict(headers or {}), media_type="application/json"
    )
