"""Where what is handed over goes: a folder, a server over SFTP, or a service.

Each takes the same parcel twice and has it once: a file of the same name takes the place of the one
before, and a service knows its `Idempotency-Key`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit
from uuid import uuid4

from agents.notify.carriers import CarrierAwayError
from agents.notify.service import WebService


@dataclass(frozen=True)
class Parcel:
    """A file that goes to whoever collects a claim.

    Attributes:
        name: of the file; the same for the same content.
        media_type: `application/zip` or `application/json`.
    """

    name: str
    media_type: str
    content: bytes


def parts_of(parcel: Parcel) -> str:
    """Names, as a pattern, of what attempts at the parcel write before the file has its own name.
    Each attempt has another: one that was thought dead may still write.
    """
    return f".{escape(parcel.name)}.*"


def new_part(parcel: Parcel) -> str:
    """The name for one attempt."""
    return f".{parcel.name}.{uuid4().hex[:8]}"


class Target(Protocol):
    """Whoever takes claims over."""

    def deliver(self, parcel: Parcel) -> str:
        """Where the parcel is now, or what was answered.

        Raises `CarrierAwayError`, `RefusedError`.
        """
        ...


def target_of(url: str, *, known_hosts: Path | None = None, key: Path | None = None) -> Target:
    """What a URL names.

    Args:
        url: `file:///directory`, `sftp://user[:password]@host[:port]/directory`, `http(s)://...`.
        known_hosts: the keys by which servers are known; those of the user's SSH without it.
        key: by which we are known; those of the user's SSH without it, or a password in the URL.

    Raises:
        ValueError: it is no such address.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "sftp" and parts.hostname and parts.username:
        # Its library takes longer to come in than a terminal's verb should take.
        from agents.handover.sftp import SftpServer  # noqa: PLC0415

        return SftpServer(
            host=parts.hostname,
            port=parts.port or 22,
            user=unquote(parts.username),
            password=None if parts.password is None else unquote(parts.password),
            directory=unquote(parts.path) or ".",
            known_hosts=known_hosts,
            key=key,
        )
    if parts.scheme in ("http", "https") and parts.hostname:
        return Service(url)
    raise ValueError("should be file:///directory, sftp://user@host/directory or https://host/path")


@dataclass(frozen=True)
class Folder:
    """A directory of this machine."""

    directory: Path

    def deliver(self, parcel: Parcel) -> str:
        path = self.directory / parcel.name
        part = path.with_name(new_part(parcel))
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            for left in list(self.directory.glob(parts_of(parcel))):
                left.unlink(missing_ok=True)  # of an attempt that was cut short
            with part.open("xb") as file:
                file.write(parcel.content)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)  # nobody ever sees half of it
        except OSError as error:
            with suppress(OSError):  # what could not be written cannot be removed either
                part.unlink()
            raise CarrierAwayError(str(error)) from error
        return str(path)


class Service:
    """A POST of the file, with its name and an `Idempotency-Key`."""

    def __init__(self, url: str) -> None:
        self._service = WebService(url)

    def deliver(self, parcel: Parcel) -> str:
        headers = {
            "Content-Type": parcel.media_type,
            "Content-Disposition": f'attachment; filename="{parcel.name}"',
        }
        return self._service.post(parcel.content, parcel.name, headers)
