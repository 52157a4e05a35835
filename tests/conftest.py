"""What connected tests share: one broker, one registry and one ClickHouse engine per session.

Each is started when the first test asks for it. What a test takes is stated by its fixtures, so a
run of pure tests starts nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from streams.clickhouse import open_clickhouse
from streams.embedded.apicurio import EmbeddedApicurio
from streams.embedded.clickhouse import close_engine
from streams.embedded.kafka import EmbeddedKafka
from streams.settings import Settings, user_cache_directory

# `HYPOTHESIS_PROFILE=deep` looks for longer; the usual run takes seconds. How long an example takes
# is the machine's affair: on a busy one, none is too slow.
_ANY_PACE: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("usual", max_examples=100, **_ANY_PACE)
settings.register_profile("deep", max_examples=2_000, **_ANY_PACE)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))

_ROOT = Path(__file__).parent.parent
_BROKER = pytest.StashKey[EmbeddedKafka]()
_LOG_LINES = 40

MakeSettings = Callable[..., Settings]


@pytest.fixture(scope="session")
def cache_dir() -> Path:
    """Downloads are shared between runs: a test run must not fetch 45 MB each time."""
    return Path(os.environ.get("HEADROOM_CACHE_DIR") or user_cache_directory())


@pytest.fixture(scope="session")
def kafka(
    tmp_path_factory: pytest.TempPathFactory, cache_dir: Path, pytestconfig: pytest.Config
) -> Iterator[str]:
    """`host:port` of the session's broker: the one HEADROOM_KAFKA_BOOTSTRAP names, else our own.

    Topics stay for the session, so each test uses names of its own or an `app_id` of its own.
    """
    given = os.environ.get("HEADROOM_KAFKA_BOOTSTRAP")
    if given:
        yield given
        return
    broker = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), cache=cache_dir)
    with broker:
        pytestconfig.stash[_BROKER] = broker
        yield broker.bootstrap_servers


@pytest.fixture(scope="session")
def apicurio(tmp_path_factory: pytest.TempPathFactory, cache_dir: Path) -> Iterator[str]:
    """URL of the session's schema registry, up to and with `/apis/ccompat/v7`."""
    with EmbeddedApicurio(tmp_path_factory.mktemp("registry"), cache=cache_dir) as registry:
        yield registry.url


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The machine's browser; where there is none and Debian's may be installed, that one."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Path(found)
    return _of_debian("chromium", "chromium")


@pytest.fixture(scope="session")
def prometheus_tools() -> Path:
    """The directory that has `prometheus`, `promtool` and `amtool`."""
    _of_debian("amtool", "prometheus-alertmanager")
    return _of_debian("promtool", "prometheus").parent


@pytest.fixture(scope="session")
def node() -> Path:
    """The machine's Node, which has its npm beside it; else Debian's."""
    _of_debian("npm", "npm")
    return _of_debian("node", "nodejs")


@pytest.fixture(scope="session")
def with_packages(node: Path, cache_dir: Path) -> Callable[[Path, Path], Path]:
    """A function that copies a Node project to another directory, with the packages that its lock
    file names. Those are fetched once for each content of the file.
    """

    def lay(project: Path, to: Path) -> Path:
        lock = (project / "package-lock.json").read_bytes()
        packages = cache_dir / "node" / hashlib.sha256(lock).hexdigest()[:16]
        if not packages.is_dir():
            _fetch_packages(node.with_name("npm"), project, packages)
        to.mkdir()
        for file in project.iterdir():
            if file.is_file():
                shutil.copy(file, to)
        (to / "node_modules").symlink_to(packages / "node_modules")
        return to

    return lay


def _fetch_packages(npm: Path, project: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="incoming-", dir=place.parent) as incoming:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(project / name, incoming)
        # None of them needs its install scripts, which would fetch more from elsewhere.
        fetched = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=incoming, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert fetched.returncode == 0, fetched.stderr
        with suppress(OSError):  # another process was faster
            Path(incoming).rename(place)
            Path(incoming).mkdir()  # which is taken away now


def _of_debian(command: str, package: str) -> Path:
    """A command of the machine; where there is none and Debian's may be installed, that one."""
    if shutil.which(command) is None and shutil.which("apt-get") and os.geteuid() == 0:
        _apt("update", "-qq")
        _apt("install", "-y", "-qq", "--no-install-recommends", package)
    found = shutil.which(command)
    if found is None:
        pytest.skip(f"needs {command}, and this machine has none and no Debian packages")
    return Path(found)


def _apt(*arguments: str) -> None:
    """Waits for another process of this run that does the same."""
    subprocess.run(
        ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments],
        check=True,
        capture_output=True,
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
    )


@pytest.fixture(scope="session")
def engine_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """HEADROOM_EMBEDDED_DIR of whatever opens the ClickHouse engine inside the test process.

    A process can open one directory only, so these tests share it.
    """
    return tmp_path_factory.mktemp("engine")


@pytest.fixture(scope="session")
def clickhouse(engine_dir: Path) -> Iterator[Client]:
    """A client of the engine in this process. It is empty at first and shared by all tests."""
    client = open_clickhouse(Settings(embedded_dir=engine_dir, clickhouse_dsn=None))
    yield client
    client.close()
    close_engine()


@pytest.fixture
def make_settings(tmp_path: Path, cache_dir: Path) -> MakeSettings:
    """Settings for one test: state and embedded parts in its own directory, the rest as asked."""

    def make(**given: Any) -> Settings:
        own = {
            "state_dir": tmp_path / "state",
            "embedded_dir": tmp_path / "embedded",
            "cache_dir": cache_dir,
        }
        return Settings(**(own | given))

    return make


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No HEADROOM_ variable of the person who runs the tests reaches the test."""
    for name in list(os.environ):
        if name.upper().startswith("HEADROOM_"):
            monkeypatch.delenv(name)
    return monkeypatch


_MISTREATED = ("tests/faults/", "tests/worker/")
"""Whose brokers and workers are killed and frozen: the longest tests."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Pure tests first: they take seconds, and what they find needs no broker to understand.

    In several processes they come last, and fill what is left of each while the longest end.
    """
    shared_out = hasattr(config, "workerinput")
    items.sort(key=_rank if shared_out else _is_connected)


def _is_connected(item: pytest.Item) -> bool:
    return item.get_closest_marker("connected") is not None


def _rank(item: pytest.Item) -> int:
    if item.nodeid.startswith(_MISTREATED):
        return 0
    return 1 if _is_connected(item) else 2


class _SharedOut(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Where several processes share the tests, those with real parts stay together by directory.

    So what is killed and frozen is so in two processes at most, and can be timed in spite of the
    others. A process has a broker and an engine of its own from the first test that asks for them.
    xdist's own groups have no effect in pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _group_of(file) or nodeid

    def remove_node(self, node: Any) -> str | None:
        """What a process died of is not tried again in the next one, as xdist would."""
        for tests in self.assigned_work[node].values():
            for nodeid, is_done in tests.items():
                if not is_done:
                    tests[nodeid] = True
                    super().remove_node(node)
                    return str(nodeid)
        return super().remove_node(node)  # type: ignore[no-any-return]  # untyped


@cache
def _group_of(file: str) -> str | None:
    """Where the tests of a file stay together; None: anywhere, one by one."""
    if "pytest.mark.connected" not in (_ROOT / file).read_text(encoding="utf-8"):
        return None
    return str(Path(file).parent)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _SharedOut:
    """How the tests are shared out over several processes: in the order in which they stand."""
    config.option.loadscopereorder = False
    return _SharedOut(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test that used our broker shows what the broker logged last."""
    report = yield
    broker = item.config.stash.get(_BROKER, None)
    used = "kafka" in getattr(item, "fixturenames", ())
    if call.when == "call" and report.failed and used and broker is not None:
        lines = broker.log.read_text(encoding="utf-8", errors="replace").splitlines()
        report.sections.append((f"{broker.log}", "\n".join(lines[-_LOG_LINES:])))
    return report
