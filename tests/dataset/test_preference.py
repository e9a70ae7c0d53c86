"""Every published form of a preference becomes a chosen side and a rejected answer; what is unusable is counted."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.dataset.base import Document, Part
from delt_exp.dataset.jsonl import Jsonl
from delt_exp.dataset.mixture import Mixture, size_bytes
from delt_exp.dataset.parquet import Parquet
from delt_exp.dataset.records import Records
from delt_exp.dataset.shard import Shard
from delt_exp.dataset.spoiled import Spoiled
from delt_exp.errors import ConfigError, DataError
from tests.helpers import ListDataset, make_corpus

OPEN = (Part("user", "Why?"),)
CHOSEN = Document(source="s", turns=(*OPEN, Part("assistant", "So.")), rejected="No.")
SETTINGS = {"text": "{a}", "prompt": None, "messages": None, "rejected": "{b}", "winner": None,
            "null_as_empty": False, "numbers_as_text": False}  # fmt: skip
FILE = {"split": None, "name": "s", "max_documents": None}


def read(record, **settings):
    return Records(**{**SETTINGS, **settings}).template.render(record, "f:1", "s")


def said(*contents):
    return [{"role": ("user", "assistant")[i % 2], "content": content} for i, content in enumerate(contents)]


def test_two_texts_after_a_prompt():
    document = read({"q": "Why?", "a": "So.", "b": "No."}, prompt="{q}\n")
    assert document == Document("So.", "Why?\n", "s", rejected="No.")
    assert document.parts == (Part("prompt", "Why?\n"), Part("text", "So."))


@pytest.mark.parametrize(
    "record",
    [
        {"m": said("Why?", "So."), "r": said("Why?", "No.")},
        {"m": "\n\nHuman: Why?\n\nAssistant: So.", "r": "\n\nHuman: Why?\n\nAssistant: No."},
        {"m": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}], "r": ["Why?", "No."]},
    ],
)
def test_two_conversations_with_one_beginning(record):
    assert read(record, messages="m", rejected="r") == CHOSEN


def test_two_answers_to_the_last_question_of_a_history():
    history = [["Why?", "So."]]
    document = read({"m": history, "q": "And?", "a": "Thus.", "b": "Not."}, messages="m", prompt="{q}")
    assert [turn.text for turn in document.turns] == ["Why?", "So.", "And?", "Thus."]
    assert document.rejected == "Not."


@pytest.mark.parametrize(("label", "chosen", "rejected"), [(1, "So.", "No."), (0, "No.", "So."), (True, "So.", "No.")])
def test_a_field_says_which_answer_was_preferred(label, chosen, rejected):
    document = read({"q": "Why?", "a": "So.", "b": "No.", "labels": label}, prompt="{q}\n\n", winner="labels")
    assert (document.text, document.rejected, document.prompt) == (chosen, rejected, "Why?\n\n")


@pytest.mark.parametrize(
    ("chosen", "rejected", "reasons"),
    [
        (said("Why?", "So."), said("Who?", "No."), ["preferences whose sides differ before the last answer"]),
        (said("Why?", "So."), said("Why?", "So.", "And?", "No."), [
            "preferences whose sides differ before the last answer"]),
        (said("Why?", "So."), said("Why?", "So."), ["preferences with the same answer twice"]),
        (said("Why?", "So."), said("Why?", " "), ["conversations with an empty turn"]),
        (said("Why?", "So."), said("Why?"), ["conversations without an assistant turn"]),
        (said("Why?", "So.", "Oh?"), said("Why?", "So.", "Ah?"), [
            "turns after the last answer", "preferences with the same answer twice"]),
    ],
)  # fmt: skip
def test_what_is_no_preference_is_left_out_with_its_reason(chosen, rejected, reasons):
    document = read({"m": chosen, "r": rejected}, messages="m", rejected="r")
    assert (document.turns, document.text, document.rejected) == ((), "", "")
    assert list(document.left_out) == reasons


@pytest.mark.parametrize("answers", [("", "No."), ("So.", " \n"), ("", "")])
def test_an_empty_answer_is_no_answer(answers):
    assert read(dict(zip("ab", answers, strict=True))).left_out == ("preferences with an empty answer",)


@pytest.mark.parametrize(
    ("record", "settings", "message"),
    [
        ({"a": "So."}, {}, r"f:1: rejected='\{b\}' needs the field 'b', which is missing"),
        ({"a": "So.", "b": 4}, {}, r"f:1: the field 'b' of rejected='\{b\}' is int, not text"),
        ({"m": said("Why?", "So.")}, {"messages": "m", "rejected": "r"}, r"f:1: rejected='r' names a field .* missing"),
        ({"m": said("Why?", "So."), "r": 3}, {"messages": "m", "rejected": "r"}, r"f:1: rejected='r' is not a convers"),
        ({"a": "So.", "b": "No."}, {"winner": "w"}, r"f:1: winner='w' names a field that is missing.* has: a, b"),
        ({"a": "So.", "b": "No.", "w": "tie"}, {"winner": "w"}, r"f:1: winner='w' is 'tie'; 1 says.*winner=null"),
    ],
)
def test_bad_input_is_an_error_with_place_setting_and_cure(record, settings, message):
    with pytest.raises(DataError, match=message):
        read(record, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"rejected": None, "winner": "w"}, "set rejected too"), ({"rejected": "b"}, "rejected='b' names no field")],
)
def test_settings_that_make_no_preference_are_refused_before_a_file_is_opened(settings, message):
    with pytest.raises(ConfigError, match=message):
        Jsonl(**{**FILE, **SETTINGS, **settings}, path="nowhere.jsonl", na_value=None)


def test_files_of_both_formats_give_the_same_preferences(tmp_path):
    rows = [{"q": f"{i}?", "a": f"a{i}", "b": f"b{i}", "other": i} for i in range(3)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    settings = {**FILE, **SETTINGS, "prompt": "{q}"}
    documents = [
        list(Jsonl(**settings, path=str(tmp_path / "a.jsonl"), na_value=None).documents()),
        list(Parquet(**settings, path=str(tmp_path / "a.parquet")).documents()),
    ]
    assert documents[0] == documents[1] == [Document(f"a{i}", f"{i}?", "s", rejected=f"b{i}") for i in range(3)]


def test_a_missing_column_is_named_with_the_columns_there_are(tmp_path):
    pq.write_table(pa.table({"a": ["So."]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"no column 'b', which one of text, .*rejected.* names"):
        list(Parquet(**FILE, **SETTINGS, path=str(tmp_path / "a.parquet")).documents())


def test_the_corpus_counts_by_reason_what_was_no_preference(tmp_path):
    documents = [read(dict(zip("ab", answers, strict=True))) for answers in [("x", "y"), ("x", "x"), ("", "y")]]
    corpus = make_corpus(tmp_path, documents)
    assert corpus.meta["left_out"] == {
        "preferences with an empty answer": 1,
        "preferences with the same answer twice": 1,
    }
    assert (len(corpus), corpus.num_preferences) == (1, 1)


class TestReadersOfReaders:
    preferences = ListDataset([Document(f"chosen {i}", f"{i}?", rejected=f"rejected {i}") for i in range(8)])

    def test_mixtures_and_shards_keep_both_sides(self):
        mixed = Mixture({"one": Shard(self.preferences, 2, [1], None)}, None, "bytes", "first", None, None)
        assert [document.rejected for document in mixed.documents()] == [f"rejected {i}" for i in (1, 3, 5, 7)]
        assert size_bytes(Document("cc", "p", rejected="rrrr")) == 3  # the chosen side

    def test_a_spoiled_preference_has_a_worse_chosen_answer_and_its_rejected_one(self):
        foreign = ListDataset(["z" * 40] * 4)
        spoiled = Spoiled(
            self.preferences,
            foreign,
            ratio=0.5,
            max_documents=None,
            kinds=["shuffled", "garbled", "repeated", "other domain"],
            seed=0,
        )
        for before, after in zip(self.preferences.documents(), spoiled.documents(), strict=True):
            assert (after.prompt, after.rejected) == (before.prompt, before.rejected)
            assert (after.text == before.text) == (after.source == "clean")
