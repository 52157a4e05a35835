"""Pictures of the dashboards, with what a real run gives: `make dashboards-preview`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from deploy.asking import DASHBOARDS, Sources, panels_of, read
from deploy.certificates import certificate
from deploy.drawing import draw
from deploy.real_run import RealRun
from streams.settings import user_cache_directory

_HISTORY_DAYS = 180


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--out", type=Path, default=Path(".headroom/dashboards"), help="directory")
    asked.add_argument("--seconds", type=float, default=120, help="for how long orders come in")
    wanted = asked.parse_args()
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        print("needs prometheus: apt-get install prometheus", file=sys.stderr)
        return 2
    wanted.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="headroom-preview-") as directory:
        authority, _ = certificate(Path(directory), "authority", 200)
        place, cache = Path(directory), user_cache_directory()
        run = RealRun(place, cache, Path(prometheus).parent, authority)
        try:
            run.take_orders(wanted.seconds)
            run.wait_until_looked_at()
            draw_all(
                Sources(
                    run.prometheus,
                    run.clickhouse,
                    since=run.began,
                    until=time.time(),
                    days=_HISTORY_DAYS,
                    step=2,
                ),
                wanted.out,
            )
        finally:
            run.close()
    return 0


def draw_all(sources: Sources, out: Path) -> None:
    for path in DASHBOARDS:
        board = read(path)
        values = sources.chosen(board)
        asked = [
            (panel, [sources.answer(one, values) for one in panel["targets"]])
            for panel in panels_of(board)
        ]
        picture = out / f"{path.stem}.png"
        draw(board, asked, values, picture)
        print(picture)


if __name__ == "__main__":
    sys.exit(main())
