"""The numbers of records reach the documents that were made from them."""

import json
import re

import pytest

from delt_exp.config.identity import identity
from delt_exp.corpus.writing import split_document
from delt_exp.dataset.jsonl import Jsonl
from delt_exp.errors import ConfigError, DataError
from delt_exp.scorer.field import FieldScorer
from tests.helpers import ListDataset, make_pool, new_folder

RECORDS = [
    {"text": "first", "score": 3, "meta": {"rank": 0.5}},
    {"text": "second one", "score": -1.25, "meta": {"rank": 1}},
    {"text": "third", "score": "2e1", "meta": {"rank": 2}},
]
JSONL = {
    "split": None, "name": "x", "max_documents": None, "text": "{text}", "prompt": None, "messages": None,
    "rejected": None, "winner": None, "null_as_empty": False, "numbers_as_text": False, "na_value": None,
}  # fmt: skip


def dataset(folder, records, **settings):
    path = new_folder(folder) / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return Jsonl(**JSONL | {"path": str(path)} | settings)


def field(dataset, name="score", max_document_chars=None):
    return FieldScorer(dataset, name, "higher", max_document_chars)


def contract_overrides(folder):
    from tests.scorer.test_contract import TEXTS  # which asks for this

    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps({"text": text, "score": n % 5}) + "\n" for n, text in enumerate(TEXTS)))
    return ["train_dataset=jsonl", f"train_dataset.path={path}", "scorer.field=score", "corpus.max_document_chars=null"]


def pool_of(folder, records):
    return make_pool(folder, list(records.documents()))


def test_each_document_has_the_number_of_its_record(tmp_path):
    records = dataset(tmp_path, RECORDS)
    pool = pool_of(tmp_path, records)
    assert field(records).score(pool).tolist() == [3, -1.25, 20]
    assert field(records, "meta[rank]").score(pool).tolist() == [0.5, 1, 2]


def test_prompts_and_templates_do_not_matter(tmp_path):
    records = dataset(tmp_path, RECORDS, prompt="{score}: ", numbers_as_text=True)
    assert field(records).score(pool_of(tmp_path, records)).tolist() == [3, -1.25, 20]


def test_the_pieces_of_a_long_document_have_the_number_of_the_whole(tmp_path):
    records = dataset(tmp_path, [{"text": "one two three four", "score": 7}, {"text": "five", "score": 1}])
    pieces = [piece for document in records.documents() for piece in split_document(document, 8)]
    assert len(pieces) > 3
    assert field(records, max_document_chars=8).score(make_pool(tmp_path, pieces)).tolist() == [7] * (
        len(pieces) - 1
    ) + [1]
    with pytest.raises(DataError, match=r"scorer.dataset has no record for . of . documents, the first in row 0"):
        field(records).score(make_pool(tmp_path, pieces))


def test_of_equal_texts_the_first_counts_as_for_the_corpus(tmp_path):
    records = dataset(tmp_path, [{"text": "same", "score": 1}, {"text": "same", "score": 2}])
    assert field(records).score(make_pool(tmp_path, ["same"])).tolist() == [1]


@pytest.mark.parametrize("value", [None, "", "high", "nan", "inf"])
def test_a_record_without_a_number_is_named_with_its_document(tmp_path, value):
    records = dataset(tmp_path, [*RECORDS, {"text": "broken one", "score": value}])
    with pytest.raises(DataError, match=r"record 4 \(document [0-9a-f]{16}, 'broken one'\): the field 'score' is"):
        field(records).score(make_pool(tmp_path, ["first"]))


def test_a_record_without_the_field_is_named_with_its_line(tmp_path):
    records = dataset(tmp_path, [*RECORDS, {"text": "broken one"}])
    with pytest.raises(DataError, match=r"records.jsonl:4: .*needs the field 'score', which is missing"):
        field(records).score(make_pool(tmp_path, ["first"]))


def test_a_dataset_without_records_is_refused():
    with pytest.raises(ConfigError, match=r"train_dataset=ListDataset has none; use train_dataset=jsonl"):
        field(ListDataset(["a"]))


@pytest.mark.parametrize("name", ["", "a{b", "meta[rank", "score:3"])
def test_a_name_that_no_field_has_is_refused_before_anything_is_read(tmp_path, name):
    with pytest.raises(ConfigError, match=re.escape(f"scorer.field={name!r} is not the name of a field")):
        field(dataset(tmp_path, RECORDS), name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rank", "scorer.field='rank' needs the field 'rank', which is missing. The record has: text, score, meta"),
        ("meta[x]", "scorer.field='meta[x]' needs the field 'meta[x]', which is missing"),
        ("meta", "the field 'meta' of scorer.field='meta' is dict, not a number"),
    ],
)
def test_what_is_wrong_with_a_field_is_told_of_the_setting_that_names_it(tmp_path, name, message):
    with pytest.raises(DataError, match=rf"records\.jsonl:1: {re.escape(message)}"):
        field(dataset(tmp_path, RECORDS), name).check_files()


def test_other_files_give_another_key(tmp_path):
    one, other = (identity(field(dataset(tmp_path, records))) for records in (RECORDS, RECORDS[:2]))
    assert one["dataset"]["content"] != other["dataset"]["content"]
