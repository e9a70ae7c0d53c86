"""Whatever holds the documents, the same documents are the same file; what is no corpus is refused with a cure."""

import numpy as np
import pandas as pd
import pytest

from delt_exp.corpus.writing import CorpusSettings
from delt_exp.errors import ConfigError, DataError
from delt_exp.notebook.corpora import chosen, records_of
from tests.helpers import make_corpus

TEXTS = ["One thing.", "Ça – \u2028 another\n", "three"]
DICTS = [{"text": text} for text in TEXTS]


def content(value):
    (choice,) = chosen("train_dataset", value)
    return choice.given.content


def dataset(rows):
    from datasets import Dataset

    return Dataset.from_list(rows)


@pytest.mark.parametrize(
    "value",
    [
        DICTS,
        tuple(TEXTS),
        (text for text in TEXTS),
        np.array(TEXTS),
        pd.Series(TEXTS, index=[7, 8, 9]),
        pd.DataFrame({"url": [1, 2, 3], "text": TEXTS}, index=list("abc")),
        pd.DataFrame({"text": TEXTS, "source": [None, "", np.nan]}),
        dataset(DICTS),
        [{"text": text, "prompt": "", "rejected": None, "messages": []} for text in TEXTS],
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_same_texts_in_any_container_are_the_same_file(value):
    assert content(value) == content(TEXTS)


def test_order_source_prompt_and_rejected_answer_tell_corpora_apart():
    others = [TEXTS[::-1], [*TEXTS[:2], {"text": "three", "source": "news"}]]
    others += [[*TEXTS[:2], {"text": "three", key: "two"}] for key in ("prompt", "rejected")]
    assert len({content(value) for value in [TEXTS, *others]}) == 5


def test_tables_of_conversations_and_preferences_are_read_as_lists_of_dicts_are():
    messages = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    rows = [{"messages": messages, "rejected": "No."}, {"messages": messages}]
    table = pd.DataFrame({"messages": [np.array(messages), messages], "rejected": ["No.", np.nan]})
    assert content(table) == content(rows)
    assert content(dataset(rows)) == content(rows)


def test_a_file_that_was_changed_by_hand_is_written_again(tmp_path):
    (choice,) = chosen("train_dataset", TEXTS)
    path = choice.given.write(tmp_path)
    assert path.name in choice.overrides[1]
    path.write_text("something else")
    assert choice.given.write(tmp_path) == path
    assert path.read_bytes() == choice.given.content


@pytest.mark.parametrize(
    ("value", "overrides"),
    [
        ("stdlib_prose", ["train_dataset=stdlib_prose"]),
        ("a.jsonl", ["train_dataset=jsonl", "train_dataset.path='a.jsonl'"]),
        ("a.jsonl.gz", ["train_dataset=jsonl", "train_dataset.path='a.jsonl.gz'"]),
        ("a.pq", ["train_dataset=parquet", "train_dataset.path='a.pq'"]),
        ("a.txt", ["train_dataset=text", "train_dataset.path='a.txt'"]),
        ("saved", ["train_dataset=hub", "train_dataset.repo='saved'"]),
    ],
)
def test_a_text_alone_names_an_option_or_a_file(tmp_path, value, overrides):
    (tmp_path / "saved").mkdir()
    for name in ("a.jsonl", "a.jsonl.gz", "a.pq", "a.txt", "saved/state.json"):
        (tmp_path / name).touch()
    (choice,) = chosen("train_dataset", value)
    assert choice.overrides == overrides
    if value != "stdlib_prose":
        assert chosen("train_dataset", tmp_path / value)[0].given is None


def test_evaluation_sets_have_the_names_that_they_are_given():
    none, first, second = chosen("eval_dataset", {"news": TEXTS, "prose": "stdlib_prose"})
    assert none.overrides == ["eval_dataset=[]"]
    assert first.overrides[0] == "+train_dataset@eval_dataset.news.dataset=documents"
    assert second.overrides[0] == "+train_dataset@eval_dataset.prose.dataset=stdlib_prose"
    assert "eval_dataset.heldout.dataset" in chosen("eval_dataset", TEXTS)[1].overrides[0]


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ([], DataError, r"train_dataset is empty; give at least one"),
        (["", " \n"], DataError, r"has 2 documents and none of them has text"),
        (["a", 3], DataError, r"train_dataset\[1\] is int, neither a text nor a dict with 'text'"),
        ([{"body": "a"}], DataError, r"train_dataset\[0\] has no 'text' and no 'messages'; it has body"),
        ([{"text": 3}], DataError, r"train_dataset\[0\]: the field 'text' is int, not text"),
        (["a", "\ud800"], DataError, r"train_dataset\[1\].* half a character"),
        (pd.DataFrame({"body": TEXTS}), DataError, r"no column 'text'.*its columns: body\. Rename .*to 'text'"),
        (
            pd.DataFrame({"text": ["a", None]}),
            DataError,
            r"train_dataset\[1\] has no 'text', which is null \(df.dropna",
        ),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), DataError, r"two columns of one name"),
        (5, ConfigError, r"train_dataset: int is not a corpus; give a list of texts"),
        ({"a": TEXTS}, ConfigError, r"train_dataset: dict is not a corpus"),
        ("gone.jsonl", DataError, r"train_dataset='gone.jsonl': there is no such file"),
        ("Some text.", DataError, r"train_dataset='Some text.': it is neither a file .*give a list of texts"),
    ],
)
def test_what_is_no_corpus_is_refused_with_its_place_and_a_cure(value, error, message):
    with pytest.raises(error, match=message):
        chosen("train_dataset", value)


@pytest.mark.parametrize(
    ("value", "message"), [({}, r"names no evaluation set"), ({"a b": TEXTS}, r"'a b' cannot name")]
)
def test_evaluation_sets_without_a_usable_name_are_refused(value, message):
    with pytest.raises(ConfigError, match=message):
        chosen("eval_dataset", value)


@pytest.mark.parametrize("drop_duplicates", [True, False])
def test_every_piece_of_a_document_leads_back_to_it(tmp_path, drop_duplicates):
    texts = ["first one here", "", "same", "a long document in pieces", "same"]
    (choice,) = chosen("train_dataset", texts)
    settings = CorpusSettings(max_document_chars=14, drop_duplicates=drop_duplicates)
    corpus = make_corpus(tmp_path, texts, max_document_chars=14, drop_duplicates=drop_duplicates)
    found = records_of(choice.given.write(tmp_path), settings, corpus.ids)
    assert found.tolist() == [0, 2, 3, 3] + ([] if drop_duplicates else [4])
    for row, record in enumerate(found):
        assert corpus.document(row).text in texts[record]
