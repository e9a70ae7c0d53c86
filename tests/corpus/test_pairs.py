"""Both sides of a preference are stored, encoded and cut so that only their last answers differ and count."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from delt_exp.corpus.corpus import Corpus
from delt_exp.corpus.pairs import answer_tokens, check_answers, pair, pair_arrays
from delt_exp.corpus.stages import decontaminated_stage, text_stage
from delt_exp.corpus.tokens import IGNORED
from delt_exp.corpus.writing import split_document, write_part
from delt_exp.dataset.base import Document, Part, document_id
from delt_exp.errors import DataError
from delt_exp.store.store import Store
from tests.helpers import make_byte_tokenizer, make_corpus, make_tokens, new_folder

EOS = 256  # of the byte tokenizer, which is its begin token too
TURNS = (Part("user", "Why?"), Part("assistant", "So."), Part("user", "And?"), Part("assistant", "Thus."))
ITEMS = [
    Document("yes", "p? ", rejected="never", source="one"),
    Document(turns=TURNS, rejected="Not.", source="two"),
    Document("é", rejected="e", source="one"),
]


def tokens_of(tmp_path, items):
    corpus = make_corpus(tmp_path, items)
    tokenizer = make_byte_tokenizer(tmp_path, corpus)
    return tokenizer, make_tokens(tmp_path, corpus, tokenizer)


answers = st.text("abé ", min_size=1, max_size=6).filter(str.strip)
preferences = st.builds(Document, text=answers, prompt=st.text("?q", max_size=4), rejected=answers | st.just(""))


class TestCorpus:
    def test_every_document_comes_back_with_both_answers(self, tmp_path):
        corpus = make_corpus(tmp_path, ITEMS)
        assert [corpus.document(row) for row in range(3)] == ITEMS
        assert list(corpus.read()) == [item.parts for item in ITEMS]
        assert list(corpus.texts([2, 0])) == ["é", "p? yes"]
        assert list(corpus.read_rejected([1])) == [(*TURNS[:-1], Part("assistant", "Not."))]
        assert corpus.text_bytes.tolist() == [3, 8, 2]
        assert corpus.whole_bytes.tolist() == [6, 16, 2]

    @pytest.mark.slow
    @settings(deadline=None, max_examples=50)
    @given(items=st.lists(preferences, min_size=1, max_size=8), drop=st.integers(0, 7))
    def test_mixed_and_cut_corpora_keep_what_belongs_together(self, tmp_path_factory, items, drop):
        folder = tmp_path_factory.mktemp("corpus")
        corpus = make_corpus(folder, items)
        rows = np.array([row for row in range(len(items)) if row != drop or len(items) == 1])
        write_part(corpus, rows, part := new_folder(folder), "cut")
        for kept, wanted in ((corpus, items), (Corpus(part), [items[row] for row in rows])):
            assert [kept.document(row) for row in range(len(kept))] == wanted
            assert list(kept.read()) == [item.parts for item in wanted]
            assert kept.num_preferences == sum(bool(item.rejected) for item in wanted)
            assert kept.whole_bytes.tolist() == [len((item.prompt + item.text).encode()) for item in wanted]

    def test_the_rejected_answer_is_part_of_what_names_a_document(self):
        ids = [document_id(Document("a", "p", rejected=rejected)) for rejected in ("", "b", "c")]
        assert len(set(ids)) == 3
        assert document_id(Document("a", "p", "x", rejected="b")) == ids[1]

    def test_without_preferences_the_files_say_nothing_of_them(self, tmp_path):
        assert "preferences" not in make_corpus(tmp_path, ["a", Document("b", "p")]).meta

    def test_a_preference_is_never_split(self):
        document = Document("x" * 9, rejected="y" * 9)
        assert list(split_document(document, 4)) == [document]

    def test_overlap_looks_at_the_chosen_side(self, tmp_path):
        words = [" ".join(f"{name}{i}" for i in range(9)) for name in ("alpha", "beta", "gamma", "delta")]
        corpus = make_corpus(tmp_path, [Document(words[0], rejected=words[1]), Document(words[2], rejected=words[3])])
        store = Store(new_folder(tmp_path), verify="hash")
        others = [make_corpus(tmp_path, [words[row]]) for row in (0, 3)]
        assert list(decontaminated_stage(store, corpus, others).texts()) == [words[2]]


class TestTokens:
    def test_the_rejected_side_is_the_same_prompt_and_the_other_answer(self, tmp_path):
        tokenizer, tokens = tokens_of(tmp_path, ITEMS)
        assert tokenizer.decode(tokens.rejected.document(0)) == "p? never"
        assert (tokens.rejected.ids == tokens.ids).all()
        starts = tokens.answer_starts
        assert [tokens.answer_start(row) for row in range(3)] == starts.tolist()
        assert starts.tolist() == tokens.rejected.answer_starts.tolist()
        assert (starts[0], starts[2]) == (3, 0)
        for row in range(3):
            shared = tokens.document(row, 0, starts[row])
            assert (shared == tokens.rejected.document(row, 0, starts[row])).all()
        assert tokenizer.decode(tokens.document(1, starts[1])) == "Thus."  # not the answer of an earlier turn
        assert tokens.digest != tokens.rejected.digest

    @pytest.mark.parametrize("items", [["a"], [ITEMS[0], "a"]])
    def test_there_is_no_rejected_side_unless_all_documents_have_one(self, tmp_path, items):
        _, tokens = tokens_of(tmp_path, items)
        assert tokens.rejected is None
        with pytest.raises(DataError, match=r"not every document has a rejected answer.*train_dataset.rejected"):
            pair_arrays(tokens, np.arange(1), 16)

    def test_an_answer_without_a_token_is_no_preference(self, tmp_path):
        corpus = make_corpus(tmp_path, [ITEMS[0], Document("kept", "p", rejected="\u200b")])

        class NoZeroWidth:
            vocab_size, begin_id, eos_id, digest = 300, 256, 256, "no zero width"

            def spans(self, parts):
                return [part.text.replace("\u200b", "").encode() for part in parts]

            def encode_spans(self, documents):
                return [
                    (list(b"".join(spans)), np.repeat([False, True], [len(spans[0]), len(spans[1])]))
                    for spans in documents
                ]

        kept = text_stage(Store(new_folder(tmp_path), verify="hash"), corpus, NoZeroWidth())
        assert list(kept.corpus.texts()) == ["p? yes"]
        assert kept.corpus.meta["counts"]["without_tokens"] == 1


class TestBatch:
    def test_only_the_last_answers_and_the_end_are_predicted(self, tmp_path):
        tokenizer, tokens = tokens_of(tmp_path, ITEMS[:1])
        inputs, labels = pair_arrays(tokens, np.array([0]), 16)
        prompt, yes, never = tokenizer.encode(["p? ", "yes", "never"])
        assert inputs.tolist() == [[EOS, *prompt, *yes, EOS, EOS], [EOS, *prompt, *never]]
        none = [IGNORED] * 3
        assert labels.tolist() == [[*none, *yes, EOS, IGNORED, IGNORED], [*none, *never, EOS]]

    def test_rows_alternate_between_chosen_and_rejected(self, tmp_path):
        tokenizer, tokens = tokens_of(tmp_path, ITEMS)
        labels = pair_arrays(tokens, np.array([2, 0]), 64)[1].tolist()
        found = [tokenizer.decode([label for label in row if label not in (IGNORED, EOS)]) for row in labels]
        assert found == ["é", "e", "yes", "never"]

    def test_prompts_are_cut_at_their_beginning_and_alike(self, tmp_path):
        tokenizer, tokens = tokens_of(tmp_path, [Document("yes", "long? ", rejected="never")])
        for context, prompt in ((20, "long? "), (12, "long? "), (9, "g? "), (6, "")):
            chosen, rejected = pair(tokens, 0, context)
            assert tokenizer.decode(chosen.inputs[1:]) == prompt + "yes"
            assert tokenizer.decode(rejected.inputs[1:]) == prompt + "never"
            assert len(rejected.inputs) == len(rejected.labels) == min(context, 12)
            assert chosen.labels.tolist() == [IGNORED] * len(prompt) + [*tokenizer.encode(["yes"])[0], EOS]

    def test_an_answer_is_never_cut(self, tmp_path):
        _, tokens = tokens_of(tmp_path, ITEMS[:1])
        assert answer_tokens(tokens, np.array([0])).tolist() == [[4, 6]]
        with pytest.raises(DataError, match=r"an answer of 6 tokens .* a context of 5; use a longer"):
            pair(tokens, 0, 5)


class Lengths(SimpleNamespace):
    """Tokens of which only the lengths are there."""

    def __len__(self):
        return len(self.ids)


def test_an_answer_without_tokens_is_refused_with_its_document():
    """Two documents of three tokens; the rejected answer of the second begins where it ends."""
    ids, lengths = np.array([5, 255], np.uint64), np.array([3, 3])
    rejected = SimpleNamespace(lengths=lengths, answer_starts=np.array([1, 3]))
    tokens = Lengths(ids=ids, lengths=lengths, answer_starts=np.array([1, 1]), rejected=rejected)
    assert answer_tokens(tokens, np.arange(2)).tolist() == [[3, 3], [3, 1]]
    with pytest.raises(DataError, match=r"document 1 \(id 00000000000000ff\) has an answer without tokens"):
        check_answers(tokens)
