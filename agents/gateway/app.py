"""The HTTP interface: `POST /v1/orders/check` and what belongs to it."""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any
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
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from agents.console.app import Console, console_routes
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.gateway.acts import ACTS, Act, event_of, valid_event
from agents.gateway.book import DecisionBook, content_hash, request_name
from agents.gateway.callers import Action, Caller, Callers, allowed
from agents.gateway.desk import Desk
from agents.gateway.feed import Feed
from agents.gateway.problems import Problem, malformed
from agents.gateway.shown import customer_shown, held_orders
from agents.intake.rules import account_of
from agents.live_copy import CopyNotReadyError, LiveCopy
from schemas.currencies import Currencies
from schemas.dates import format_instant
from schemas.events import CustomerUpserted, Event, OrderDecision, OrderPlaced
from schemas.json_lines import json_object, to_payload
from streams.errors import HeadroomError

logger = logging.getLogger(__name__)

_BODY_BYTES_MAX = 64 * 1024
_KEY_CHARACTERS_MAX = 255
_TIMEOUT_BOUNDS = (0.05, 30.0)
_PAGE = (50, 500)
_MICROSECONDS = 1_000_000
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Gateway:
    """What the routes need.

    Attributes:
        callers: recognises who asks.
        book: the decisions that were published.
        desk: places orders and waits; writes what people do.
        copy: of the live state.
        policies: by which figures are told.
        alerts, decisions: feeds.
        timeout_seconds: for a decision, where the request does not say.
        console: the pages for people.
    """

    callers: Callers
    book: DecisionBook
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

    def route(path: str, handler: Handler, method: str) -> Route:
        return Route(path, _answering(path, handler, figures), methods=[method])

    return Starlette(
        lifespan=lifespan,
        routes=[
            route("/v1/orders/check", routes.check, "POST"),
            route("/v1/orders/held", routes.held, "GET"),
            route("/v1/orders/{order_id}", routes.order, "GET"),
            route("/v1/customers/{customer_id}", routes.customer, "GET"),
            *(route(act.path, partial(routes.act, act), "POST") for act in ACTS),
            route("/v1/alerts", partial(routes.listen, "alerts"), "GET"),
            route("/v1/decisions", partial(routes.listen, "decisions"), "GET"),
            Route("/metrics", routes.metrics, methods=["GET"]),
            Route("/livez", _live, methods=["GET"]),
            Route("/readyz", routes.ready, methods=["GET"]),
            *console_routes(lambda: routes.gateway.console),
        ],
        exception_handlers={HTTPException: _not_ours},
    )


class _Routes:
    gateway: Gateway

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    # ── order systems ───────────────────────────────────────────────────────────────────────────

    async def check(self, request: Request) -> Response:
        caller = self._caller(request, Action.CHECK_ORDERS)
        self.gateway.desk.expect_room()  # before the body is read, let alone understood
        body = await _body(request)
        order = valid_event({"type": "OrderPlaced", **_stamp(), **body})
        assert isinstance(order, OrderPlaced)  # noqa: S101  the type was given
        key = _key(request) or f"order {order.customer_id}\0{order.order_id}"
        # The same request, whatever the white space or the order of its fields.
        content = content_hash(msgspec.json.encode(body, order="deterministic"))
        answer = await self.gateway.desk.decide(
            request_name(caller.name, key), content, order, self._seconds(request)
        )
        headers = {"Idempotency-Hit": "true"} if answer.again else {}
        return _json(to_payload(answer.decision), headers=headers)

    async def order(self, request: Request) -> Response:
        self._caller(request, Action.READ)
        order_id = request.path_params["order_id"]
        customer_id = request.query_params.get("customer_id")
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
        self._caller(request, Action.READ)
        size, after = _page(request)
        page = await run_in_threadpool(self._held, size, after)
        return _json(page)

    def _held(self, size: int, after: tuple[int, str, str] | None) -> dict[str, Any]:
        found = list(islice(held_orders(self.gateway.copy.ledgers(), after), size + 1))
        orders = []
        for _, order in found[:size]:
            decided = self.gateway.book.latest_on(order["order_id"], order["customer_id"])
            reasons = decided[0].reasons if decided else []
            orders.append(order | {"reasons": reasons})
        more = len(found) > size
        return {"orders": orders, "next": _cursor(found[size - 1][0]) if more else None}

    async def customer(self, request: Request) -> Response:
        self._caller(request, Action.READ)
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
        caller = self._caller(request, act.action)
        body = await _body(request)
        path = request.path_params
        customer_id = path.get("customer_id", body.get("customer_id"))
        currencies = await run_in_threadpool(self._currencies, customer_id)
        event = event_of(act, caller, path, body, _stamp(), currencies)
        logger.info("%s by %s (%s): %s", act.event, caller.name, caller.role, event.event_id)
        await self.gateway.desk.write(event, account_of(event) or "")
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

    async def listen(self, name: str, request: Request) -> Response:
        self._caller(request, Action.READ)
        feed: Feed = getattr(self.gateway, name)
        customer_id = request.query_params.get("customer_id")
        cursor = request.headers.get("last-event-id")

        def wanted(event: Event) -> bool:
            return customer_id is None or getattr(event, "customer_id", None) == customer_id

        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stream = feed.stream(cursor, wanted)
        first = await anext(stream)  # a cursor that is wrong is told before the answer begins

        async def all_of_it() -> AsyncIterator[bytes]:
            yield first
            async for chunk in stream:
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
        if not self.gateway.book.is_ready:
            missing.append("decisions are being read")
        if missing:
            return PlainTextResponse("\n".join(missing) + "\n", 503)
        return PlainTextResponse("ok\n")

    # ── inside ──────────────────────────────────────────────────────────────────────────────────

    def _caller(self, request: Request, action: Action) -> Caller:
        caller = self.gateway.callers.recognise(request.headers.get("authorization"))
        allowed(caller, action)
        return caller

    def _seconds(self, request: Request) -> float:
        text = request.headers.get("headroom-timeout")
        if text is None:
            return self.gateway.timeout_seconds
        low, high = _TIMEOUT_BOUNDS
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not low <= seconds <= high:
            raise malformed(f"Headroom-Timeout: seconds from {low:g} to {high:g}")
        return seconds


def _answering(path: str, handler: Handler, figures: Figures) -> Handler:
    """Every error an answer of its kind, every answer counted."""

    async def answer(request: Request) -> Response:
        began = time.perf_counter()
        try:
            response = await handler(request)
        except Problem as problem:
            response = problem.response()
        except CopyNotReadyError:
            response = Problem(
                503, "starting", "Not ready yet", "the state is being read", retry_after=1
            ).response()
        except ClientDisconnect:
            response = Response(status_code=400)
        except HeadroomError as error:
            logger.error("%s %s: %s", request.method, path, error)  # noqa: TRY400  no bug of ours
            response = _failed().response()
        except Exception:
            logger.exception("%s %s failed", request.method, path)
            response = _failed().response()
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Content-Type-Options"] = "nosniff"
        figures.requests.labels(path, response.status_code).inc()
        figures.seconds.labels(path).observe(time.perf_counter() - began)
        return response

    return answer


def _failed() -> Problem:
    return Problem(500, "failed", "Something failed here", "it has been logged")


def _unknown(detail: str) -> Problem:
    return Problem(404, "unknown", "Not known", detail)


async def _not_ours(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  it is registered for nothing else
    kind = {404: "no_such_path", 405: "no_such_method"}.get(error.status_code, "refused")
    problem = Problem(error.status_code, kind, error.detail, error.detail, headers=error.headers)
    return problem.response()


async def _live(_request: Request) -> Response:
    return PlainTextResponse("ok\n")


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises `Problem` 400, 413, 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in ("application/json", ""):
        raise Problem(415, "media_type", "JSON is needed", "Content-Type: application/json")
    raw = b""
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > _BODY_BYTES_MAX:
            raise Problem(
                413, "too_large", "The body is too large", f"at most {_BODY_BYTES_MAX} bytes"
            )
    try:
        return json_object(raw.decode())
    except ValueError as error:
        raise malformed(f"the body: {error}") from error


def _key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not 0 < len(key) <= _KEY_CHARACTERS_MAX or not key.isprintable():
        raise malformed(f"Idempotency-Key: 1 to {_KEY_CHARACTERS_MAX} printable characters")
    return key


def _stamp() -> dict[str, str]:
    """For an event whose sender has no id and no time for it."""
    now = int(time.time() * _MICROSECONDS)
    return {"event_id": f"act-{uuid4()}", "occurred_at": format_instant(now)}


def _page(request: Request) -> tuple[int, tuple[int, str, str] | None]:
    usual, most = _PAGE
    text = request.query_params.get("limit", str(usual))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise malformed(f"limit: 1 to {most}")
    after = request.query_params.get("after")
    return int(text), None if after is None else _place(after)


def _cursor(place: tuple[int, str, str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode()


def _place(cursor: str) -> tuple[int, str, str]:
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(cursor), type=tuple[int, str, str])
    except (binascii.Error, ValueError, msgspec.DecodeError) as error:
        raise malformed("after: none of ours") from error


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
