"""Text messages and letters on paper, as a real service gets them."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from notify.letters import CREDITOR, a_step

from agents.notify.carriers import CarrierAwayError, RefusedError
from agents.notify.pdf import UnprintableError, pdf_of
from agents.notify.texts_file import load_texts
from agents.notify.webhook import WebhookCarrier
from streams.embedded.ports import LOOPBACK

RENDER = partial(load_texts(None).render, creditor=CREDITOR)


class Service:
    """Answers with `status`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.asked: list[tuple[dict[str, str], dict[str, Any]]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.asked.append((dict(self.headers), json.loads(body)))
                self.send_response(service.status)
                self.end_headers()
                self.wfile.write(b"as you say")

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.address = f"{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service() -> Iterator[Service]:
    one = Service()
    yield one
    one.close()


def test_a_text_message_is_asked_for_with_a_key_that_stays_the_same(service: Service) -> None:
    carrier = WebhookCarrier(f"http://me:p%40w@{service.address}/sms", RENDER, on_paper=False)
    step = a_step(language="en", channel="sms")
    assert carrier.begin(step).finish() == "200 as you say"
    carrier.begin(step).finish()
    (headers, body), (again, _) = service.asked
    assert headers["Idempotency-Key"] == again["Idempotency-Key"] == "C-1042/2026-04-08/1#1"
    assert headers["authorization"] == "Basic " + base64.b64encode(b"me:p@w").decode()
    assert body == {
        "step_id": "C-1042/2026-04-08/1",
        "attempt": 1,
        "customer_id": "C-1042",
        "name": "Bakkerij De Vries",
        "country": "NL",
        "language": "en",
        "subject": "Pay within fourteen days without costs: I-300, I-310",
        "total": "1600.51",
        "currency": "EUR",
        "pay_by": "2026-04-15",
        "to": "+31205550199",
        "text": RENDER(step).short,
    }


@pytest.mark.slow
def test_a_letter_on_paper_is_a_pdf(service: Service) -> None:
    carrier = WebhookCarrier(
        f"http://{service.address}/print", partial(RENDER, on_paper=True), on_paper=True
    )
    carrier.begin(a_step(channel="letter")).finish()
    ((_, body),) = service.asked
    assert base64.b64decode(body["pdf"]).startswith(b"%PDF-")
    assert "text" not in body


@pytest.mark.slow
def test_what_cannot_be_printed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.notify.pdf._PDF_SECONDS", 0.01)
    with pytest.raises(UnprintableError, match="no PDF after"):
        pdf_of("<p>hello</p>")
    carrier = WebhookCarrier(f"http://{LOOPBACK}:9/", RENDER, on_paper=True)
    with pytest.raises(RefusedError, match="no PDF could be made"):
        carrier.begin(a_step())


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_service_in_trouble_is_away(status: int, service: Service) -> None:
    service.status = status
    carrier = WebhookCarrier(f"http://{service.address}/", RENDER, on_paper=False)
    with pytest.raises(CarrierAwayError, match=f"^the service answers {status}$"):
        carrier.begin(a_step()).finish()


@pytest.mark.parametrize("status", [301, 400, 404, 422])
def test_a_service_that_does_not_want_it_refuses_it(status: int, service: Service) -> None:
    service.status = status
    carrier = WebhookCarrier(f"http://{service.address}/", RENDER, on_paper=False)
    with pytest.raises(RefusedError, match=f"{status} as you say"):
        carrier.begin(a_step()).finish()


def test_a_service_that_is_not_there_is_away() -> None:
    carrier = WebhookCarrier(f"http://{LOOPBACK}:9/", RENDER, on_paper=False)
    with pytest.raises(CarrierAwayError, match=r"Connection refused$"):
        carrier.begin(a_step()).finish()
