from collections import Counter
from dataclasses import dataclass
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delt_exp.dataset.base import Document
from delt_exp.dataset.mixture import Mixture, size_bytes
from delt_exp.errors import ConfigError

SETTINGS = {"weights": None, "unit": "documents", "stop": "first", "max_documents": None, "max_bytes": None}


@dataclass(frozen=True)
class Fixed:
    texts: tuple[str, ...]

    def documents(self):
        return (Document(text, "", "inner") for text in self.texts)

    def fingerprint(self):
        return "/".join(self.texts)


def mixture(parts, **changes):
    return Mixture(**{**SETTINGS, "parts": {label: Fixed(tuple(texts)) for label, texts in parts.items()}, **changes})


def texts(mix):
    return [document.text for document in mix.documents()]


def test_equal_weights_take_turns_and_label_their_documents():
    mix = mixture({"a": ["a1", "a2"], "b": ["b1", "b2"]})
    assert list(mix.documents()) == [Document(text, "", text[0]) for text in ("a1", "b1", "a2", "b2")]
    assert list(mix.documents()) == list(mix.documents())


def test_weights_share_out_documents():
    # amount/weight of a, b before each draw: 0,0 | 1,0 | 1,1/2 | 1,1 | 2,1 | 2,3/2 | 2,2 | 3,2, and b is exhausted
    assert texts(mixture({"a": "1234", "b": "wxyz"}, weights={"a": 1, "b": 2})) == ["1", "w", "x", "2", "y", "z", "3"]


def test_weights_share_out_bytes_of_utf8():
    # ä is two bytes: a=0 b=0 -> ä; a=2 b=0 -> w; b=1 -> x; a=2 b=2 -> ö
    mix = mixture({"a": ["ä", "ö"], "b": ["w", "x", "y"]}, unit="bytes", max_documents=4)
    assert texts(mix) == ["ä", "w", "x", "ö"]


@pytest.mark.parametrize(("stop", "expected"), [("first", "w1x2y"), ("all", "w1x2yz")])
def test_the_stream_ends_with_the_first_part_or_with_all(stop, expected):
    assert "".join(texts(mixture({"b": "wxyz", "a": "12"}, stop=stop))) == expected


def test_a_part_of_weight_0_is_not_used():
    assert texts(mixture({"a": "12", "b": "wx"}, weights={"a": 0, "b": 1})) == ["w", "x"]


@pytest.mark.parametrize(("limit", "count"), [(0, 0), (2, 1), (3, 1), (4, 2), (99, 4)])
def test_the_stream_ends_before_it_exceeds_max_bytes(limit, count):
    assert len(texts(mixture({"a": ["aa", "bb"], "b": ["cc", "dd"]}, max_bytes=limit))) == count


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parts": {}}, "parts is empty"),
        ({"unit": "tokens"}, "unit='tokens'"),
        ({"stop": "never"}, "stop='never'"),
        ({"weights": {"a": 1}}, "weights names"),
        ({"weights": {"a": 1, "b": -1}}, "weights.b=-1"),
        ({"weights": {"a": 1, "b": float("nan")}}, "weights.b=nan"),
        ({"weights": {"a": 0, "b": 0}}, "all 0"),
        ({"max_documents": -1}, "max_documents=-1"),
        ({"max_bytes": -1}, "max_bytes=-1"),
    ],
)
def test_a_wrong_setting_is_a_config_error(changes, message):
    with pytest.raises(ConfigError, match=message):
        Mixture(**{**SETTINGS, "parts": {"a": Fixed(("x",)), "b": Fixed(("y",))}, **changes})


def test_the_fingerprint_follows_labels_and_parts():
    prints = {mixture(parts).fingerprint() for parts in ({"a": "1"}, {"b": "1"}, {"a": "2"}, {"a": "1", "b": "1"})}
    assert len(prints) == 4


def test_mixtures_nest():
    inner = mixture({"a": "123", "b": "wxy"})
    outer = Mixture(**SETTINGS, parts={"inner": inner, "c": Fixed(("C", "D"))})
    assert texts(outer) == ["1", "C", "w", "D", "2"]


PARTS = st.dictionaries(
    st.sampled_from("abcd"), st.lists(st.text(alphabet="xyé", min_size=1, max_size=30), max_size=12), min_size=1
)


@given(
    parts=PARTS, unit=st.sampled_from(["documents", "bytes"]), stop=st.sampled_from(["first", "all"]), data=st.data()
)
def test_every_prefix_has_the_right_proportions_within_one_document(parts, unit, stop, data):
    weights = {label: data.draw(st.floats(0.1, 10), label=label) for label in parts}
    documents = list(mixture(parts, weights=weights, unit=unit, stop=stop).documents())
    sizes = [size_bytes(document) if unit == "bytes" else 1 for document in documents]
    left = Counter({label: len(texts) for label, texts in parts.items()})
    amounts: Counter[str] = Counter()
    last = dict.fromkeys(parts, 0)
    for document, size in zip(documents, sizes, strict=True):
        label = document.source
        left[label] -= 1
        amounts[label] += size
        last[label] = size
        lasting = [part for part in parts if left[part] > 0] if stop == "all" else list(parts)
        for one in lasting:
            for other in lasting:
                ahead = amounts[one] / weights[one] - amounts[other] / weights[other]
                assert ahead <= last[one] / weights[one] + 1e-9


@given(parts=PARTS, unit=st.sampled_from(["documents", "bytes"]))
def test_stop_all_keeps_every_document_in_the_order_of_its_part(parts, unit):
    documents = list(mixture(parts, unit=unit, stop="all").documents())
    for label, expected in parts.items():
        assert [document.text for document in documents if document.source == label] == expected


@given(parts=PARTS, limit=st.integers(0, 200))
def test_a_limit_in_bytes_keeps_the_longest_prefix_that_fits(parts, limit):
    whole = list(mixture(parts, unit="bytes", stop="all").documents())
    cut = list(mixture(parts, unit="bytes", stop="all", max_bytes=limit).documents())
    fitting = sum(total <= limit for total in accumulate(map(size_bytes, whole)))
    assert cut == whole[:fitting]
