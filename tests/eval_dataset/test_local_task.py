import gzip
import json

import pytest

from delt_exp.errors import ConfigError, DataError
from delt_exp.eval_dataset.local_task import ChoiceTask


def choices(path, *records, pack=bytes):
    path.write_bytes(pack("".join(json.dumps(record) + "\n" for record in records).encode()))
    return ChoiceTask(path=str(path), context="{q}\n", choices="choices", gold="gold")


@pytest.mark.parametrize("gold", [1, "1"])
def test_a_label_may_stand_in_quotes_and_a_choice_may_be_a_number(tmp_path, gold):
    task = choices(tmp_path / "a.jsonl", {"q": "1+1?", "choices": [1, "2", 3.5], "gold": gold})
    assert task.examples(None) == [{"context": "1+1?\n", "choices": ["1", "2", "3.5"], "gold": 1}]


@pytest.mark.parametrize("gold", ["-1", "3", "b", "", 1.0, True, None, -1])
def test_a_label_that_is_no_index_names_line_and_range(tmp_path, gold):
    with pytest.raises(DataError, match=r"a\.jsonl:1: the field 'gold' must be a whole number from 0 to 2"):
        choices(tmp_path / "a.jsonl", {"q": "", "choices": ["a", "b", "c"], "gold": gold}).examples(None)


@pytest.mark.parametrize("values", [["a"], ["a", None], ["a", ""], ["a", True], ["a", ["b"]], "ab", None])
def test_choices_are_at_least_two_texts(tmp_path, values):
    with pytest.raises(DataError, match=r"a\.jsonl:1: the field 'choices' must be a list of at least two texts"):
        choices(tmp_path / "a.jsonl", {"q": "", "choices": values, "gold": 0}).examples(None)


def test_a_single_template_is_no_choice():
    with pytest.raises(ConfigError, match="at least two templates"):
        ChoiceTask(path="a.jsonl", context="{q}", choices=["{a}"], gold="gold")


def test_half_a_download_of_a_task_is_an_error(tmp_path):
    task = choices(tmp_path / "a", *[{"q": "?", "choices": ["a", "b"], "gold": 0}] * 500, pack=gzip.compress)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"a cannot be read"):
        task.examples(None)
