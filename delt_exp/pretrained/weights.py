"""Whether a loaded network holds what its files say, and is what it is used as.

`transformers` draws missing weights at random, passes over those it has no place for, and only writes a report of it.
T positions, V vocabulary.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from delt_exp.errors import ConfigError, DataError
from delt_exp.pretrained.limits import position_limit

Load = Callable[..., Any]

# Modules put around others by torch.compile, FSDP, activation checkpointing and DeepSpeed, anywhere in a network.
INNER_WRAPPER = r"(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
MOST_WRAPPERS = 4  # around a whole network, such as `module.` of DDP or the attribute of a LightningModule
# Values that older versions saved and every version computes by itself.
COMPUTED = re.compile(r"(?:^|\.)(?:rotary_emb\.\w+|inv_freq|(?:attn|attention)\.(?:masked_)?bias|position_ids)$")
ADAPTER = re.compile(r"(?:^|\.)(?:lora_[AB]|lora_embedding_[AB]|lora_magnitude_vector|ia3_l|base_layer)(?:\.|$)")
POOLER = re.compile(r"(?:^|\.)pooler\.")  # of encoders; hidden states are read before it
PROBE_TOKENS = 8
MOST_DIFFERENCE = 1e-5  # of logits that may not differ, against the largest; bidirectional networks differ by over 1e-3


@dataclass(frozen=True)
class _Load:
    """A network and what became of names: those without a weight in the files, without a place, of another shape."""

    network: Any
    missing: Set[str]
    unexpected: Set[str]
    mismatched: Set[tuple[str, Any, Any]]

    @property
    def is_whole(self) -> bool:
        return not (self.missing or self.mismatched or self.within())

    def within(self) -> list[str]:
        """Return the weights without a place that belong to modules the network has, or to more layers of them."""
        prefix = f"{self.network.base_model_prefix}."
        modules = {_any_layer(name) for name, _ in self.network.named_modules() if name}
        modules |= {name.removeprefix(prefix) for name in modules}
        return sorted(name for name in self.unexpected if _any_layer(name.rpartition(".")[0]) in modules)


def checked_network(load: Load, name: str, *, causal: bool) -> tuple[Any, tuple[str, ...]]:
    """Return the network that `load(**options)` of `from_pretrained` gives, in evaluation mode, and notes on it.

    Names left by wrappers are stripped when all weights fit then. Raises DataError for missing or misfitting weights
    and values that are not finite, ConfigError for a causal LM that reads ahead.
    """
    loaded, notes = _load(load), []
    if not loaded.is_whole:
        mapping = _without_wrappers(loaded)
        again = _load(load, key_mapping=mapping) if mapping else loaded
        if again.is_whole:
            example = min(loaded.unexpected)
            notes.append(f"{name}: names of weights such as {example} were read without what a wrapper left in them")
            _save_as(again.network, loaded.network)
            loaded = again
    _refuse_adapter(loaded, name)
    _refuse_integers(loaded.network, name)
    _refuse_unsound(loaded, name)
    if causal and loaded.unexpected:
        notes.append(f"{name}: {_some(loaded.unexpected)} not used, for which a {_class(loaded)} has no place")
    network = loaded.network.eval()
    _refuse_not_finite(network, name)
    if causal:
        refuse_reading_ahead(network, name)
    return network, tuple(notes)


def _save_as(network: Any, plain: Any) -> None:
    """Let `save_pretrained` write the names that it gives a network read without a renaming.

    `transformers` would undo the renaming, and put the wrappers back.
    """
    network.__dict__.pop("_weight_conversions", None)
    if "_weight_conversions" in plain.__dict__:  # of architectures that store their weights otherwise
        network._weight_conversions = plain.__dict__["_weight_conversions"]


def _refuse_adapter(loaded: _Load, name: str) -> None:
    adapters = sorted(key for key in loaded.unexpected if ADAPTER.search(key))
    if adapters:
        raise DataError(
            f"{name!r} holds weights of an adapter that is not merged, such as {adapters[0]}; merge it into the model "
            "first (merge_and_unload of peft) and save that"
        )


def _refuse_integers(network: Any, name: str) -> None:
    """Raise for weights stored as integers: without their scales they are no weights."""
    from safetensors import safe_open

    parameters = {key for key, _ in network.named_parameters()}
    for file in sorted(Path(name).glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            kinds = {key: tensors.get_slice(key).get_dtype() for key in tensors.keys()}  # noqa: SIM118 - no mapping
        integers = sorted(
            key for key, kind in kinds.items() if kind[0] in "IUB" and kind != "BF16" and key in parameters
        )
        if integers:
            raise DataError(
                f"{file} holds {integers[0]} as {kinds[integers[0]]}, which is a quantised weight without its scale; "
                "dequantise the model first, or use its float16 or bfloat16 version"
            )


def refuse_reading_ahead(network: Any, name: str) -> None:
    """Raise ConfigError when changing the last token changes the logits before it: losses would mean nothing."""
    logits_BTV = _probe_logits(network, name)
    before, after = (row[:-1] for row in logits_BTV)
    if float((before - after).abs().max()) > MOST_DIFFERENCE * float(logits_BTV.abs().max()):
        raise ConfigError(
            f"{name!r} is a {type(network).__name__} whose tokens see those after them, so it cannot be used as a "
            "causal language model: its loss would mean nothing. Choose one such as gpt2 or Llama (an encoder serves "
            "alignment.sentence.encoder)"
        )


def _probe_logits(network: Any, name: str) -> torch.Tensor:
    """Return the logits [2, T, V] of a few tokens and of the same with another one at the end."""
    rows, padding = network.get_input_embeddings().weight.shape[0], network.config.pad_token_id
    length = min(PROBE_TOKENS, position_limit(network.config) or PROBE_TOKENS)
    tokens = [index for index in range(min(rows, length + 2)) if index != padding]
    ids_T = torch.tensor([tokens[t % len(tokens)] for t in range(length + 1)])
    ids_BT = torch.stack([ids_T[:-1], torch.cat([ids_T[:-2], ids_T[-1:]])]).to(network.device)
    was_training = network.training
    network.eval()
    try:
        with torch.inference_mode():
            logits_BTV: torch.Tensor = network(input_ids=ids_BT, use_cache=False).logits.float()
    except Exception as error:
        raise ConfigError(f"{name!r} cannot read {length} tokens: {type(error).__name__}: {error}") from error
    finally:
        network.train(was_training)
    return logits_BTV


def _load(load: Load, **options: Any) -> _Load:
    with _no_report(), torch.random.fork_rng(devices=[]):  # what is missing is drawn, and refused
        network, info = load(dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True, **options)
    buffers = {_any_layer(name) for name, _ in network.named_buffers()}
    unexpected = {n for n in info["unexpected_keys"] if not COMPUTED.search(n) and _any_layer(n) not in buffers}
    missing = {name for name in info["missing_keys"] if not POOLER.search(name)}
    return _Load(network, missing, unexpected, info["mismatched_keys"])


@contextmanager
def _no_report() -> Iterator[None]:
    """Keep `transformers` from writing its report on names: what is in it is said or raised here."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _without_wrappers(loaded: _Load) -> dict[str, str]:
    """Return the renaming, pattern -> replacement, that makes most names fit; empty where none helps."""
    names = {re.sub(INNER_WRAPPER, "", name) for name in loaded.unexpected}
    prefix = f"{loaded.network.base_model_prefix}."
    known = {_any_layer(name) for name in loaded.network.state_dict()}
    known |= {name.removeprefix(prefix) for name in known}
    mapping = {INNER_WRAPPER: ""} if names != loaded.unexpected else {}
    best, most = mapping, _hits(names, known) if mapping else 0
    stripped = ""
    for _ in range(MOST_WRAPPERS):
        heads = {name.partition(".")[0] for name in names}
        if len(heads) != 1:
            break
        head = heads.pop()
        stripped += re.escape(f"{head}.")
        names = {name.removeprefix(f"{head}.") for name in names}
        if (hits := _hits(names, known)) > most:
            best, most = {**mapping, f"^{stripped}": ""}, hits
    return best


def _hits(names: Iterable[str], known: Set[str]) -> int:
    return sum(_any_layer(name) in known for name in names)


def _refuse_unsound(loaded: _Load, name: str) -> None:
    kind, total = _class(loaded), len(loaded.network.state_dict())
    cure = "fetch or save the complete model again, or give a folder whose config.json describes its weights"
    if loaded.missing:
        found = f", and has no place for {_some(loaded.unexpected)}" if loaded.unexpected else ""
        raise DataError(
            f"{name!r} lacks {_some(loaded.missing)} of the {total} of a {kind}, which would be drawn at "
            f"random{found}; {cure}"
        )
    if loaded.mismatched:
        key, stored, wanted = min(loaded.mismatched, key=lambda item: item[0])
        raise DataError(
            f"{name!r}: {key} has shape {list(stored)} in the file, but {list(wanted)} by config.json "
            f"({len(loaded.mismatched)} such weights); {cure}"
        )
    if within := loaded.within():
        raise DataError(
            f"{name!r} holds {_some(within)} that its config.json leaves out, so the network would differ from the "
            f"one that was trained; {cure}"
        )


def _refuse_not_finite(network: Any, name: str) -> None:
    for key, parameter in network.named_parameters():
        values = parameter.detach()
        if bool(values.sum().isfinite()):  # a sum in one pass; it may overflow where no value does
            continue
        count = int((~values.isfinite()).sum())
        if count:
            raise DataError(
                f"{name!r}: {count} of {values.numel()} values of {key} are not finite (NaN or infinite); its training "
                "has diverged (lower the learning rate, or take an earlier state) or the file is damaged"
            )


def _class(loaded: _Load) -> str:
    return type(loaded.network).__name__


def _some(names: Iterable[str]) -> str:
    """Return how many weights there are and the first of them."""
    listed = sorted(names)
    noun = "weight" if len(listed) == 1 else "weights"
    return f"{len(listed)} {noun} ({', '.join(listed[:2])}{' ...' if len(listed) > 2 else ''})"


def _any_layer(name: str) -> str:
    """Return a name with the numbers of layers and experts left open."""
    return re.sub(r"(?<=\.)\d+(?=\.|$)", "*", f".{name}")[1:]
