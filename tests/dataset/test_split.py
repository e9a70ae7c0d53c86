"""Parts of a dataset by content, and stretches of it."""

from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.config.build import CONF, build
from delt_exp.config.compose import composed
from delt_exp.config.file_label import file_label
from delt_exp.dataset.base import Document, EmptyFile
from delt_exp.dataset.slice import Slice
from delt_exp.dataset.split import Split
from delt_exp.errors import ConfigError, DataError
from delt_exp.eval_dataset.named import named
from tests.runs import write_jsonl


class Listed:
    """Documents in memory."""

    VERSION = 1

    def __init__(self, texts):
        self.texts = texts

    def documents(self):
        yield EmptyFile(source="x")
        yield from (Document(text, source="x") for text in self.texts)

    def fingerprint(self):
        return "x"


def part(name, texts, target_share=0.2, eval_share=0.3, seed=0):
    try:
        found = list(Split(Listed(texts), name, target_share, eval_share, seed).documents())
    except DataError:
        return []
    return [document.text for document in found if not isinstance(document, EmptyFile)]


@given(st.lists(st.text(max_size=5), min_size=1, max_size=40), st.integers(0, 5))
def test_every_document_is_in_one_part_and_equal_ones_are_in_the_same(texts, seed):
    parts = [part(name, texts, seed=seed) for name in ("train", "target", "eval")]
    assert sorted(chain(*parts)) == sorted(texts)
    assert not any(set(a) & set(b) for a in parts for b in parts if a is not b)
    for found in parts:
        assert found == [text for text in texts if text in set(found)], "the order of the dataset"


def test_a_share_is_about_what_was_asked_for_and_another_seed_gives_others():
    texts = [f"text {n}" for n in range(2000)]
    sizes = [len(part(name, texts)) for name in ("train", "target", "eval")]
    for size, share in zip(sizes, (0.5, 0.2, 0.3), strict=True):
        assert abs(size - 2000 * share) < 4 * (2000 * share * (1 - share)) ** 0.5
    assert part("eval", texts) != part("eval", texts, seed=1)


def test_a_part_keeps_its_documents_when_it_grows_or_others_come():
    texts = [f"text {n}" for n in range(300)]
    assert set(part("eval", texts)) < set(part("eval", texts, eval_share=0.5))
    assert set(part("target", texts)) < set(part("target", texts, target_share=0.5))
    assert set(part("eval", texts[:100])) == set(part("eval", texts)) & set(texts[:100])


@pytest.mark.parametrize(
    ("name", "shares", "message"),
    [
        ("train", (0.7, 0.4), "target_share=0.7 and eval_share=0.4 are more than all documents"),
        ("train", (0.5, 0.5), "part=train has no share"),
        ("eval", (0.5, 0.0), "part=eval has no share of the documents with target_share=0.5 and eval_share=0; give it"),
        ("eval", (0.5, 1.5), r"eval_share=1.5 is not allowed; set it to a number in \[0, 1\]"),
        ("rest", (0.1, 0.1), "part='rest' is not allowed; set it to one of: train, target, eval"),
    ],
)
def test_shares_that_do_not_fit_are_refused(name, shares, message):
    with pytest.raises(ConfigError, match=message):
        Split(Listed(["a"]), name, *shares, 0)


def test_a_part_without_a_document_says_how_many_there_were():
    with pytest.raises(DataError, match=r"part=eval has none of the 2 documents, with a share of 0\.001"):
        list(Split(Listed(["a", "b"]), "eval", 0.1, 0.001, 0).documents())


def test_a_stretch_begins_after_its_offset():
    def stretch(*settings):
        return [document.text for document in Slice(Listed("abcde"), *settings).documents() if document.text]

    assert stretch(0, 2) + stretch(2, None) == list("abcde")
    assert stretch(1, 0) == []
    with pytest.raises(DataError, match="offset=5 leaves none of the 5 documents"):
        stretch(5, None)


OWN = ("train_dataset=split", "train_dataset.dataset.path=mine.jsonl")


def test_one_corpus_is_candidates_target_and_evaluation_by_one_command(tmp_path):
    write_jsonl(tmp_path / "mine.jsonl", [{"text": f"text {n}"} for n in range(200)])
    cfg = composed(CONF, [*OWN, "target_dataset=rest_of_train", "eval_dataset=rest_of_train"])
    evaluation = named({key: build(node) for key, node in cfg.eval_dataset.items()})
    sets = [build(cfg.train_dataset), build(cfg.target_dataset), evaluation["mine"].dataset]
    texts = [{document.text for document in one.documents()} for one in sets]
    assert sum(map(len, texts)) == len(set().union(*texts)) == 200


def test_a_target_of_ones_own_is_halved(tmp_path):
    write_jsonl(tmp_path / "wanted.jsonl", [{"text": f"text {n}"} for n in range(100)])
    given = ["target_dataset=split", "target_dataset.dataset.path=wanted.jsonl", "eval_dataset=rest_of_target"]
    cfg = composed(CONF, given)
    (evaluation,) = (build(node) for node in cfg.eval_dataset.values())
    sets = [{document.text for document in one.documents()} for one in (build(cfg.target_dataset), evaluation.dataset)]
    assert len(sets[0] | sets[1]) == len(sets[0]) + len(sets[1]) == 100
    assert evaluation.name == "wanted"


@pytest.mark.parametrize("name", ["news_agnews", "biomed_abstracts"])
def test_the_halves_of_a_held_out_split_are_disjoint_wherever_a_document_stands(name, tmp_path):
    """By content: a text that occurs twice, at any place of the file, is in one half alone."""
    (tmp_path / name).mkdir()
    texts = [f"text {n % 60}" for n in range(121)]
    write_jsonl(tmp_path / name / "validation.jsonl", [{"text": text} for text in texts])
    cfg = composed(CONF, [f"data_dir={tmp_path}", f"target_dataset={name}_half", f"eval_dataset={name}_half"])
    (evaluation,) = (build(node).dataset for node in cfg.eval_dataset.values())
    target, held_out = ({d.text for d in one.documents()} for one in (build(cfg.target_dataset), evaluation))
    assert not target & held_out
    assert target | held_out == set(texts)


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({"path": "a/heldout.jsonl.gz"}, "heldout"),
        ({"path": "a/news/**/*.jsonl"}, "news"),
        ({"path": "a/news"}, "news"),
        ({"path": ["x/first part.txt", "second.txt", "third.txt"]}, "first_part_and_2_more"),
        ({"repo": "owner/name", "name": "n"}, "name"),
        ({"name": "stdlib_prose"}, "stdlib_prose"),
        ({"path": "*.txt"}, "own"),
    ],
)
def test_a_corpus_is_called_after_its_files(settings, label):
    assert file_label(settings) == label


def suite(*overrides):
    cfg = composed(CONF, list(overrides))
    return list(named({key: build(node) for key, node in cfg.eval_dataset.items()}))


def test_own_evaluation_sets_are_called_after_their_files_or_as_they_are_named():
    paths = (
        "eval_dataset=[jsonl,text]",
        "eval_dataset.jsonl.dataset.path=a.jsonl",
        "eval_dataset.text.dataset.path=b.txt",
    )
    assert suite(*paths) == ["a", "b"]
    assert suite(*paths, "eval_dataset.text.name=held out") == ["a", "held out"]
    with pytest.raises(ConfigError, match=r"two evaluation sets are called 'a': .*eval_dataset.text.name=NAME"):
        suite(*paths, "eval_dataset.text.name=a")
