"""An installation that tells people of alerts: real broker, workers, mail server and endpoints."""

from __future__ import annotations

import base64
import hmac
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from notify.mailroom import Mailroom
from reconcile.test_reconcile_connected import Installation
from worker.conftest import Broker, WorkerProcess, free_port

from agents.alerts.book import OpenAlert
from agents.cli.alerts import read_book
from schemas.catalogue import JOURNAL
from schemas.events import CustomerUpserted, OrderPlaced
from streams.embedded.ports import LOOPBACK
from streams.settings import Settings

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  that of the specification


class Endpoints:
    """A real web server: `asked` keeps by path what came; `status` says what is answered; a path in
    `hanging` is not answered until it is taken out.
    """

    def __init__(self) -> None:
        self.asked: dict[str, list[tuple[dict[str, str], bytes]]] = {}
        self.status: dict[str, int] = {}
        self.hanging: set[str] = set()
        endpoints = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                endpoints.asked.setdefault(self.path, []).append((headers, body))
                while self.path in endpoints.hanging:
                    time.sleep(0.05)
                with suppress(ConnectionError):  # who was made to wait may have gone
                    self.send_response(endpoints.status.get(self.path, 200))
                    self.send_header("Content-Length", "2")
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def ids(self, path: str) -> Counter[str]:
        """By `webhook-id` how often it came, each with a signature that is right."""
        found: Counter[str] = Counter()
        for headers, body in list(self.asked.get(path, [])):
            assert is_signed(headers, body)
            found[headers["webhook-id"]] += 1
        return found

    def close(self) -> None:
        self.hanging.clear()
        self._server.shutdown()
        self._server.server_close()


def is_signed(headers: dict[str, str], body: bytes) -> bool:
    """As docs/alerts.md says that a receiver finds out."""
    webhook_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > 300:
        return False
    secret = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    expected = base64.b64encode(hmac.new(secret, signed, sha256).digest()).decode()
    return any(
        hmac.compare_digest(expected, signature.removeprefix("v1,"))
        for signature in headers["webhook-signature"].split(" ")
    )


class Watch:
    """A broker, a worker that decides, workers that tell, and where they tell it."""

    def __init__(self, directory: Path, bootstrap: str, routes: str, **settings: str) -> None:
        self.mailroom = Mailroom()
        self.endpoints = Endpoints()
        self.broker = Broker(bootstrap)
        self.directory = directory
        (directory / "routes.toml").write_text(routes.replace("URL", self.endpoints.url))
        made = Installation(bootstrap, directory)
        self.environment = made.environment | {
            "HEADROOM_ALERT_ROUTES": str(directory / "routes.toml"),
            "HEADROOM_ALERT_SENDER": "alerts@firm.example",
            "HEADROOM_CONSOLE_URL": "https://credit.example",
            "HEADROOM_SMTP_URL": self.mailroom.url,
            **settings,
        }
        self.desk = WorkerProcess(self.environment, directory / "desk.log")
        self.tellers: list[WorkerProcess] = []
        self._read_journal = self.broker.reader(JOURNAL)

    def teller(self) -> WorkerProcess:
        """A worker of the alerts agent, not started."""
        name = f"teller-{len(self.tellers)}"
        own = {"HEADROOM_WEB_PORT": str(free_port()), "HEADROOM_WORKER_NAME": name}
        self.tellers.append(WorkerProcess(self.environment | own, self.directory / f"{name}.log"))
        return self.tellers[-1]

    def customer(self, customer: str, **more: Any) -> None:
        """A customer with a limit of 1,000.00."""
        self.broker.send(
            CustomerUpserted(
                event_id=f"cu-{customer}",
                occurred_at=_now(),
                customer_id=customer,
                currency="EUR",
                credit_limit=1_000_00,
                name=f"Firm {customer}",
                **more,
            )
        )
        self.broker.flush()
        self._read_journal(lambda read: any(one.key() == customer.encode() for one in read))

    def order(self, customer: str) -> None:
        """One that is held."""
        self.broker.send(
            OrderPlaced(
                event_id=f"o-{customer}",
                occurred_at=_now(),
                customer_id=customer,
                order_id=f"O-{customer}",
                amount=1_900_00,
                currency="EUR",
            )
        )
        self.broker.flush()

    def run(self, *arguments: str) -> str:
        """A verb of `headroom` beside the workers."""
        done = subprocess.run(
            [sys.executable, "-m", "agents.cli.main", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def alerts(self) -> dict[str, OpenAlert]:
        """What `headroom alerts list` reads, by customer."""
        settings = Settings(
            kafka_bootstrap=self.environment["HEADROOM_KAFKA_BOOTSTRAP"],
            app_id=self.environment["HEADROOM_APP_ID"],
        )
        return {one.alert.customer_id: one for one in read_book(settings).alerts()}

    def states(self, *recipients: str) -> Counter[str]:
        """What became of the notices to some recipients, or to all who are told first."""
        return Counter(
            told.state
            for one in self.alerts().values()
            for told in one.told
            if told.recipient in recipients or not (recipients or told.level)
        )

    def close(self) -> None:
        for worker in [self.desk, *self.tellers]:
            if worker._process is not None and worker.exit_code is None:
                worker.kill()
        self.endpoints.close()
        self.mailroom.close()


def _now() -> int:
    return int(time.time() * 1_000_000)


def until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, what()
        time.sleep(0.1)
