"""Pretrained networks, proxies and tokenizers go together, or one message says why not, before anything is computed."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer as RustTokenizer
from tokenizers import models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from delt_exp.corpus.stages import text_stage
from delt_exp.errors import ConfigError, DataError
from delt_exp.model.cost import model_size
from delt_exp.model.hf import PretrainedNetwork
from delt_exp.pretrained.limits import position_limit
from delt_exp.proxy.pretrained import PretrainedProxy
from delt_exp.store.store import Store
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.hf import HfTokenizer
from tests.helpers import make_corpus, make_pool, new_folder
from tests.pretrained.folders import SOUND, make_network, renamed, rewrite, saved
from tests.runs import command, records, write_texts

WORDS = ["<unk>", "</s>", "fold", "sort", "train", "loss"]
ZERO_WIDTH = "\u200b\u200b"


def save_words(folder: Path, **special):
    """Save a tokenizer of whole words that reads nothing in zero-width characters."""
    rust = RustTokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    rust.normalizer, rust.pre_tokenizer = normalizers.Replace("\u200b", ""), pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=rust, unk_token="<unk>", **special)
    tokenizer.save_pretrained(folder)
    return tokenizer


def made(folder, eos_token=None):
    tokenizer = Tokenizer(new_folder(folder.parent))
    HfTokenizer(str(folder), None, eos_token, "auto", "own").make(
        make_corpus(folder.parent, ["fold"]), tokenizer.folder
    )
    return tokenizer


@pytest.mark.parametrize("special", [True, False])
def test_tokens_without_an_embedding_are_refused_with_both_numbers(special, tmp_path):
    folder = tmp_path / "model"
    saved(folder, vocab_size=6)
    tokenizer = save_words(folder, eos_token="</s>")
    tokenizer.add_tokens(["<|end|>"], special_tokens=special)
    if special:
        tokenizer.eos_token = "<|end|>"
    tokenizer.save_pretrained(folder)
    with pytest.raises(ConfigError, match=r"up to 6 \('<\|end\|>'\), so it needs 7 embedding rows, but .* has 6"):
        PretrainedNetwork(str(folder), None).check(made(folder))
    proxy = PretrainedProxy(str(folder), None, context_tokens=8, eos_token=None)
    with pytest.raises(ConfigError, match="needs 7 embedding rows"):
        proxy.check_weights(fetch=False)
    with pytest.raises(ConfigError, match="needs 7 embedding rows"):
        proxy.prepare(make_pool(tmp_path, ["fold"]).resources)


def test_a_special_token_that_no_document_can_hold_needs_no_embedding(tmp_path):
    """As the image token of text-only Gemma 3, whose id is the number of embeddings."""
    folder = tmp_path / "model"
    saved(folder, vocab_size=6)
    tokenizer = save_words(folder, eos_token="</s>")
    tokenizer.add_tokens(["<image>"], special_tokens=True)
    tokenizer.save_pretrained(folder)
    assert tokenizer.convert_tokens_to_ids("<image>") == 6  # beyond the rows 0 to 5
    PretrainedNetwork(str(folder), None).check(made(folder))


def test_an_end_of_text_token_can_be_named(tmp_path):
    folder = tmp_path / "model"
    save_words(folder)
    with pytest.raises(ConfigError, match=r"no end-of-text token(.|\n)*eos_token(.|\n)*special tokens are <unk>"):
        made(folder)
    with pytest.raises(ConfigError, match="eos_token is '<end>', not a token of"):
        made(folder, "<end>")
    tokenizer = made(folder, "</s>")
    assert (tokenizer.eos_id, tokenizer.vocab_size) == (1, len(WORDS))
    assert AutoTokenizer.from_pretrained(tokenizer.folder).eos_token_id == 1


def test_documents_without_a_token_are_left_out_and_counted(tmp_path):
    save_words(tmp_path / "words", eos_token="</s>")
    tokenizer, store = made(tmp_path / "words"), Store(new_folder(tmp_path), verify="hash")
    corpus = make_corpus(tmp_path, ["fold sort", ZERO_WIDTH, "loss"])
    text = text_stage(store, corpus, tokenizer)
    assert [text.corpus.document(row).text for row in range(len(text))] == ["fold sort", "loss"]
    assert [text.tokens.document(row).tolist() for row in range(len(text))] == [[2, 3], [5]]
    assert text.corpus.ids.tolist() == corpus.ids[[0, 2]].tolist() == text.tokens.ids.tolist()
    assert text.corpus.meta["counts"] == corpus.meta["counts"] | {"without_tokens": 1}
    assert text.corpus.meta["text_bytes"] == len("fold sort") + len("loss")
    with pytest.raises(DataError, match="none of the 1 documents into tokens"):
        text_stage(store, make_corpus(tmp_path, [ZERO_WIDTH]), tokenizer)


def test_documents_without_a_token_for_the_proxy_alone_are_named_before_scoring(tmp_path):
    folder = tmp_path / "model"
    saved(folder)
    save_words(folder, eos_token="</s>")
    proxy = PretrainedProxy(str(folder), None, context_tokens=8, eos_token=None)
    pool = make_pool(tmp_path, ["fold", ZERO_WIDTH])
    with pytest.raises(DataError, match=r"1 of 2 documents have no token(.|\n)*row 1"):
        proxy.prepare(pool.resources, pool.candidates)


@pytest.mark.parametrize("kind", SOUND)
def test_every_kind_of_network_has_a_size(kind, tmp_path):
    network = make_network(kind)
    size = model_size(network.config, 16)
    assert size.parameters == sum(parameter.numel() for parameter in network.parameters())
    assert size.activation_bytes_per_token > 0


def test_activations_of_a_network_without_attention_are_those_of_its_layers():
    from transformers import MambaConfig

    size = model_size(MambaConfig(vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2), 16)
    assert size.activation_bytes_per_token == (2 * (16 * 16 + 4 * 32) + 3 * 60) * 4


def test_a_multimodal_config_has_the_limits_of_its_text(tmp_path):
    from transformers import Gemma3Config

    text = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 8,
    }
    config = Gemma3Config(
        text_config={**text, "vocab_size": 60, "intermediate_size": 24, "max_position_embeddings": 77}
    )
    assert position_limit(config) == 77


@pytest.fixture
def wrapped(tmp_path):
    """A byte model saved from inside DDP, and texts to train on."""
    from delt_exp.tokenizer.byte import ByteTokenizer

    write_texts(tmp_path)
    folder = tmp_path / "model"
    saved(folder, vocab_size=257, pad_token_id=None, max_position_embeddings=64)
    rewrite(folder, renamed(lambda name: f"module.{name}"))
    tokenizer = Tokenizer(new_folder(tmp_path))
    ByteTokenizer().make(["a"], tokenizer.folder)
    tokenizer.pretrained().save_pretrained(folder)
    return folder


def continued(folder):
    return (
        "scorer=length", "eval_dataset=none", "training.epochs=null", "training.max_tokens=512", "tokenizer=hf",
        f"tokenizer.name={folder}", "model=hf", f"model.network.name={folder}", "model.context_tokens=32",
        "model.batch_items=8", "proxy=sample",
    )  # fmt: skip


@pytest.mark.slow
def test_a_repaired_checkpoint_is_noted_in_record_and_page(wrapped, monkeypatch):
    command(monkeypatch, *continued(wrapped))
    (record,) = records()
    assert "wrapper" in record["model_notes"][0]
    page = next(Path("outputs/runs").glob("*/report.html")).read_text()
    assert "what a wrapper left in them" in page


@pytest.mark.parametrize("dry_run", [True, False])
def test_unsound_weights_stop_a_run_before_anything_is_computed(dry_run, wrapped, monkeypatch, capsys):
    rewrite(wrapped, lambda weights: {name: value for name, value in weights.items() if "lm_head" not in name})
    with pytest.raises(SystemExit):
        command(monkeypatch, *continued(wrapped), f"dry_run={json.dumps(dry_run)}")
    said = capsys.readouterr().err
    assert "lm_head.weight" in said
    assert "error:" in said
    assert not Path("outputs/store/scores").exists()
