"""Letters say what a step asks, in the customer's language; no word of a customer's is HTML."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from notify.letters import CREDITOR, a_step

from agents.notify.rendering import LANGUAGES, MissingTextError
from agents.notify.texts_file import load_texts
from agents.procedure_files import load_procedures
from streams.errors import ConfigurationError

TEXTS = load_texts(None, load_procedures(None))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("template", sorted({name for _, name in TEXTS.texts}))
def test_every_text_is_there_in_every_language_and_says_what_is_asked(
    language: str, template: str
) -> None:
    step = a_step(language=language, template=template)
    letter = TEXTS.render(step, CREDITOR)
    assert letter.language == language
    assert "I-300, I-310" in letter.subject
    amounts = {"nl": "1.600,51", "fr": "1\u202f600,51", "de": "1.600,51", "en": "1,600.51"}
    for said in (letter.text, letter.html):
        assert amounts[language] in said  # 1512.50 + 80.00 + 7.99 + 0.02
        assert CREDITOR.iban in said
        assert "I-310" in said
        assert "Bakkerij De Vries" in said
        assert "{{" not in said


def test_a_letter_in_plain_text() -> None:
    letter = TEXTS.render(
        a_step(language="en"), CREDITOR, invoice_url="https://x.example/{invoice_id}"
    )
    assert letter.subject == "Pay within fourteen days without costs: I-300, I-310"
    assert letter.text == (Path(__file__).parent / "letter_en.txt").read_text(encoding="utf-8")


def test_a_notice_names_what_the_costs_will_be() -> None:
    assert "€238.88 of collection costs" in TEXTS.render(a_step(language="en"), CREDITOR).text


def test_the_time_to_pay_runs_from_another_day_for_a_letter_than_for_a_mail() -> None:
    """Economic law code (Belgium), art. XIX.2: the third working day after a letter was sent."""
    step = a_step(language="en", template="first_reminder")
    assert "the day after we sent this message" in TEXTS.render(step, CREDITOR).text
    posted = TEXTS.render(replace(step, channel="letter"), CREDITOR)
    assert "the third working day after we sent this letter" in posted.text


def test_a_name_is_text_and_not_html() -> None:
    step = a_step(name="<script>alert(1)</script> & Sons", language="en")
    letter = TEXTS.render(step, CREDITOR)
    assert "<script>" not in letter.html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; Sons" in letter.html
    assert "Dear <script>alert(1)</script> & Sons," in letter.text


def test_a_name_is_not_taken_as_a_template() -> None:
    letter = TEXTS.render(a_step(name="{{ creditor.iban }}", language="en"), CREDITOR)
    assert "Dear {{ creditor.iban }}," in letter.text


def test_an_id_does_not_break_out_of_a_link() -> None:
    step = a_step()
    odd = replace(step.invoices[0], invoice_id='I/1?a="b"')
    letter = TEXTS.render(
        replace(step, invoices=[odd]), CREDITOR, invoice_url="https://x.example/{invoice_id}"
    )
    assert "https://x.example/I%2F1%3Fa%3D%22b%22" in letter.html


def test_who_has_another_language_is_written_to_in_english() -> None:
    assert TEXTS.render(a_step(language="pl"), CREDITOR).language == "en"


def test_a_letter_on_paper_has_a_date_and_the_code_in_it() -> None:
    letter = TEXTS.render(a_step(language="en"), CREDITOR, on_paper=True)
    assert "<p>8 April 2026</p>" in letter.html
    assert '<img src="data:image/png;base64,iVBOR' in letter.html


def test_a_text_message_is_one_line() -> None:
    assert TEXTS.render(a_step(language="nl", template="friendly_reminder"), CREDITOR).short == (
        "Noorderlicht Groothandel: Herinnering: I-300, I-310. Te betalen € 1.600,51. Betaal "
        "alstublieft uiterlijk op 15 april 2026. Per overschrijving op NL91ABNA0417164300 van "
        "Noorderlicht Groothandel, onder vermelding van RF528456741212."
    )


def test_more_than_three_invoices_are_counted_in_the_subject() -> None:
    step = a_step(language="en")
    many = [replace(step.invoices[0], invoice_id=f"I-{n}") for n in range(5)]
    letter = TEXTS.render(replace(step, invoices=many), CREDITOR)
    assert letter.subject.endswith("I-0, I-1, I-2 (+2)")
    assert len(re.findall(r"^Invoice I-", letter.text, re.MULTILINE)) == 5


def test_a_text_that_nobody_wrote_is_named() -> None:
    with pytest.raises(MissingTextError, match=r"no text 'of_ours' in nl"):
        TEXTS.render(a_step(template="of_ours"), CREDITOR)


def test_an_installation_replaces_texts_and_labels_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "en.toml").write_text(
        "[labels]\nclosing = 'Yours,'\n"
        "[coming_due]\nsubject = 'Heads up'\ntext = '''First.\n\nSecond, {{ name }}.'''\n"
    )
    texts = load_texts(tmp_path)
    letter = texts.render(a_step(template="coming_due", language="en"), CREDITOR)
    assert letter.subject == "Heads up"
    assert "<p>First.</p>\n<p>Second, Bakkerij De Vries.</p>" in letter.html
    assert "Yours,\nNoorderlicht" in letter.text
    assert texts.texts["en", "second_reminder"] == TEXTS.texts["en", "second_reminder"]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("en.toml", "[a]\nsubject = 'x'", "en.toml: a: Object missing required field `text`"),
        ("en.toml", "[a]\nsubject = 1\ntext = 'x'", "en.toml: a: Expected `str`, got `int`"),
        ("en.toml", "[a]\nsubject = '{% if %}'\ntext = ''", "en.toml: a: Expected an expression"),
        ("en.toml", "[a]\nsubject = '{{ iben }}'\ntext = ''", "en.toml: a: 'iben' is undefined"),
        ("en.toml", "[labels]\nopen = 1", "en.toml: labels: Expected `str`, got `int`"),
        ("en.toml", "[a", "en.toml: Expected"),
        ("pl.toml", "[a]", "pl.toml: no such language (nl, fr, de, en)"),
        ("letter.txt.j2", "{% for %}", "letter.txt.j2: Expected"),
        ("letter.html.j2", "{{ labels.hello }}", "letter.html.j2: "),
    ],
)
def test_a_fault_in_a_text_is_told_with_its_place_when_texts_are_loaded(
    name: str, content: str, told: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigurationError) as raised:
        load_texts(tmp_path)
    assert told in str(raised.value)


def test_a_text_that_a_procedure_names_and_nobody_wrote_is_told(tmp_path: Path) -> None:
    shipped = Path("agents/dunning/procedures/friendly-b2b.toml").read_text(encoding="utf-8")
    (tmp_path / "own.toml").write_text(shipped.replace("friendly_reminder", "of_ours"))
    with pytest.raises(ConfigurationError) as raised:
        load_texts(None, load_procedures(tmp_path))
    assert str(raised.value).splitlines() == [
        f"{language}.toml: no text 'of_ours', which a procedure names" for language in LANGUAGES
    ]
