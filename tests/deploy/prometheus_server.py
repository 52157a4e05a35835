"""Debian's Prometheus, scraping every second."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from streams.embedded.ports import LOOPBACK, free_ports

_RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


class Prometheus:
    """With the rules of the house, on a port of its own.

    Args:
        tools: where the program is.
        directory: for its files; it is made.
        ports: whom to ask, by job.
    """

    def __init__(self, tools: Path, directory: Path, ports: Mapping[str, list[int]]) -> None:
        (port,) = free_ports(1, [])
        self._url = f"http://{LOOPBACK}:{port}"
        directory.mkdir()
        example = yaml.safe_load((_RULES / "prometheus.yml").read_text())
        example["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        for name in example["rule_files"]:
            (directory / name).write_text(_at_once((_RULES / name).read_text()))
        del example["alerting"]
        example["scrape_configs"] = [
            {
                "job_name": job,
                "static_configs": [{"targets": [f"{LOOPBACK}:{one}" for one in listening]}],
            }
            for job, listening in ports.items()
        ]
        (directory / "prometheus.yml").write_text(yaml.safe_dump(example))
        self._log = (directory / "log").open("ab")
        self._process = subprocess.Popen(
            [
                str(tools / "prometheus"),
                f"--config.file={directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address={LOOPBACK}:{port}",
            ],
            stdout=self._log,
            stderr=self._log,
        )

    def ask(self, path: str) -> Any:
        """The data of its answer, None while it gives none.

        Raises:
            ValueError: it refuses the question.
        """
        try:
            with urllib.request.urlopen(f"{self._url}/api/v1/{path}", timeout=5) as answer:  # noqa: S310
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refusal:
            raise ValueError(refusal.read().decode()) from refusal
        except OSError:
            return None

    def wait_for(self, path: str, is_so: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            found = self.ask(path)
            if found is not None and is_so(found):
                return found
            time.sleep(0.2)
        raise AssertionError(f"{path}: {json.dumps(found)[:2000]}")

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._log.close()


def _at_once(rules: str) -> str:
    """The same rules, each evaluated every second: those of the days would wait five minutes."""
    groups = yaml.safe_load(rules)
    for group in groups["groups"]:
        group.pop("interval", None)
    return yaml.safe_dump(groups)
