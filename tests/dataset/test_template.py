import pytest

from delt_exp.dataset.base import Document
from delt_exp.dataset.template import DocumentTemplate, Template
from delt_exp.errors import ConfigError, DataError

RECORD = {"question": "1+1?", "answer": "2", "turns": ["hi", "ho"], "meta": {"title": "sums"}, "id": 7, "none": None}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("{question}", "1+1?"),
        ("Q: {question}\nA: {answer}", "Q: 1+1?\nA: 2"),
        ("{turns[1]} {meta[title]}", "ho sums"),
        ("{{{answer}}}", "{2}"),
    ],
)
def test_a_template_joins_fields(pattern, text):
    assert Template("text", pattern).render(RECORD, "f:1") == text


def test_a_prompt_is_kept_apart_from_the_text():
    template = DocumentTemplate("{answer}", "{question}\n")
    assert template.render(RECORD, "f:1", "sums") == Document("2", "1+1?\n", "sums")
    assert template.fields == {"answer", "question"}


@pytest.mark.parametrize("pattern", ["plain words", "{answer", "{answer!r}", "{answer:>5}", "{}", "{answer.real}x{"])
def test_a_template_that_cannot_be_filled_in_is_a_config_error_naming_the_setting(pattern):
    with pytest.raises(ConfigError, match=r"^prompt="):
        Template("prompt", pattern)


def test_an_attribute_is_not_reached():
    with pytest.raises(DataError, match=r"missing"):
        Template("text", "{answer.__class__}").render(RECORD, "f:1")


@pytest.mark.parametrize("pattern", ["{body}", "{turns[2]}", "{turns[x]}", "{meta[body]}", "{answer[0]}"])
def test_a_missing_field_names_the_place_the_field_and_the_fields_there(pattern):
    with pytest.raises(DataError) as caught:
        Template("text", pattern).render(RECORD, "data.jsonl:12")
    message = str(caught.value)
    assert message.startswith("data.jsonl:12: ")
    assert pattern in message
    assert "question, answer, turns, meta, id, none" in message


@pytest.mark.parametrize(
    ("pattern", "kind"), [("{id}", "int"), ("{none}", "null"), ("{turns}", "list"), ("{meta}", "dict")]
)
def test_a_field_that_is_not_text_is_an_error(pattern, kind):
    with pytest.raises(DataError, match=rf"^f:3: .*{pattern.strip('{}')}.* is {kind}, not text"):
        Template("text", pattern).render(RECORD, "f:3")


def test_half_a_surrogate_pair_is_an_error():
    with pytest.raises(DataError, match=r"^f:1: .*half a character"):
        Template("text", "{a}").render({"a": "\ud800"}, "f:1")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(r"{answer}\n", "yes\n"), (r"a\t{answer}", "a\tyes"), (r"\\n{answer}", r"\nyes"), ("{answer}\n", "yes\n")],
)
def test_escapes_mean_what_is_typed_on_a_command_line(pattern, text):
    assert Template("prompt", pattern).render({"answer": "yes"}, "f:1") == text


@pytest.mark.parametrize("pattern", [r"\q{answer}", "{answer}\\"])
def test_another_backslash_is_refused_with_a_cure(pattern):
    with pytest.raises(ConfigError, match=r"means nothing here. Write a backslash as two"):
        Template("prompt", pattern)


def test_a_backslash_in_a_field_stays():
    assert Template("text", r"{answer}\n").render({"answer": r"\n"}, "f:1") == "\\n\n"
