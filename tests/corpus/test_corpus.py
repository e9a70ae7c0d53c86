"""A corpus counts what it reads, names documents by content and gives every row back as it came."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.writing import CorpusSettings, split_document, write_corpus
from delt_exp.dataset.base import Document, document_id
from delt_exp.errors import DataError
from tests.helpers import ListDataset, make_corpus, new_folder

WHOLE = CorpusSettings(max_document_chars=None, drop_duplicates=False)
TEXTS = ["first", "zwei: é€𝄞", "third\nwith lines\n"]

documents = st.builds(
    Document,
    text=st.text(min_size=1).filter(str.strip),
    prompt=st.text(max_size=5),
    source=st.sampled_from(["", "books", "code"]),
)


def read_all(corpus):
    return [corpus.document(row) for row in range(len(corpus))]


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(items=st.lists(documents, min_size=1, max_size=10))
def test_every_document_comes_back_as_it_was(tmp_path_factory, items):
    corpus = make_corpus(tmp_path_factory.mktemp("corpus"), items)
    assert read_all(corpus) == items
    assert list(corpus.read()) == [d.parts for d in items]
    assert list(corpus.texts()) == [d.prompt + d.text for d in items]
    assert corpus.ids.tolist() == [document_id(d) for d in items]
    assert corpus.text_bytes.tolist() == [len(d.text.encode()) for d in items]
    assert corpus.whole_bytes.tolist() == [len((d.prompt + d.text).encode()) for d in items]


def test_rows_are_read_in_any_order_and_more_than_once(tmp_path):
    corpus = make_corpus(tmp_path, TEXTS)
    assert list(corpus.texts([2, 0, 2, 1])) == [TEXTS[2], TEXTS[0], TEXTS[2], TEXTS[1]]
    assert list(corpus.texts(np.array([1, 2]))) == TEXTS[1:]
    assert list(corpus.read([])) == []


class TestIds:
    def test_equal_content_has_an_equal_id_whatever_the_source(self):
        assert document_id(Document("a", "p", source="x")) == document_id(Document("a", "p", source="y"))

    @pytest.mark.parametrize(
        "other",
        [Document("b"), Document("a "), Document("a", "p"), Document("", "a"), Document("pa"), Document("p", "a")],
    )
    def test_text_prompt_and_their_border_all_count(self, other):
        assert document_id(other) != document_id(Document("a"))

    def test_a_prompt_joined_to_the_text_is_another_document(self):
        pairs = [Document("abc"), Document("bc", "a"), Document("c", "ab")]
        assert len({document_id(d) for d in pairs}) == 3

    def test_ids_spread_over_all_64_bits(self):
        ids = np.array([document_id(Document(str(i))) for i in range(4000)], np.uint64)
        ones = (ids[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).mean(axis=0)
        assert np.abs(ones - 0.5).max() < 5 * 0.5 / 4000**0.5  # five standard deviations of a fair coin


class TestDigest:
    @pytest.fixture
    def digest(self, tmp_path):
        return lambda *items: make_corpus(tmp_path, items).digest

    def test_equal_documents_have_equal_digests_wherever_they_lie(self, digest):
        assert digest(*TEXTS) == digest(*TEXTS)

    def test_text_order_count_and_source_all_count(self, digest):
        variants = [("a", "b"), ("b", "a"), ("a",), ("a", "b", "b"), ("a", "c"), ("a", Document("b", source="s"))]
        assert len({digest(*items) for items in variants}) == len(variants)


class TestCounts:
    def test_empty_documents_are_left_out_and_counted(self, tmp_path):
        corpus = make_corpus(tmp_path, ["", "a", " \n\t", "b", "\u2003"])
        assert [d.text for d in read_all(corpus)] == ["a", "b"]
        assert corpus.meta["counts"] == {
            "empty_files": 0,
            "read": 5,
            "empty": 3,
            "left_out": 0,
            "split": 0,
            "blank_pieces": 0,
            "duplicates": 0,
            "duplicates_dropped": 0,
        }

    def test_a_prompt_alone_is_an_empty_document(self, tmp_path):
        corpus = make_corpus(tmp_path, [Document(" ", prompt="question"), "a"])
        assert (len(corpus), corpus.meta["counts"]["empty"]) == (1, 1)

    def test_duplicates_are_counted_and_kept_unless_they_are_unwanted(self, tmp_path):
        items = ["a", "b", "a", "c", "a", Document("b", source="other"), Document("a", prompt="p")]
        kept, dropped = (make_corpus(tmp_path, items, drop_duplicates=drop) for drop in (False, True))
        assert [d.text for d in read_all(kept)] == ["a", "b", "a", "c", "a", "b", "a"]
        assert (kept.meta["counts"]["duplicates"], kept.meta["counts"]["duplicates_dropped"]) == (3, 0)
        # The first of each stays, in reading order; another prompt makes another document.
        assert read_all(dropped) == [Document("a"), Document("b"), Document("c"), Document("a", prompt="p")]
        assert (dropped.meta["counts"]["duplicates"], dropped.meta["counts"]["duplicates_dropped"]) == (3, 3)
        assert list(dropped.texts()) == ["a", "b", "c", "pa"]

    def test_bytes_are_those_of_the_texts_kept(self, tmp_path):
        corpus = make_corpus(tmp_path, ["é", "é", Document("abc", prompt="not counted")], drop_duplicates=True)
        assert corpus.meta["text_bytes"] == 5

    @pytest.mark.parametrize("items", [[], ["", " \n"]])
    def test_without_any_text_there_is_no_corpus(self, tmp_path, items):
        with pytest.raises(DataError, match=f"no document with text: {len(items)} read, {len(items)} empty"):
            make_corpus(tmp_path, items)


class TestSplit:
    @given(
        text=st.text(alphabet=st.sampled_from("ab. \n") | st.characters(codec="utf-8"), max_size=60),
        max_chars=st.integers(2, 20),
    )
    @example("aaaa\n\n" * 5, 7)
    @example("\n" * 30, 4)
    def test_the_pieces_are_bounded_and_joined_they_are_the_document(self, text, max_chars):
        pieces = list(split_document(Document(text, source="s"), max_chars))
        assert "".join(p.text for p in pieces) == text
        assert all(len(p.text) <= max_chars and p.source == "s" for p in pieces)
        assert len(pieces) == 1 or all(p.text for p in pieces)
        # A cut lies in the second half at the earliest.
        assert all(len(p.text) > max_chars // 2 for p in pieces[:-1])

    @pytest.mark.parametrize(
        ("text", "first"),
        [
            ("01234567 \n\n. x\ny" + "z" * 9, "01234567 \n\n"),
            ("01234567. x\ny z" + "z" * 9, "01234567. x\n"),
            ("012345678. x y " + "z" * 9, "012345678. "),
            ("0123456789 z" + "z" * 9, "0123456789 "),
            ("0123456789abcdefgh", "0123456789abcdef"),
            ("01 3\n\n6789abcdefgh", "01 3\n\n6789abcdef"),  # a break in the first half would leave a short piece
        ],
    )
    def test_a_paragraph_is_the_best_end_then_line_sentence_word(self, text, first):
        assert next(split_document(Document(text), 16)).text == first

    def test_a_document_that_fits_and_a_pair_stay_whole(self):
        for document, limit in [(Document("x" * 9), 9), (Document("x" * 9), None), (Document("x" * 9, prompt="p"), 4)]:
            assert list(split_document(document, limit)) == [document]

    def test_the_corpus_holds_the_pieces_and_counts_documents_that_were_split(self, tmp_path):
        corpus = make_corpus(tmp_path, ["a" * 10, "b"], max_document_chars=4)
        assert [d.text for d in read_all(corpus)] == ["aaaa", "aaaa", "aa", "b"]
        assert corpus.meta["counts"]["split"] == 1
        assert corpus.meta["counts"]["read"] == 2


class TestStream:
    def test_documents_are_read_once_and_in_order(self, tmp_path):
        seen = []

        class Watched(ListDataset):
            def documents(self):
                for document in super().documents():
                    seen.append(document.text)
                    yield document

        folder = new_folder(tmp_path)
        write_corpus(Watched(TEXTS), WHOLE, folder)
        assert seen == TEXTS
        assert list(Corpus(folder).texts()) == TEXTS

    def test_memory_does_not_grow_with_the_text(self, tmp_path):
        class Large(ListDataset):
            def documents(self):
                return (Document(f"{row} " + "x" * 100_000) for row in range(300))

        folder = new_folder(tmp_path)
        tracemalloc.start()
        write_corpus(Large([]), WHOLE, folder)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(Corpus(folder)) == 300
        assert peak_bytes < 5_000_000  # of 30 MB of text; one megabyte is the write buffer

    def test_an_error_in_the_dataset_reaches_the_caller(self, tmp_path):
        class Broken(ListDataset):
            def documents(self):
                yield Document("a")
                raise DataError("file.jsonl, line 2: no field 'text'")

        with pytest.raises(DataError, match="line 2"):
            write_corpus(Broken([]), WHOLE, new_folder(tmp_path))
