"""Procedures are data: whose they are, what their steps are; a fault is named with its place."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.dunning.law import Kind
from agents.dunning.procedure import Procedure, ProcedureBook
from agents.dunning.procedure_text import ProcedureTextError, parse_procedures
from agents.procedure_files import load_procedures
from streams.errors import ConfigurationError

SHIPPED = load_procedures(None)
STEP = '[[steps]]\ndays = {days}\nchannels = ["email"]\ntemplate = "t"\n'


def one(*steps: str, kind: str = "b2b", head: str = "") -> str:
    return f'kind = "{kind}"\n{head}\n' + "".join(steps)


def step(days: int, *more: str) -> str:
    return STEP.format(days=days) + "".join(f"{line}\n" for line in more)


def faults(text: str, **others: str) -> list[str]:
    with pytest.raises(ProcedureTextError) as found:
        parse_procedures({"p": text, **others})
    return str(found.value).split("\n")


def parsed(text: str) -> Procedure:
    return parse_procedures({"p": text}).procedures[0]


def name_of(book: ProcedureBook, kind: Kind, segment: str, country: str) -> str | None:
    found = book.of(kind, segment, country, 0)
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("kind", "segment", "country", "name"),
    [
        ("b2b", "", "NL", "friendly-b2b"),
        ("b2b", "strict", "BE", "strict-b2b"),
        ("b2b", "other", "US", "friendly-b2b"),
        ("b2c", "", "NL", "consumer-nl"),
        ("b2c", "strict", "BE", "consumer-be"),
        ("b2c", "", "DE", None),
    ],
)
def test_each_customer_has_the_procedure_of_its_kind_segment_and_country(
    kind: Kind, segment: str, country: str, name: str | None
) -> None:
    assert name_of(SHIPPED, kind, segment, country) == name


def test_the_more_special_one_comes_first_whatever_the_order_of_the_files() -> None:
    texts = {
        "all": one(step(1)),
        "belgium": one(step(1), head='countries = ["BE"]'),
        "key": one(step(1), head='segments = ["key"]'),
        "key-be": one(step(1), head='segments = ["key"]\ncountries = ["BE"]'),
    }
    for names in (list(texts), list(reversed(texts))):
        book = parse_procedures({name: texts[name] for name in names})
        assert name_of(book, "b2b", "key", "BE") == "key-be"
        assert name_of(book, "b2b", "key", "NL") == "key"
        assert name_of(book, "b2b", "", "BE") == "belgium"
        assert name_of(book, "b2b", "", "NL") == "all"


def test_steps_are_levels_from_one() -> None:
    read = parsed(one(step(-3), step(5, 'minimum = "12.50"'), step(10, "interest = true")))
    assert [(each.level, each.days) for each in read.steps] == [(1, -3), (2, 5), (3, 10)]
    assert read.steps[1].minimum == "12.50"
    assert read.steps[2].interest
    assert read.min_days_between == 7


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("kind = ", "p.toml: Invalid value (at end of document)"),
        ('kind = "b2b"', "p.toml: steps: Field required"),
        (one(step(1), kind="b2d"), "p.toml: kind: Input should be 'b2b' or 'b2c'"),
        (one(step(1, "colour = 1")), "p.toml: steps.1.colour: Extra inputs are not permitted"),
        (
            one(step(1), step(2).replace('"email"', '"fax"')),
            (
                "p.toml: steps.2.channels.1: Input should be 'email', 'sms', 'letter', 'phone', "
                "'agency' or 'legal'"
            ),
        ),
        (
            one(step(1, 'minimum = "1,50"')),
            'p.toml: steps.1.minimum: Value error, write an amount as text, as in "12.50"',
        ),
        (one(step(5), step(5)), "p.toml: steps.2.days: not later than the step before (5)"),
        (
            one(step(5), step(3, "from_sent = true")),
            "p.toml: steps.2.days: less than min_days_between (7)",
        ),
        (
            one(step(5, "from_sent = true")),
            "p.toml: steps.1.from_sent: there is no step before the first",
        ),
        (
            one(step(1, "blocks_orders = true"), step(9)),
            "p.toml: steps.2.blocks_orders: the step before blocks already",
        ),
        (
            one(step(1).replace("email", "agency"), step(9)),
            "p.toml: steps.2: nothing follows a handover",
        ),
        (
            one(step(-1, "interest = true")),
            "p.toml: steps.1: before the due date nobody is late",
        ),
        (
            one(step(1), step(20, "costs = true"), kind="b2c"),
            "p.toml: steps.2.costs: a consumer must have had the notice in a step before",
        ),
        (
            one(step(1, "notice = true", "costs = true"), kind="b2c"),
            "p.toml: steps.1.costs: the notice itself may ask for none",
        ),
    ],
)
def test_a_fault_is_named_with_its_place(text: str, fault: str) -> None:
    assert fault in faults(text)


def test_every_fault_is_told_at_once() -> None:
    text = one(step(5), step(5), step(2, 'minimum = "x"'))
    assert len(faults(one(step(5), step(5), step(2)), q=text)) == 3


def test_two_procedures_may_not_want_the_same_customers() -> None:
    said = faults(one(step(1)), q=one(step(2)))
    assert said == ["q.toml: wants the same customers as p.toml"]
    special = one(step(1), head='segments = ["a", "b"]')
    assert faults(special, q=one(step(1), head='segments = ["b"]')) == [
        "q.toml: wants the same customers as p.toml"
    ]
    parse_procedures({"p": special, "q": one(step(1), head='segments = ["c"]')})


@given(
    st.sampled_from(["b2b", "b2c"]),
    st.sampled_from(["", "strict", "x"]),
    st.sampled_from(["NL", "BE", "DE"]),
)
def test_no_shipped_procedure_charges_a_consumer_before_the_notice(
    kind: Kind, segment: str, country: str
) -> None:
    found = SHIPPED.of(kind, segment, country, 0)
    if found is None or found.kind == "b2b":
        return
    first = next(each.level for each in found.steps if each.costs)
    assert any(each.notice for each in found.steps[: first - 1])


def test_files_are_found_and_their_faults_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("procedures")
    with pytest.raises(ConfigurationError, match="no procedures"):
        load_procedures(directory)
    (directory / "mine.toml").write_text(one(step(4)), "utf-8")
    assert [each.name for each in load_procedures(directory).procedures] == ["mine"]
    (directory / "other.toml").write_text(one(step(4)), "utf-8")
    with pytest.raises(ConfigurationError, match=r"other\.toml: wants the same"):
        load_procedures(directory)


def test_all_that_ship_are_worked_examples_with_a_word_before() -> None:
    shipped = files("agents.dunning") / "procedures"
    names = {path.name.removesuffix(".toml") for path in shipped.iterdir()}
    assert names == {"friendly-b2b", "strict-b2b", "consumer-nl", "consumer-be"}
    assert all(path.read_text("utf-8").startswith("# ") for path in shipped.iterdir())
