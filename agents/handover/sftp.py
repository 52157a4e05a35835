"""A server that takes claims over SFTP."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import asyncssh

from agents.handover.targets import Parcel, new_part, parts_of
from agents.notify.carriers import CarrierAwayError

_SECONDS = 60.0
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True)
class SftpServer:
    """A directory of a server that speaks SFTP."""

    host: str
    port: int
    user: str
    password: str | None
    directory: str
    known_hosts: Path | None
    key: Path | None

    def deliver(self, parcel: Parcel) -> str:
        try:
            return asyncio.run(asyncio.wait_for(self._put(parcel), _SECONDS))
        except asyncssh.SFTPError as error:
            raise CarrierAwayError(f"{self.host}: {error.reason}") from error
        except (OSError, asyncssh.Error, TimeoutError) as error:
            raise CarrierAwayError(f"{self.host}: {str(error) or type(error).__name__}") from error

    async def _put(self, parcel: Parcel) -> str:
        path = PurePosixPath(self.directory) / parcel.name
        part = path.with_name(new_part(parcel))
        options: dict[str, Any] = {}
        if self.known_hosts is not None:
            options["known_hosts"] = str(self.known_hosts)
        if self.key is not None:
            options["client_keys"] = [str(self.key)]
        async with (
            asyncssh.connect(
                self.host,
                self.port,
                username=self.user,
                password=self.password,
                connect_timeout=_CONNECT_SECONDS,
                **options,
            ) as connection,
            connection.start_sftp_client() as sftp,
        ):
            await sftp.makedirs(self.directory, exist_ok=True)
            for left in await _found(sftp, str(path.with_name(parts_of(parcel)))):
                with suppress(asyncssh.SFTPNoSuchFile):  # whose it was has done it
                    await sftp.remove(left)
            async with sftp.open(str(part), "wb") as file:
                await file.write(parcel.content)
            await sftp.posix_rename(str(part), str(path))  # nobody ever sees half of it
        return f"sftp://{self.host}:{self.port}/{path}"


async def _found(sftp: asyncssh.SFTPClient, pattern: str) -> list[str]:
    """Files of that name. In a box that takes files and shows none nothing is found."""
    try:
        return [str(path) for path in await sftp.glob(pattern)]
    except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPPermissionDenied):
        return []
