"""What the embedded parts are made of."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from streams.embedded import maven
from streams.embedded.maven import ROOTS, DownloadError, Lock, fetch, read_lock

CONTENT = b"a jar"


def lock_of(sha256: str) -> Lock:
    return Lock(
        roots=["g:a:1:jar:"],
        artifacts=[
            maven.Artifact(
                group="g",
                artifact="a",
                version="1",
                packaging="jar",
                classifier="",
                bytes=len(CONTENT),
                sha256=sha256,
            )
        ],
    )


class FakeContext:
    """Gives one file for whatever is asked, and counts how often."""

    def __init__(self, directory: Path, content: bytes = CONTENT) -> None:
        self.cached_path = directory / "download"
        self.content = content
        self.downloads = 0

    def project(self, *_: str) -> FakeContext:
        return self

    at_version = artifact = project

    def resolve(self) -> Path:
        self.downloads += 1
        self.cached_path.write_bytes(self.content)
        return self.cached_path


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeContext:
    context = FakeContext(tmp_path)
    monkeypatch.setattr(maven, "_context", lambda *_: context)
    right = hashlib.sha256(CONTENT).hexdigest()
    monkeypatch.setattr(maven, "read_lock", lambda _: lock_of(right))
    return context


@pytest.mark.parametrize("part", ROOTS)
def test_the_lock_was_made_from_the_roots_in_the_code(part: str) -> None:
    assert read_lock(part).roots == list(ROOTS[part])


def test_the_broker_is_45_files_each_with_size_and_hash() -> None:
    artifacts = read_lock("kafka").artifacts
    assert len(artifacts) == 45
    assert all(len(artifact.sha256) == 64 and artifact.bytes > 0 for artifact in artifacts)


def test_a_file_is_downloaded_once_and_then_found(tmp_path: Path, repository: FakeContext) -> None:
    first = fetch("kafka", tmp_path / "cache")
    second = fetch("kafka", tmp_path / "cache")
    assert first == second
    assert first[0].read_bytes() == CONTENT
    assert repository.downloads == 1


def test_a_file_that_was_cut_short_is_downloaded_again(
    tmp_path: Path, repository: FakeContext
) -> None:
    (path,) = fetch("kafka", tmp_path / "cache")
    path.write_bytes(CONTENT[:2])
    fetch("kafka", tmp_path / "cache")
    assert path.read_bytes() == CONTENT
    assert repository.downloads == 2


def test_a_file_with_another_hash_is_refused_by_name_and_not_kept(
    tmp_path: Path, repository: FakeContext
) -> None:
    repository.content = b"an evil jar"
    with pytest.raises(DownloadError, match=r"g:a:1: .*SHA-256"):
        fetch("kafka", tmp_path / "cache")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_download_is_tried_again_before_it_is_given_up(
    tmp_path: Path, repository: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Path:
        repository.downloads += 1
        raise RuntimeError("not found in remote repositories")

    monkeypatch.setattr(FakeContext, "resolve", fail)
    with pytest.raises(DownloadError, match="g:a:1: cannot be downloaded: not found"):
        fetch("kafka", tmp_path / "cache")
    assert repository.downloads == 3
