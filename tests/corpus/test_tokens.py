"""Token shards hold, for every row, what the tokenizer says about its text."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import delt_exp.corpus.tokens
from delt_exp.corpus.tokens import write_tokens
from delt_exp.dataset.base import Document
from delt_exp.files import file_sha256
from tests.helpers import make_byte_tokenizer, make_corpus, make_tokens, new_folder

RUN_FILES = {f"{name}_{part}.npy" for name in ("prompts", "turns") for part in ("starts", "totals")}
TEXTS = ["a", "two words", "é" * 7, "line\nline\n", "x" * 40, "日本語", "end"] * 3  # 1, 9, 14, 10, 40, 9, 3 bytes


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("byte")
    return make_byte_tokenizer(folder, make_corpus(folder, TEXTS))


def whole_documents(tokens):
    return [tokens.document(row).tolist() for row in range(len(tokens))]


@pytest.mark.parametrize(("batch_documents", "shard_tokens"), [(1, 1), (1, 20), (2, 30), (5, 10), (1000, 10**9)])
def test_every_row_is_its_encoded_text_however_the_shards_are_cut(
    tokenizer, tmp_path, monkeypatch, batch_documents, shard_tokens
):
    monkeypatch.setattr(delt_exp.corpus.tokens, "BATCH_DOCUMENTS", batch_documents)
    monkeypatch.setattr(delt_exp.corpus.tokens, "SHARD_TOKENS", shard_tokens)
    corpus = make_corpus(tmp_path, TEXTS)
    tokens = make_tokens(tmp_path, corpus, tokenizer)
    assert whole_documents(tokens) == tokenizer.encode(TEXTS)
    assert tokens.lengths.tolist() == [1, 9, 14, 10, 40, 9, 3] * 3
    assert (tokens.ids == corpus.ids).all()
    assert len(list(tokens.folder.glob("tokens-*.bin"))) == len(tokens.meta["shard_tokens"])
    assert sum(tokens.meta["shard_tokens"]) == tokens.meta["tokens"] == 258


def test_shards_close_when_full_and_hold_whole_documents(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(delt_exp.corpus.tokens, "BATCH_DOCUMENTS", 1)
    monkeypatch.setattr(delt_exp.corpus.tokens, "SHARD_TOKENS", 20)
    tokens = make_tokens(tmp_path, make_corpus(tmp_path, TEXTS[:7]), tokenizer)
    # 1 + 9 + 14 reach 20; 10 + 40 reach it; 9 + 3 do not.
    assert tokens.meta["shard_tokens"] == [24, 50, 12]


@given(start=st.integers(0, 12), stop=st.none() | st.integers(0, 12), row=st.integers(0, 20))
def test_a_part_of_a_document_is_that_slice_of_it(sharded, tokenizer, start, stop, row):
    assert sharded.document(row, start, stop).tolist() == tokenizer.encode(TEXTS)[row][start:stop]


@pytest.fixture(scope="module")
def sharded(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delt_exp.corpus.tokens, "BATCH_DOCUMENTS", 2)
        patch.setattr(delt_exp.corpus.tokens, "SHARD_TOKENS", 30)
        return make_tokens(folder, make_corpus(folder, TEXTS), tokenizer)


def test_prompts_are_read_but_not_predicted(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(delt_exp.corpus.tokens, "BATCH_DOCUMENTS", 2)
    documents = [
        Document("plain"),
        Document("answer", prompt="question? "),
        Document("B", prompt="é"),
        Document("last"),
    ]
    tokens = make_tokens(tmp_path, make_corpus(tmp_path, documents), tokenizer)
    assert tokens.num_predicted.tolist() == [5, 6, 1, 4]
    assert tokens.predicted(1, 8, 13).tolist() == [False] * 2 + [True] * 3
    assert tokens.predicted(1, 8, 13, completion_only=False).all()
    prompts, texts = (tokenizer.encode([getattr(d, part) for d in documents]) for part in ("prompt", "text"))
    assert whole_documents(tokens) == [prompt + text for prompt, text in zip(prompts, texts, strict=True)]


@dataclass(frozen=True)
class CodePoints:
    """A tokenizer whose ids are code points, so that its vocabulary can be of any size."""

    vocab_size: int
    begin_id = eos_id = 0
    digest = "code points"

    def encode(self, texts):
        return [[ord(c) for c in text] for text in texts]


@pytest.mark.parametrize(("vocab_size", "dtype"), [(2**16, np.uint16), (2**16 + 1, np.uint32)])
def test_ids_take_two_bytes_while_the_vocabulary_fits(tmp_path, vocab_size, dtype):
    highest = chr(vocab_size - 1)
    tokens = make_tokens(tmp_path, make_corpus(tmp_path, ["a" + highest]), CodePoints(vocab_size))
    assert tokens.document(0).dtype == dtype
    assert tokens.document(0).tolist() == [97, vocab_size - 1]


def test_a_text_that_a_tokenizer_reduces_to_nothing_has_no_tokens(tmp_path):
    class Silent(CodePoints):
        def encode(self, texts):
            return [[] for _ in texts]

    tokens = make_tokens(tmp_path, make_corpus(tmp_path, ["a", "b"]), Silent(10))
    assert whole_documents(tokens) == [[], []]


def test_the_same_corpus_gives_the_same_files(tokenizer, tmp_path):
    folders = [new_folder(tmp_path), new_folder(tmp_path)]
    for folder in folders:
        write_tokens(make_corpus(tmp_path, TEXTS), tokenizer, folder)
    hashes = [{f.name: file_sha256(f) for f in folder.iterdir()} for folder in folders]
    assert hashes[0] == hashes[1]
    assert set(hashes[0]) == {"tokens-00000.bin", "offsets.npy", "ids.npy", "meta.json", *RUN_FILES}


def test_the_digest_sees_documents_and_tokenizer(tokenizer, tmp_path):
    def digest(texts, by=tokenizer):
        return make_tokens(tmp_path, make_corpus(tmp_path, texts), by).digest

    assert digest(["a", "b"]) == digest(["a", "b"])
    assert len({digest(["a", "b"]), digest(["b", "a"]), digest(["a"]), digest(["a", "b"], CodePoints(300))}) == 4


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=20))
def test_any_texts_come_back_from_their_tokens(tokenizer, tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("any")
    tokens = make_tokens(folder, make_corpus(folder, texts), tokenizer)
    assert [tokenizer.decode(ids) for ids in whole_documents(tokens)] == texts
    meta = json.loads((tokens.folder / "meta.json").read_text())
    assert meta["eos_id"] == tokens.eos_id == 256
