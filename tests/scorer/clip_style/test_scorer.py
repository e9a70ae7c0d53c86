"""The score of documents whose vectors are known, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from delt_exp.dataset.base import Document
from delt_exp.encoder.hashing import HashingEncoder
from delt_exp.errors import ConfigError, DataError
from delt_exp.scorer.clip_style.scorer import ClipStyleScorer
from tests.helpers import make_pool, new_folder, words
from tests.scorer.density.vectors import Written

DEFAULTS = {
    "encoder": Written(), "classes": "clusters", "num_clusters": 1, "prototype": "centroid", "descriptions": {},
    "num_neighbours": 49, "neighbour_share": 1.0, "diversity_weight": 0.1, "scaling": "standard", "seed": 0,
}  # fmt: skip
TWO = [Document("1 0", source="a"), Document("0.6 0.8", source="a"), Document("0 1", source="b"),
       Document("0.8 0.6", source="b")]  # fmt: skip


def contract_overrides(folder):
    return ["scorer.num_clusters=2"]


def scorer(**changes):
    return ClipStyleScorer(**DEFAULTS | changes)


def test_a_text_stands_for_each_source(tmp_path):
    pool = make_pool(tmp_path, TWO)
    given = scorer(classes="sources", prototype="text", descriptions={"a": "1 0", "b": "0 1"}, diversity_weight=0.0)
    # cosines 1, 0.6, 1, 0.6: mean 0.8, deviation 0.2
    assert given.score(pool) == pytest.approx([1, -1, 1, -1], abs=1e-5)
    some = replace(pool, chosen=np.array([3, 0]), work_dir=new_folder(tmp_path))
    assert given.score(some) == pytest.approx([-1, 1], abs=1e-5)


def test_clusters_tell_groups_apart_and_do_not_depend_on_the_order(tmp_path):
    texts = words(40)
    given = scorer(encoder=HashingEncoder(64, 0), num_clusters=4)
    found, turned = given.score(make_pool(tmp_path, texts)), given.score(make_pool(tmp_path, texts[::-1]))
    np.testing.assert_allclose(turned[::-1], found, rtol=1e-5, atol=1e-6)


def test_a_source_without_a_text_is_named_before_anything_is_encoded(tmp_path):
    pool = make_pool(tmp_path, TWO)
    with pytest.raises(DataError, match=r"source 'b' has no text .*scorer\.prototype=centroid"):
        scorer(classes="sources", prototype="text", descriptions={"a": "1 0"}).score(pool)
    assert pool.resources.store.uses == []


def test_a_document_alone_in_its_class_gets_the_mean_distance(tmp_path):
    pool = make_pool(tmp_path, [*TWO, Document("0 2", source="c")])
    scorer(classes="sources").score(pool)
    (remark,) = pool.evidence.contents()["remarks"]
    assert remark == "Documents alone in their class: 1; they got the mean SDS of all."
    table = pool.evidence.read_table("classes").to_pydict()
    assert table["SDS"][2] == pytest.approx(np.mean(table["SDS"][:2]))


def test_classes_of_one_document_each_are_refused(tmp_path):
    documents = [Document(f"1 {i}", source=str(i)) for i in range(3)]
    with pytest.raises(ConfigError, match=r"3 of 3 classes have one document"):
        scorer(classes="sources").score(make_pool(tmp_path, documents))


def test_a_zero_vector_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"document 1 \(id"):
        scorer().score(make_pool(tmp_path, ["1 0", "0 0"]))


@pytest.mark.parametrize(("changes", "message"), [
    ({"prototype": "text"}, "needs classes with names"),
    ({"num_clusters": 0}, r"ClipStyleScorer\.num_clusters=0"),
    ({"neighbour_share": 0.0}, r"ClipStyleScorer\.neighbour_share=0\.0"),
    ({"diversity_weight": -1.0}, r"ClipStyleScorer\.diversity_weight=-1\.0"),
    ({"scaling": "rank"}, r"ClipStyleScorer\.scaling='rank'.*standard, minmax"),
])  # fmt: skip
def test_settings_that_mean_nothing_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        scorer(**changes)
