"""Mollie's Payments API as its documentation has it, as far as the portal uses it.

Payments are made with the API key, shown with it, and changed by `becomes`, as if a customer had
paid. The same `Idempotency-Key` gives the same payment.
"""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from streams.embedded.ports import LOOPBACK

KEY = "test_" + "k" * 30


class FakeMollie:
    def __init__(self) -> None:
        self.payments: dict[str, dict[str, Any]] = {}
        self.charge_backs: dict[str, list[dict[str, Any]]] = {}
        self.away = False
        self._by_key: dict[str, str] = {}
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                fake.answer(self, lambda: fake.create(wanted, self.headers["Idempotency-Key"]), 201)

            def do_GET(self) -> None:
                if self.path.startswith("/checkout/"):  # what a customer sees
                    self.send_response(200)
                    self.send_header("Content-Type", "text/html")
                    self.end_headers()
                    self.wfile.write(b'<link rel="icon" href="data:,">Pay here')
                    return
                fake.answer(self, lambda: fake.find(self.path), 200)

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, made: Any, status: int) -> None:
        if self.away:
            status, body = 503, {"status": 503, "title": "Unavailable", "detail": "try again"}
        elif handler.headers["Authorization"] != f"Bearer {KEY}":
            status, body = 401, {"status": 401, "title": "Unauthorized", "detail": "no such key"}
        else:
            body = made()
            status = body["status"] if isinstance(body.get("status"), int) else status
        raw = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/hal+json")
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    def create(self, wanted: dict[str, Any], key: str) -> dict[str, Any]:
        """https://docs.mollie.com/reference/create-payment"""
        for name in ("amount", "description", "redirectUrl"):
            if name not in wanted:
                return {"status": 422, "title": "Unprocessable", "detail": name, "field": name}
        if key in self._by_key:
            return self.payments[self._by_key[key]]
        payment_id = f"tr_{len(self.payments) + 1:010d}"
        self._by_key[key] = payment_id
        self.payments[payment_id] = {
            "resource": "payment",
            "id": payment_id,
            "mode": "test",
            "createdAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "status": "open",
            **wanted,
            "_links": {
                "checkout": {"href": f"{self.url}/checkout/{payment_id}", "type": "text/html"},
                "self": {
                    "href": f"{self.url}/v2/payments/{payment_id}",
                    "type": "application/json",
                },
            },
        }
        return self.payments[payment_id]

    def find(self, path: str) -> dict[str, Any]:
        parts = path.partition("?")[0].strip("/").split("/")
        if parts[:2] == ["v2", "payments"] and parts[2] in self.payments:
            if parts[3:] == ["chargebacks"]:
                found = self.charge_backs.get(parts[2], [])
                return {"count": len(found), "_embedded": {"chargebacks": found}, "_links": {}}
            return self.payments[parts[2]]
        return {"status": 404, "title": "Not Found", "detail": "No payment exists with this token."}

    def becomes(self, payment_id: str, status: str) -> None:
        """As if the customer had done so."""
        payment = self.payments[payment_id]
        payment["status"] = status
        now = datetime.now(UTC).isoformat(timespec="seconds")
        payment[f"{status}At"] = now

    def charge_back(self, payment_id: str) -> None:
        """As if the customer's bank had taken the money back."""
        payment = self.payments[payment_id]
        payment["amountChargedBack"] = payment["amount"]
        self.charge_backs[payment_id] = [
            {
                "resource": "chargeback",
                "id": "chb_1",
                "amount": payment["amount"],
                "createdAt": datetime.now(UTC).isoformat(timespec="seconds"),
                "reversedAt": None,
                "paymentId": payment_id,
            }
        ]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
