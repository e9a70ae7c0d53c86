"""Pretrained tokenizers from folders made here, and names that cannot be had."""

import pytest

from delt_exp.errors import ConfigError, DependencyError
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.bpe import BpeTokenizer
from delt_exp.tokenizer.hf import HfTokenizer
from tests.helpers import make_byte_tokenizer, make_corpus, new_folder

TEXTS = ["the cat sat on the mat " * 5, "naïve café\n\n"]


def contract_overrides(folder):
    return [f"tokenizer.name={make_byte_tokenizer(folder, make_corpus(folder, TEXTS)).folder}"]


@pytest.fixture
def original(tmp_path):
    tokenizer = Tokenizer(new_folder(tmp_path))
    BpeTokenizer(280, None, None).make(TEXTS, tokenizer.folder)
    return tokenizer


def load(name, tmp_path, begin="auto"):
    tokenizer = Tokenizer(new_folder(tmp_path))
    HfTokenizer(str(name), None, None, begin, "own").make(TEXTS, tokenizer.folder)
    return tokenizer


def test_a_folder_gives_the_tokenizer_that_was_saved_there(original, tmp_path):
    loaded = load(original.folder, tmp_path)
    assert loaded.encode(TEXTS) == original.encode(TEXTS)
    assert (loaded.vocab_size, loaded.eos_id) == (original.vocab_size, original.eos_id)


def test_a_saved_length_limit_and_start_token_do_not_change_the_encoding(original, tmp_path):
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    limited = AutoTokenizer.from_pretrained(original.folder, model_max_length=4)
    rust = limited.backend_tokenizer
    rust.enable_truncation(4)
    rust.enable_padding(length=64)
    rust.post_processor = TemplateProcessing("<|endoftext|> $A", special_tokens=[("<|endoftext|>", original.eos_id)])
    folder = new_folder(tmp_path)
    limited.save_pretrained(folder)
    assert load(folder, tmp_path).encode(TEXTS) == original.encode(TEXTS)


def test_a_tokenizer_without_an_end_of_text_token_is_refused(original, tmp_path):
    from tokenizers import Tokenizer as RustTokenizer
    from transformers import PreTrainedTokenizerFast

    rust = RustTokenizer.from_file(str(original.folder / "tokenizer.json"))
    folder = new_folder(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=rust).save_pretrained(folder)
    with pytest.raises(ConfigError, match="no end-of-text token"):
        load(folder, tmp_path)


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    empty = new_folder(tmp_path)
    with pytest.raises(DependencyError, match=f"cannot load '{empty}'"):
        load(empty, tmp_path)


@pytest.mark.parametrize("name", ["no-such-owner/no-such-model", "/no/such/folder"])
def test_a_name_that_cannot_be_had_offline_is_named_with_the_cure(tmp_path, monkeypatch, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DependencyError, match=rf"cannot load '{name}'(.|\n)*(HF_HOME|network)"):
        load(name, tmp_path)


def test_a_vocabulary_with_gaps_has_room_for_its_largest_id(tmp_path):
    from tokenizers import Tokenizer as RustTokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = RustTokenizer(WordLevel({"<unk>": 0, "fold": 1, "sort": 3, "</s>": 70_000}, unk_token="<unk>"))
    folder = new_folder(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="</s>", unk_token="<unk>").save_pretrained(folder)
    assert load(folder, tmp_path).vocab_size == 70_001
