"""Reads procedures from TOML, and finds what is wrong in them, every fault with its place."""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Iterator, Mapping
from itertools import combinations, pairwise
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from agents.dunning.law import Kind
from agents.dunning.procedure import ALWAYS, HANDOVERS, Channel, Procedure, ProcedureBook, Step
from schemas.dates import day_of

_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,4})?")


class ProcedureTextError(ValueError):
    """Procedures cannot be used; the message tells every fault: which file, where, and why."""


def parse_procedures(texts: Mapping[str, str]) -> ProcedureBook:
    """The procedures in these files: TOML texts by their names without `.toml`, which is also that
    of the procedure.

    Raises:
        ProcedureTextError: naming each file, the place in it, and what is wrong.
    """
    faults: list[str] = []
    found = []
    for name, text in texts.items():
        try:
            read = _Procedure.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            faults.append(f"{name}.toml: {error}")
            continue
        except ValidationError as error:
            faults += [f"{name}.toml: {_place(one['loc'])}: {one['msg']}" for one in error.errors()]
            continue
        faults += [f"{name}.toml: {fault}" for fault in _faults(read)]
        found.append(_procedure(name, read))
    faults += _conflicts(found)
    if faults:
        raise ProcedureTextError("\n".join(faults))
    special = sorted(
        found, key=lambda one: (not one.segments, not one.countries, -one.valid_from, one.name)
    )
    return ProcedureBook(tuple(special))


# ── what may stand in a file ────────────────────────────────────────────────────────────────────


def _amount(text: str) -> str:
    if _AMOUNT.fullmatch(text) is None:
        raise ValueError('write an amount as text, as in "12.50"')
    return text


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Step(_Part):
    days: int = Field(ge=-30, le=1000)
    from_sent: bool = False
    channels: list[Channel] = Field(min_length=1)
    template: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    minimum: Annotated[str, AfterValidator(_amount)] = "0"
    interest: bool = False
    costs: bool = False
    notice: bool = False
    blocks_orders: bool = False
    proposed: bool = False
    pay_within_days: int = Field(default=7, ge=1, le=90)


class _Procedure(_Part):
    kind: Kind
    segments: list[str] = []
    countries: list[Annotated[str, Field(pattern="^[A-Z]{2}$")]] = []
    min_days_between: int = Field(default=7, ge=1, le=90)
    valid_from: dt.date | None = None
    second_chance: bool = True
    plan_tolerance_days: int = Field(default=0, ge=0, le=30)
    steps: list[_Step] = Field(min_length=1)


def _place(steps: tuple[int | str, ...]) -> str:
    """Steps are counted as levels are, from 1."""
    return ".".join(str(one + 1) if isinstance(one, int) else one for one in steps)


# ── what must hold between settings ─────────────────────────────────────────────────────────────


def _faults(read: _Procedure) -> Iterator[str]:
    steps = list(enumerate(read.steps, start=1))
    if read.steps[0].from_sent:
        yield "steps.1.from_sent: there is no step before the first"
    for (_, before), (level, step) in pairwise(steps):
        if step.from_sent and step.days < read.min_days_between:
            yield f"steps.{level}.days: less than min_days_between ({read.min_days_between})"
        if not step.from_sent and not before.from_sent and step.days <= before.days:
            yield f"steps.{level}.days: not later than the step before ({before.days})"
        if before.blocks_orders and not step.blocks_orders:
            yield f"steps.{level}.blocks_orders: the step before blocks already"
        if set(HANDOVERS) & set(before.channels):
            yield f"steps.{level}: nothing follows a handover"
    noticed = False
    for level, step in steps:
        if step.notice and step.costs:
            yield f"steps.{level}.costs: the notice itself may ask for none"
        if step.costs and read.kind == "b2c" and not noticed:
            yield f"steps.{level}.costs: a consumer must have had the notice in a step before"
        if step.days < 0 and (step.costs or step.interest or step.notice or step.blocks_orders):
            yield f"steps.{level}: before the due date nobody is late"
        noticed = noticed or step.notice


def _conflicts(found: list[Procedure]) -> Iterator[str]:
    """Two procedures that are equally special may not want the same customer on one day."""
    for one, other in combinations(found, 2):
        if one.kind != other.kind or one.valid_from != other.valid_from:
            continue
        if bool(one.segments) != bool(other.segments):
            continue
        if bool(one.countries) != bool(other.countries):
            continue
        segments = not one.segments or bool(one.segments & other.segments)
        countries = not one.countries or bool(one.countries & other.countries)
        if segments and countries:
            yield f"{other.name}.toml: wants the same customers as {one.name}.toml"


def _procedure(name: str, read: _Procedure) -> Procedure:
    return Procedure(
        name=name,
        kind=read.kind,
        segments=frozenset(read.segments),
        countries=frozenset(read.countries),
        min_days_between=read.min_days_between,
        valid_from=ALWAYS if read.valid_from is None else day_of(read.valid_from),
        second_chance=read.second_chance,
        plan_tolerance_days=read.plan_tolerance_days,
        steps=tuple(
            Step(**(step.model_dump() | {"level": level, "channels": tuple(step.channels)}))
            for level, step in enumerate(read.steps, start=1)
        ),
    )
