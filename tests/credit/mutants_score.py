"""Prints what `make mutants` found: the score of every module, then the mutants that survived.

Mutants that the type checker refuses are told apart and do not count: no test is needed for what
cannot be written.
"""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterator
from difflib import ndiff
from pathlib import Path

_FOUND = Path("mutants")
_SURVIVED, _NO_TESTS, _REFUSED, _NOT_RUN = 0, 33, 37, None
"""Exit codes in what mutmut stores; any other is that of a test run that failed or hung."""


def main() -> None:
    results = {
        path.with_suffix("").relative_to(_FOUND): json.loads(path.read_text())["exit_code_by_key"]
        for path in sorted(_FOUND.rglob("*.py.meta"))
    }
    total: Counter[str] = Counter()
    for module, exit_codes in results.items():
        score = Counter(map(_outcome, exit_codes.values()))
        if score:
            print(_line(str(module), score))
            total += score
    print(_line("all", total))
    for module, exit_codes in results.items():
        survivors = [key for key, code in exit_codes.items() if _outcome(code) == "survived"]
        if survivors:
            print(f"\n{module}")
            for function, change in _changes(_FOUND / module, survivors):
                print(f"  {function}: {change}")


def _outcome(exit_code: int | None) -> str:
    if exit_code is _NOT_RUN:
        return "not run"
    if exit_code in (_SURVIVED, _NO_TESTS):
        return "survived"
    return "refused" if exit_code == _REFUSED else "killed"


def _line(what: str, score: Counter[str]) -> str:
    tested = score["killed"] + score["survived"]
    share = f"{score['killed'] / tested:.1%}" if tested else "-"
    return (
        f"{what:40} killed {score['killed']:5} of {tested:5}  {share:>6}"
        f"   refused by the type checker {score['refused']:5}   not run {score['not run']:5}"
    )


def _changes(module: Path, survivors: list[str]) -> Iterator[tuple[str, str]]:
    """The function of each survivor, and what is otherwise in it."""
    source = module.read_text(encoding="utf-8")
    lines = source.splitlines()
    functions = {
        node.name: lines[node.lineno : node.end_lineno]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
    }
    for key in survivors:
        mutant = key.rpartition(".")[2]
        function = mutant.partition("__mutmut_")[0]
        before, after = functions[f"{function}__mutmut_orig"], functions[mutant]
        change = [line for line in ndiff(before, after) if line[0] in "-+"]
        yield function.lstrip("x").strip("_ǁ"), "  ".join(map(_squeezed, change))


def _squeezed(line: str) -> str:
    return f"{line[0]} {line[1:].strip()}"


if __name__ == "__main__":
    main()
