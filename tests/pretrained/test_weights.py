"""What a pretrained folder gives is what its files say, or one message says why not."""

import logging
import shutil

import pytest
import torch
from safetensors.torch import load_file

from delt_exp.errors import ConfigError, DataError, DependencyError
from delt_exp.model.fresh import ALWAYS_CAUSAL, FreshNetwork
from delt_exp.pretrained.loading import check_weights, load_base_model, load_causal_lm
from delt_exp.pretrained.weights import refuse_reading_ahead
from tests.helpers import make_byte_tokenizer, make_corpus
from tests.pretrained.folders import SOUND, as_bin, make_network, renamed, rewrite, saved, set_config

LLAMA_LAYER = "model.layers.1.mlp.up_proj.weight"


def assert_same(one, other):
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


WRAPPED = {
    "compiled": lambda name: f"_orig_mod.{name}",
    "DDP": lambda name: f"module.{name}",
    "compiled in DDP": lambda name: f"module._orig_mod.{name}",
    "DDP compiled": lambda name: f"_orig_mod.module.{name}",
    "attribute model": lambda name: f"model.{name}",
    "attribute network of a compiled module": lambda name: f"network._orig_mod.{name}",
    "three wrappers": lambda name: f"state.module.model.{name}",
    "FSDP": lambda name: f"_fsdp_wrapped_module.{name}",
}


@pytest.mark.parametrize("kind", SOUND)
def test_a_sound_folder_gives_its_weights_and_no_note(kind, tmp_path):
    network = saved(tmp_path, kind)
    assert_same(load_causal_lm(tmp_path), network)
    assert check_weights(str(tmp_path), None, fetch=False).notes == ()


@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen3_moe", "mamba"])
def test_names_left_by_wrappers_are_stripped_and_it_is_said(kind, wrapper, tmp_path, capsys):
    network = saved(tmp_path, kind)
    rewrite(tmp_path, renamed(WRAPPED[wrapper]))
    assert_same(load_causal_lm(tmp_path), network)
    if (kind, wrapper) not in [("llama", "attribute model"), ("qwen3_moe", "attribute model")]:
        # there, `transformers` itself takes `model.` for the prefix of the base model
        (note,) = check_weights(str(tmp_path), None, fetch=False).notes
        assert "wrapper" in note
        assert note in capsys.readouterr().err


def test_a_wrapper_around_single_blocks_is_stripped(tmp_path):
    network = saved(tmp_path)
    rewrite(tmp_path, renamed(lambda name: name.replace("layers.1.", "layers.1._checkpoint_wrapped_module.")))
    assert_same(load_causal_lm(tmp_path), network)


def test_wrapped_names_in_a_bin_file_are_stripped(tmp_path):
    network = saved(tmp_path)
    as_bin(tmp_path, renamed(WRAPPED["DDP"])(load_file(tmp_path / "model.safetensors")))
    assert_same(load_causal_lm(tmp_path), network)


def test_wrapped_names_in_shards_are_stripped(tmp_path):
    network = make_network("llama")
    weights = renamed(WRAPPED["compiled"])(network.state_dict())
    network.save_pretrained(tmp_path, state_dict=weights, max_shard_size="8KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert_same(load_causal_lm(tmp_path), network)


def test_sharded_weights_and_half_precision_are_read(tmp_path):
    network = make_network("llama").bfloat16()
    network.save_pretrained(tmp_path, max_shard_size="8KB")
    assert_same(load_causal_lm(tmp_path), network.float())


def without(key):
    return lambda weights: {name: value for name, value in weights.items() if name != key}


def with_value(key, value):
    def change(weights):
        weights[key].flatten()[3] = value
        return weights

    return change


def added(key):
    return lambda weights: weights | {key: torch.ones(16)}


DAMAGED = {
    "missing": (without(LLAMA_LAYER), rf"lacks 1 weight \({LLAMA_LAYER}\) of the 21"),
    "head missing": (without("lm_head.weight"), r"lacks 1 weight \(lm_head.weight\)"),
    "two models in one file": (
        renamed(lambda name: f"teacher.{name}" if "layers.1" in name else f"student.{name}"),
        "lacks 21 weights .* and has no place for 21 weights",
    ),
    "another model": (renamed(lambda name: name.replace("layers", "blocks")), "lacks 18 weights"),
    "not a number": (with_value(LLAMA_LAYER, float("nan")), f"1 of 384 values of {LLAMA_LAYER} are not finite"),
    "infinite": (with_value("lm_head.weight", float("inf")), "1 of 960 values of lm_head.weight are not finite"),
    "a bias that the config leaves out": (added("model.layers.0.self_attn.q_proj.bias"), "config.json leaves out"),
    "another shape": (
        lambda weights: weights | {LLAMA_LAYER: torch.ones(25, 16)},
        rf"{LLAMA_LAYER} has shape \[25, 16\] in the file, but \[24, 16\]",
    ),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_weights_that_are_not_those_of_the_network_are_refused(damage, tmp_path):
    change, message = DAMAGED[damage]
    saved(tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(DataError, match=message):
        load_causal_lm(tmp_path)


def test_more_layers_than_the_config_describes_are_refused(tmp_path):
    saved(tmp_path)
    set_config(tmp_path, num_hidden_layers=1, layer_types=None)
    with pytest.raises(DataError, match=r"9 weights .* that its config.json leaves out"):
        load_causal_lm(tmp_path)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
        ("gpt2", "transformer.h.0.attn.bias"),
        ("gpt2", "transformer.h.0.attn.masked_bias"),
        ("gpt_neox", "gpt_neox.layers.0.attention.masked_bias"),
        ("gpt_neox", "gpt_neox.layers.1.attention.rotary_emb.inv_freq"),
    ],
)
def test_what_older_versions_saved_and_every_network_computes_is_no_fault(kind, name, tmp_path):
    network = saved(tmp_path, kind)
    rewrite(tmp_path, added(name))
    assert_same(load_causal_lm(tmp_path), network)
    assert check_weights(str(tmp_path), None, fetch=False).notes == ()


def test_a_head_of_another_task_is_not_used_and_said(tmp_path):
    network = saved(tmp_path)
    rewrite(tmp_path, added("v_head.summary.weight"))
    assert_same(load_causal_lm(tmp_path), network)
    (note,) = check_weights(str(tmp_path), None, fetch=False).notes
    assert "v_head.summary.weight" in note
    assert "not used" in note


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", "xlm", "camembert"])
def test_networks_that_read_ahead_are_refused_by_name(kind, tmp_path):
    network = saved(tmp_path, kind)
    with pytest.raises(ConfigError, match=f"is a {type(network).__name__} whose tokens see those after them"):
        load_causal_lm(tmp_path)
    load_base_model(tmp_path)  # as an encoder it is sound


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_an_encoder_saved_as_a_decoder_is_causal(kind, tmp_path):
    network = saved(tmp_path, kind, is_decoder=True)
    assert_same(load_causal_lm(tmp_path), network)


def test_an_encoder_is_read_without_the_head_of_its_training(tmp_path):
    network = saved(tmp_path, "bert")
    words = load_base_model(tmp_path).embeddings.word_embeddings.weight
    assert torch.equal(words, network.bert.embeddings.word_embeddings.weight)
    rewrite(tmp_path, without("bert.encoder.layer.1.output.dense.weight"))
    with pytest.raises(DataError, match=r"lacks 1 weight \(encoder.layer.1.output.dense.weight\)"):
        load_base_model(tmp_path)


def test_a_fresh_network_that_reads_ahead_is_refused_and_the_trusted_ones_do_not(tmp_path):
    tokenizer = make_byte_tokenizer(tmp_path, make_corpus(tmp_path, ["a"]))
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    with pytest.raises(ConfigError, match="tokens see those after them"):
        FreshNetwork("bert", sizes).check(tokenizer)
    FreshNetwork("mamba", {"hidden_size": 16, "num_hidden_layers": 1}).check(tokenizer)
    for kind in ALWAYS_CAUSAL:
        refuse_reading_ahead(make_network(kind, num_key_value_heads=2), kind)


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
BROKEN = {
    "pointer": (lambda file: file.write_text(POINTER), "is a git-lfs pointer"),
    "truncated": (truncate, "is incomplete"),
    "empty": (lambda file: file.write_bytes(b""), "is empty"),
    "a page of a server": (
        lambda file: file.write_text("<!doctype html><p>Not found"),
        "is not a complete safetensors file",
    ),
    "header cut": (lambda file: file.write_bytes(file.read_bytes()[:50]), "is not a complete safetensors file"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_cannot_be_read_is_named_with_the_cure(kind, tmp_path):
    change, message = BROKEN[kind]
    saved(tmp_path)
    change(tmp_path / "model.safetensors")
    with pytest.raises(DataError, match=rf"model.safetensors {message}(.|\n)*fetch it again"):
        load_causal_lm(tmp_path)


def test_half_a_bin_file_is_named(tmp_path):
    saved(tmp_path)
    as_bin(tmp_path, load_file(tmp_path / "model.safetensors"))
    truncate(tmp_path / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"pytorch_model.bin is incomplete(.|\n)*fetch it again"):
        load_causal_lm(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    make_network("llama").save_pretrained(tmp_path, max_shard_size="8KB")
    shard = sorted(tmp_path.glob("*.safetensors"))[1]
    shard.unlink()
    with pytest.raises(DataError, match=rf"{shard.name} is missing(.|\n)*fetch it again"):
        load_causal_lm(tmp_path)


def test_an_unfinished_download_is_named(tmp_path):
    saved(tmp_path)
    (tmp_path / ".cache").mkdir()
    shutil.move(tmp_path / "model.safetensors", tmp_path / ".cache" / "model.incomplete")
    with pytest.raises(DataError, match=r"model\.incomplete is an unfinished download"):
        load_causal_lm(tmp_path)


def test_a_folder_without_weights_and_one_that_wants_its_own_code_are_refused(tmp_path):
    saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(DependencyError, match="cannot load"):
        load_causal_lm(tmp_path)
    set_config(tmp_path, model_type="own", auto_map={"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"})
    (tmp_path / "code.py").write_text("raise SystemExit('was run')")
    with pytest.raises(DependencyError, match="its own code, which is never run"):
        load_causal_lm(tmp_path)


@pytest.mark.parametrize("whole", [False, True])
def test_an_adapter_is_refused_with_how_to_merge_it(whole, tmp_path):
    if whole:
        saved(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "gpt2"}')
    with pytest.raises(ConfigError, match=r"adapter of 'gpt2'(.|\n)*merge it first"):
        load_causal_lm(tmp_path)


def test_checks_leave_random_numbers_and_logging_alone(tmp_path):
    saved(tmp_path)
    rewrite(tmp_path, renamed(WRAPPED["DDP"]))
    before, level = torch.random.get_rng_state(), logging.getLogger("transformers").level
    load_causal_lm(tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert logging.getLogger("transformers").level == level


def test_a_folder_that_was_repaired_is_looked_at_again(tmp_path):
    saved(tmp_path)
    sound = load_file(tmp_path / "model.safetensors")
    rewrite(tmp_path, without(LLAMA_LAYER))
    with pytest.raises(DataError, match="lacks"):
        check_weights(str(tmp_path), None, fetch=False)
    rewrite(tmp_path, lambda weights: sound)
    assert check_weights(str(tmp_path), None, fetch=False).embedding_rows == 60


def _state(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def _rewritten(folder, tmp_path, change):
    """Return a copy of a model folder with changed weights."""
    import shutil

    from safetensors.torch import save_file

    copy = tmp_path / "changed"
    shutil.copytree(folder, copy)
    save_file(change(_state(folder)), copy / "model.safetensors", metadata={"format": "pt"})
    return copy


@pytest.fixture
def sound(tmp_path):
    """Return the folder of a tiny Llama."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "sound")
    return tmp_path / "sound"


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "model.module.", "network._orig_mod.module."])
def test_a_model_read_without_a_wrapper_is_saved_without_it(sound, tmp_path, wrapper):
    from transformers import AutoModelForCausalLM

    wrapped = _rewritten(sound, tmp_path, lambda state: {wrapper + key: value for key, value in state.items()})
    load_causal_lm(str(wrapped)).save_pretrained(tmp_path / "saved")
    assert set(_state(tmp_path / "saved")) == set(_state(sound))
    _, info = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]


def test_integer_weights_without_scales_are_refused(sound, tmp_path):
    quantised = _rewritten(sound, tmp_path, lambda state: {key: (50 * v).to(torch.int8) for key, v in state.items()})
    with pytest.raises(DataError, match=r"as I8, which is a quantised weight without its scale; dequantise"):
        load_causal_lm(str(quantised))


def test_adapter_weights_beside_the_model_are_refused(sound, tmp_path):
    key = "model.layers.0.self_attn.q_proj.lora_A.default.weight"
    adapted = _rewritten(sound, tmp_path, lambda state: {**state, key: torch.zeros(2, 16)})
    with pytest.raises(DataError, match=r"an adapter that is not merged, such as .*lora_A"):
        load_causal_lm(str(adapted))


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.json", '{"model_type": "lla', "config.json is not valid JSON"),
        ("generation_config.json", "", "generation_config.json is not valid JSON"),
        ("tokenizer.json", "{}", "tokenizer.json is not a complete tokenizer"),
        ("tokenizer.json", '{"model": {"ty', "tokenizer.json is not valid JSON"),
    ],
)
def test_damaged_settings_are_named(sound, file, content, reason):
    from delt_exp.pretrained.weight_files import explain

    (sound / file).write_text(content)
    assert reason in str(explain(ValueError("Expecting value"), str(sound), None))


def test_a_quantised_folder_is_said_to_be_one(sound):
    from delt_exp.pretrained.weight_files import explain

    said = explain(ImportError("Using `bitsandbytes` 4-bit quantization requires bitsandbytes"), str(sound), None)
    assert "is quantised" in str(said)
    assert "dequantise it first" in str(said)
