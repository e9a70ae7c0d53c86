"""A line says all of a document: what an export wrote is read back as it was."""

import json

import pytest
from hypothesis import given, settings

from delt_exp.dataset.base import Document, Part
from delt_exp.dataset.documents import Documents, document
from delt_exp.errors import DataError
from tests.export.test_export import documents, shown


def reader(path, name="mine"):
    return Documents(path=str(path), split=None, name=name, max_documents=None)


@settings(max_examples=40)
@given(documents)
def test_a_document_written_by_the_export_is_read_back_as_it_was(given):
    if given.rejected == given.text and given.rejected:
        return  # no preference
    row = {"id": "0", "position": 0, "score": 1.0, "source": given.source}
    row |= {"text": "", "prompt": "", "messages": [], "rejected": ""} | shown(given)
    assert document(json.loads(json.dumps(row)), "f:1", "") == given


def test_a_preference_between_conversations_is_read_in_both_of_its_forms():
    turns = (Part("user", "Why?"), Part("assistant", "So."))
    chosen = [{"role": role, "content": text} for role, text in turns]
    for rejected in ("No.", [chosen[0], {"role": "assistant", "content": "No."}]):
        read = document({"messages": chosen, "rejected": rejected}, "f:1", "mine")
        assert read == Document(source="mine", turns=turns, rejected="No.")


def test_the_source_of_a_line_comes_before_the_name_of_the_corpus(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one", "source": "news"}\n{"text": "two", "url": 3}\n{"text": ""}\n')
    assert list(reader(tmp_path / "a.jsonl").documents()) == [
        Document("one", source="news"),
        Document("two", source="mine"),
        Document("", source="mine"),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"body": "x"}', r"a\.jsonl:1: .*needs the field 'text', which is missing\. The record has: body"),
        ('{"text": 3}', r"a\.jsonl:1: the field 'text' is int, not text"),
        ('{"text": "x", "source": 3}', r"a\.jsonl:1: the field 'source' is int, not text"),
        ('{"text": "x", "messages": [{"role": "user"}]}', r"a\.jsonl:1: a conversation .*Leave out one"),
    ],
)
def test_a_line_that_is_no_document_is_an_error_with_its_place(tmp_path, line, message):
    (tmp_path / "a.jsonl").write_text(line + "\n")
    with pytest.raises(DataError, match=message):
        list(reader(tmp_path / "a.jsonl").documents())
