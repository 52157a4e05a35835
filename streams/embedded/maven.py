"""Files from Maven repositories, named by coordinate and held to a hash.

A lock file beside this module says, per part (`kafka`, `jmx`, ...), which files it is made
of and what their SHA-256 is. Fetching follows the lock and nothing else, so no dependency is
resolved on a user's machine and a repository cannot slip in another file.
`python -m streams.embedded.maven lock` resolves the roots anew and rewrites the locks.

Neither Java nor Maven is needed. Which repositories are asked is jgo's business: its own default,
and what the `[repositories]` section of the user's jgo configuration names, for those behind a
mirror.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from streams.errors import ConfigurationError, HeadroomError

_log = logging.getLogger(__name__)

ROOTS: dict[str, tuple[str, ...]] = {
    "kafka": (
        "org.apache.kafka:kafka_2.13:4.4.0:jar:",
        # The broker logs through SLF4J and brings no backend: without one its last words are lost.
        "org.slf4j:slf4j-simple:1.7.36:jar:",
    ),
    # Tells Prometheus what the broker's JVM knows; only where somebody asks for it.
    "jmx": ("io.prometheus.jmx:jmx_prometheus_javaagent:1.0.1:jar:",),
    "apicurio": ("io.apicurio:apicurio-registry-app:3.3.3:tar.gz:all",),
    # Not the product's: what docs/examples/java needs, and a compiler that any Java runs, for the
    # tests that run it where there is no JDK.
    "subscriber": (
        "org.apache.avro:avro:1.12.2:jar:",
        "org.apache.kafka:kafka-clients:4.4.0:jar:",
        "org.slf4j:slf4j-simple:2.0.18:jar:",
        "org.eclipse.jdt:ecj:3.44.0:jar:",
    ),
}
"""What each part is locked from, as `group:artifact:version:packaging:classifier`."""

_PARALLEL_DOWNLOADS = 8
_TIMEOUT_SECONDS = 60
_ATTEMPTS = 3
_CHUNK_BYTES = 1 << 20


class DownloadError(HeadroomError):
    """A file could not be fetched from any repository, or is not the one that was locked."""


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """One locked file. `bytes` is its size, `sha256` the hash of its content in hex."""

    group: str
    artifact: str
    version: str
    packaging: str
    classifier: str
    bytes: int
    sha256: str

    @property
    def coordinate(self) -> str:
        """`group:artifact:version`, with packaging and classifier where they say something."""
        tail = f":{self.packaging}:{self.classifier}" if self.classifier else ""
        return f"{self.group}:{self.artifact}:{self.version}{tail}"

    @property
    def filename(self) -> str:
        tail = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{tail}.{self.packaging}"


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """The files of one part, in the order of its class path: roots first."""

    roots: list[str]
    artifacts: list[Artifact]


def read_lock(part: str) -> Lock:
    """The committed lock of `part`, a key of `ROOTS`."""
    text = resources.files("streams.embedded").joinpath(f"{part}.lock.json").read_bytes()
    return msgspec.json.decode(text, type=Lock)


def fetch(part: str, cache: Path) -> list[Path]:
    """The files of `part` in `cache`, downloaded where missing, in the lock's order.

    A file enters the cache only whole and with the right hash, under a name made of that hash; so
    an interrupted download leaves nothing that a later start would trust.

    Raises:
        DownloadError: a file cannot be had, or its content is not what the lock says.
    """
    lock = read_lock(part)
    paths = [_place(cache, artifact) for artifact in lock.artifacts]
    missing = [
        (artifact, path)
        for artifact, path in zip(lock.artifacts, paths, strict=True)
        if not (path.is_file() and path.stat().st_size == artifact.bytes)
    ]
    if missing:
        _download(part, cache, missing)
    return paths


def _place(cache: Path, artifact: Artifact) -> Path:
    return cache / "maven" / artifact.sha256[:16] / artifact.filename


def _download(part: str, cache: Path, missing: list[tuple[Artifact, Path]]) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        incoming = tempfile.TemporaryDirectory(prefix="incoming-", dir=cache)
    except OSError as error:
        raise ConfigurationError(
            f"HEADROOM_CACHE_DIR: cannot write to {cache}: {error.strerror}"
        ) from error
    total = sum(artifact.bytes for artifact, _ in missing)
    given_up = threading.Event()
    with incoming as directory, _progress(part, len(missing), total) as advance:
        context = _context(Path(directory), _callback(advance, given_up))
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            jobs = [pool.submit(_download_one, context, *pair) for pair in missing]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                # A failure or Ctrl-C: the others shall not first fetch what is left of them.
                given_up.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _download_one(context: Any, artifact: Artifact, place: Path) -> None:
    component = context.project(artifact.group, artifact.artifact).at_version(artifact.version)
    wanted = component.artifact(artifact.classifier, artifact.packaging)
    path = _resolve_patiently(wanted, artifact)
    found = _sha256(path)
    if found != artifact.sha256:
        raise DownloadError(
            f"{artifact.coordinate}: the downloaded file has SHA-256 {found}, but the lock says "
            f"{artifact.sha256}; it was thrown away"
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    path.replace(place)


def _resolve_patiently(wanted: Any, artifact: Artifact) -> Path:
    """Download, in a few attempts: over a weak line a long download breaks off now and then."""
    import requests  # noqa: PLC0415  jgo's transport, wanted only when something must be fetched

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return Path(wanted.resolve())
        except (requests.RequestException, RuntimeError) as error:
            wanted.cached_path.unlink(missing_ok=True)
            if attempt == _ATTEMPTS:
                raise DownloadError(
                    f"{artifact.coordinate}: cannot be downloaded: {error}"
                ) from error
            _log.info("%s: attempt %d failed: %s", artifact.coordinate, attempt, error)
    raise AssertionError(artifact)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _context(repo_cache: Path, progress: Any = None) -> Any:
    # Not at the top: a start that finds all files in the cache should not pay for these.
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=repo_cache,
        timeout=_TIMEOUT_SECONDS,
    )
    context.remote_repos.update(GlobalSettings.load().repositories)
    return context


# ── progress ────────────────────────────────────────────────────────────────────────────────────


class _GivenUpError(Exception):
    """Ends a download that nobody waits for any more; nobody sees it."""


def _callback(advance: Callable[[int], None], given_up: threading.Event) -> Any:
    """The progress callback as jgo wants it: told of every chunk of every file."""

    def chunk(count: int) -> None:
        if given_up.is_set():
            raise _GivenUpError
        advance(count)

    @contextmanager
    def one_file(_filename: str, _size: int) -> Iterator[Callable[[int], None]]:
        yield chunk

    return one_file


@contextmanager
def _progress(part: str, files: int, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, one line elsewhere; yields what is told of every chunk's bytes."""
    if not sys.stderr.isatty():
        size = f"{total / 1_000_000:.0f} MB"
        print(f"Fetching {part}: {files} files, {size}", file=sys.stderr, flush=True)
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  a terminal is there to be drawn on
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TransferSpeedColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, TransferSpeedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"Fetching {part}", total=total)
        yield lambda count: bar.advance(task, count)


# ── locking ─────────────────────────────────────────────────────────────────────────────────────


def lock_part(part: str) -> Lock:
    """Resolve the roots of `part`, download every file and hash it."""
    with tempfile.TemporaryDirectory() as directory:
        context = _context(Path(directory))
        wanted: list[Any] = []
        for root in ROOTS[part]:
            group, name, version, packaging, classifier = root.split(":")
            if packaging == "jar":
                dependency = context.create_dependency(f"{group}:{name}:{version}")
                inputs, transitive = context.resolver.resolve([dependency])
                found = [entry.artifact for entry in inputs + transitive]
            else:
                component = context.project(group, name).at_version(version)
                found = [component.artifact(classifier, packaging)]
            wanted += [entry for entry in found if entry not in wanted]
        artifacts = []
        for entry in wanted:
            path = entry.resolve()
            artifacts.append(
                Artifact(
                    group=entry.groupId,
                    artifact=entry.artifactId,
                    version=entry.version,
                    packaging=entry.packaging,
                    classifier=entry.classifier,
                    bytes=path.stat().st_size,
                    sha256=_sha256(path),
                )
            )
        return Lock(roots=list(ROOTS[part]), artifacts=artifacts)


def _main(arguments: list[str]) -> int:
    if arguments != ["lock"]:
        print("usage: python -m streams.embedded.maven lock", file=sys.stderr)
        return 2
    for part in ROOTS:
        lock = lock_part(part)
        path = Path(__file__).parent / f"{part}.lock.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(msgspec.to_builtins(lock), indent=1) + "\n", encoding="utf-8")
        os.replace(partial, path)  # noqa: PTH105  one atomic step
        print(f"{path.name}: {len(lock.artifacts)} files", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
