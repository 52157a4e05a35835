"""Claims arrive whole, and once: in a folder, on a real SFTP server, at a service."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from agents.handover.sftp import SftpServer
from agents.handover.targets import Parcel, new_part, target_of
from agents.notify.carriers import CarrierAwayError, RefusedError
from streams.embedded.ports import LOOPBACK

PARCEL = Parcel("claim.zip", "application/zip", b"all of it" * 1000)


def test_a_folder_has_the_file_once_and_nothing_besides(tmp_path: Path) -> None:
    target = target_of((tmp_path / "not there yet").as_uri())
    assert target.deliver(PARCEL) == target.deliver(PARCEL)
    (path,) = (tmp_path / "not there yet").iterdir()
    assert (path.name, path.read_bytes()) == (PARCEL.name, PARCEL.content)


def test_a_folder_keeps_nothing_of_an_attempt_that_was_cut_short(tmp_path: Path) -> None:
    cut_short, others = tmp_path / new_part(PARCEL), tmp_path / ".claim2.zip.1fba61dd"
    cut_short.write_bytes(PARCEL.content[:7])
    others.touch()
    target_of(tmp_path.as_uri()).deliver(PARCEL)
    assert {path.name for path in tmp_path.iterdir()} == {PARCEL.name, others.name}


def test_a_folder_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CarrierAwayError):
        target_of((tmp_path / "file").as_uri()).deliver(PARCEL)


@pytest.mark.parametrize(
    "url", ["", "/var/claims", "file://host/dir", "ftp://a@b/c", "sftp://host/dir", "https://"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="should be file:///directory"):
        target_of(url)


class _Door(asyncssh.SSHServer):
    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("headroom", "p@ss")


class _Directory(asyncssh.SFTPServer):
    def __init__(self, channel: Any, root: str, *, shows_nothing: bool) -> None:
        super().__init__(channel, chroot=root.encode())
        self._shows_nothing = shows_nothing

    def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        if self._shows_nothing:
            raise asyncssh.SFTPPermissionDenied("nobody may look")
        return super().scandir(path)


class Sftp:
    """A real SFTP server with one directory."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self.port = 0
        self.shows_nothing = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._started.wait(10)
        self.known_hosts = root.parent / "known_hosts"
        public = self._key.export_public_key().decode()
        self.known_hosts.write_text(f"[{LOOPBACK}]:{self.port} {public}")

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._listen())
        self._loop.run_forever()

    async def _listen(self) -> None:
        root = str(self._root)
        acceptor = await asyncssh.listen(
            LOOPBACK,
            0,
            server_factory=_Door,
            server_host_keys=[self._key],
            sftp_factory=lambda channel: _Directory(
                channel, root, shows_nothing=self.shows_nothing
            ),
        )
        self.port = acceptor.get_port()
        self._started.set()

    def target(self, login: str = "headroom:p%40ss") -> SftpServer:
        url = f"sftp://{login}@{LOOPBACK}:{self.port}/claims/new"
        target = target_of(url, known_hosts=self.known_hosts)
        assert isinstance(target, SftpServer)
        return target

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def sftp(tmp_path: Path) -> Iterator[Sftp]:
    (tmp_path / "root").mkdir()
    one = Sftp(tmp_path / "root")
    yield one
    one.close()


def test_a_server_has_the_file_once_and_nothing_besides(sftp: Sftp, tmp_path: Path) -> None:
    target = sftp.target()
    assert target.deliver(PARCEL) == target.deliver(PARCEL)
    (path,) = (tmp_path / "root" / "claims" / "new").iterdir()
    assert (path.name, path.read_bytes()) == (PARCEL.name, PARCEL.content)


def test_a_server_keeps_nothing_of_an_attempt_that_was_cut_short(
    sftp: Sftp, tmp_path: Path
) -> None:
    directory = tmp_path / "root" / "claims" / "new"
    directory.mkdir(parents=True)
    (directory / new_part(PARCEL)).write_bytes(PARCEL.content[:7])
    sftp.target().deliver(PARCEL)
    assert [path.name for path in directory.iterdir()] == [PARCEL.name]


def test_a_box_that_shows_nothing_takes_the_file(sftp: Sftp, tmp_path: Path) -> None:
    sftp.shows_nothing = True
    sftp.target().deliver(PARCEL)
    assert (tmp_path / "root" / "claims" / "new" / PARCEL.name).exists()


def test_a_server_that_is_not_the_one_that_is_known_gets_nothing(
    sftp: Sftp, tmp_path: Path
) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    sftp.known_hosts.write_text(f"[{LOOPBACK}]:{sftp.port} {other}")
    with pytest.raises(CarrierAwayError, match="Host key is not trusted"):
        sftp.target().deliver(PARCEL)
    assert list((tmp_path / "root").iterdir()) == []


def test_a_server_that_does_not_know_us_is_away(sftp: Sftp) -> None:
    with pytest.raises(CarrierAwayError, match="Permission denied"):
        sftp.target("headroom:wrong").deliver(PARCEL)


def test_a_server_that_is_not_there_is_away(sftp: Sftp) -> None:
    target = sftp.target()
    sftp.close()
    gone = SftpServer(**{**vars(target), "port": 9})
    with pytest.raises(CarrierAwayError):
        gone.deliver(PARCEL)


@pytest.mark.parametrize(
    ("status", "raised"), [(200, None), (422, RefusedError), (503, CarrierAwayError)]
)
def test_a_service_gets_the_file_with_a_key(status: int, raised: type[Exception] | None) -> None:
    asked: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((dict(self.headers), body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    target = target_of(f"http://{LOOPBACK}:{server.server_port}/claims")
    if raised is None:
        assert target.deliver(PARCEL) == "200"
    else:
        with pytest.raises(raised):
            target.deliver(PARCEL)
    server.shutdown()
    server.server_close()
    ((headers, body),) = asked
    assert body == PARCEL.content
    assert headers["Content-Type"] == "application/zip"
    assert headers["Idempotency-Key"] == "claim.zip"
