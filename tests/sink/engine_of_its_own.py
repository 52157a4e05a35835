"""An engine with a configuration file, which a process can have only once: so each is a process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import clickhouse_connect

_TESTS = Path(__file__).parents[1]
_ANYTHING = "<access_management>1</access_management>"


def in_engine(
    directory: Path, trial: Callable[..., Any], *given: Any, users: str = "", default: str = ""
) -> Any:
    """What the trial answers, a function of a module, when it gets the engine's client.

    What it is given and answers goes through JSON. The engine keeps its rows in the directory. It
    has a cluster `two` of two shards, which both are this engine. `users` and the rights of
    `default`, as whom the trial asks (else it may do anything), are in the words of users.xml.
    """
    directory.mkdir(exist_ok=True)
    config, users_file = directory / "config.xml", directory / "users.xml"
    shard = (
        "<shard><internal_replication>true</internal_replication>"
        "<replica><host>{}</host><port>9000</port></replica></shard>"
    )
    config.write_text(
        "<clickhouse><tcp_port>9000</tcp_port><remote_servers><two>"
        + "".join(shard.format(host) for host in ("127.0.0.1", "localhost"))
        + f"</two></remote_servers><users_config>{users_file}</users_config></clickhouse>"
    )
    anyone = "<networks><ip>::/0</ip></networks><quota>default</quota><profile>default</profile>"
    users_file.write_text(
        "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default>"
        f"<password></password>{anyone}{default or _ANYTHING}</default>{users}</users></clickhouse>"
    )
    done = subprocess.run(
        [
            sys.executable, "-m", "sink.engine_of_its_own", str(directory / "data"), str(config),
            trial.__module__, trial.__name__,
        ],
        input=json.dumps(given), capture_output=True, text=True, check=False, timeout=600,
        env={"PYTHONPATH": f"{_TESTS}:{_TESTS.parent}", "TZ": "UTC"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def user(name: str, grants: list[str]) -> str:
    """A user of users.xml who may so much."""
    return (
        f"<{name}><no_password/><networks><ip>::/0</ip></networks><quota>default</quota>"
        f"<profile>default</profile>{granted(grants)}</{name}>"
    )


def granted(grants: list[str]) -> str:
    """Rights of a user of users.xml."""
    return "<grants>" + "".join(f"<query>{one}</query>" for one in grants) + "</grants>"


def _answer(data: str, config: str, module: str, trial: str) -> None:
    client = clickhouse_connect.get_client(
        interface="chdb", path=data, chdb_options={"config-file": config}
    )
    answer = getattr(import_module(module), trial)(client, *json.load(sys.stdin))
    print(json.dumps(answer))
    client.close()


if __name__ == "__main__":
    _answer(*sys.argv[1:])
