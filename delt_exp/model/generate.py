"""What a causal LM says next: texts that it writes, and probabilities of single words.

A prompt is text, read as the beginning of a document, or token ids as they stand (a filled chat template, say). What a
prompt shares a batch with changes nothing but rounding.

Shapes: P prompts, W words, B prompts of a batch, T positions, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from delt_exp.corpus.windows import buckets
from delt_exp.errors import ConfigError
from delt_exp.model.shared_prefix import common_prefix, read_prefix
from delt_exp.pretrained.limits import position_limit
from delt_exp.rows.draws import generator
from delt_exp.tokenizer.base import Tokenizer

Prompt = str | Sequence[int]


def generate(
    network: Any, tokenizer: Tokenizer, prompts: Sequence[Prompt], *, max_new_tokens: int, stop: Sequence[str] = (),
    temperature: float = 0.0, seed: int = 0, batch_tokens: int = 2048,
) -> list[str]:  # fmt: skip
    """Return what the network writes after each prompt: up to its end token, a text of `stop`, or `max_new_tokens`.

    temperature: 0 takes the most probable token; above, tokens are drawn from the untruncated distribution by numbers
    that depend on `seed` and the position of the prompt in `prompts`. batch_tokens: padded tokens in one pass, at least
    one prompt. Raises ConfigError for a prompt that does not leave room for `max_new_tokens`.
    """
    keys = [(position,) for position in range(len(prompts))]
    written = generate_ids(
        network, tokenizer, prompts, keys,
        max_new_tokens=max_new_tokens, stop=stop, temperature=temperature, seed=seed, batch_tokens=batch_tokens,
    )  # fmt: skip
    return [tokenizer.text_before(ids, stop) for ids in written]


def generate_ids(
    network: Any, tokenizer: Tokenizer, prompts: Sequence[Prompt], keys: Sequence[tuple[int, ...]], *,
    max_new_tokens: int, stop: Sequence[str], temperature: float, seed: int, batch_tokens: int,
) -> list[list[int]]:  # fmt: skip
    """Return the new tokens after each prompt, without the end token; what is past a text of `stop` may follow it.

    keys: what the random numbers of a prompt depend on, in place of its position. Everything else as in `generate`.
    """
    if max_new_tokens < 1 or not temperature >= 0:
        raise ConfigError(
            f"max_new_tokens={max_new_tokens} and temperature={temperature} are not allowed; give at least 1 token and "
            "a temperature of at least 0"
        )
    ids = _ids(network, tokenizer, prompts, max_new_tokens)
    written: list[list[int]] = [[]] * len(ids)
    with torch.inference_mode(), _own_settings(network):
        for chosen in _batches(ids, max_new_tokens, batch_tokens):
            noise = [] if temperature == 0 else [_Gumbel([keys[i] for i in chosen], temperature, seed)]
            rows = _written(network, tokenizer, [ids[i] for i in chosen], max_new_tokens, stop, noise)
            for index, row in zip(chosen, rows, strict=True):
                written[index] = row
    return written


def next_token_log_probs(
    network: Any, tokenizer: Tokenizer, prompts: Sequence[Prompt], words: Sequence[str], batch_tokens: int = 2048
) -> Tensor:
    """Return [P, W] log-probabilities, over the whole vocabulary, that each word is the next token of each prompt.

    What all prompts begin with is read once. Raises ConfigError for a word that is not one token of the tokenizer: its
    leading space counts, and `single_token` tells.
    """
    word_ids = [single_token(tokenizer, word) for word in words]
    missing = [word for word, token in zip(words, word_ids, strict=True) if token is None]
    if missing:
        pieces = [tokenizer.decode([token]) for token in tokenizer.encode([missing[0]])[0]]
        raise ConfigError(f"{missing[0]!r} is not one token but {pieces}; give words that are one token")
    ids = _ids(network, tokenizer, prompts, 0)
    log_probs_PW = torch.empty(len(ids), len(words))
    with torch.inference_mode():
        prefix = read_prefix(network, common_prefix(ids))
        for chosen in _batches([row[len(prefix.ids) :] for row in ids], 0, batch_tokens):
            logits_BV = prefix.last_logits(network, [ids[i] for i in chosen])
            log_probs_PW[torch.from_numpy(chosen)] = logits_BV.float().log_softmax(-1)[:, word_ids].cpu()
    return log_probs_PW


def single_token(tokenizer: Tokenizer, word: str) -> int | None:
    """Return the id of a word that is one token, else None."""
    (ids,) = tokenizer.encode([word])
    return ids[0] if len(ids) == 1 else None


def _ids(network: Any, tokenizer: Tokenizer, prompts: Sequence[Prompt], room: int) -> list[list[int]]:
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    encoded = iter(tokenizer.encode(texts))
    ids = [[tokenizer.begin_id, *next(encoded)] if isinstance(p, str) else [int(token) for token in p] for p in prompts]
    limit = position_limit(network.config)
    for index, row in enumerate(ids):
        if not row:
            raise ConfigError(f"prompt {index} is empty; give '' as text to start from the begin token")
        if limit is not None and len(row) + room > limit:
            raise ConfigError(
                f"prompt {index} has {len(row)} tokens and {room} are to be generated, but the model has {limit} "
                f"positions; cut the prompt to {max(limit - room, 0)} tokens"
            )
    return ids


def _batches(ids: Sequence[Sequence[int]], room: int, batch_tokens: int) -> Iterator[NDArray[np.intp]]:
    lengths = np.array([len(row) + room for row in ids], np.int64)
    return buckets(lengths, int(lengths.max(initial=1)), batch_tokens)


@contextmanager
def _own_settings(network: Any) -> Iterator[None]:
    """Set aside what a checkpoint says about generation (sampling, penalties): the arguments alone decide."""
    from transformers import GenerationConfig

    before = network.generation_config
    network.generation_config = GenerationConfig()
    try:
        yield
    finally:
        network.generation_config = before


def _written(
    network: Any, tokenizer: Tokenizer, rows: Sequence[list[int]], max_new_tokens: int, stop: Sequence[str],
    noise: list[Any],
) -> list[list[int]]:  # fmt: skip
    """Return the tokens after each row. Padded on the left, so that the new tokens of all rows line up."""
    width = max(map(len, rows))
    device = next(network.parameters()).device
    inputs_BT = torch.tensor([[tokenizer.eos_id] * (width - len(row)) + row for row in rows], device=device)
    mask_BT = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows], device=device)
    stopping = {"stop_strings": list(stop), "tokenizer": tokenizer.pretrained()} if stop else {}
    new_BT = network.generate(
        inputs=inputs_BT, attention_mask=mask_BT, max_new_tokens=max_new_tokens, do_sample=False,
        eos_token_id=tokenizer.eos_id, pad_token_id=tokenizer.eos_id, logits_processor=noise, **stopping,
    )[:, width:]  # fmt: skip
    return [_before(row.tolist(), tokenizer.eos_id) for row in new_BT.cpu()]


def _before(ids: list[int], token: int) -> list[int]:
    return ids[: ids.index(token)] if token in ids else ids


class _Gumbel:
    """Turns the choice of the largest logit into a draw from the softmax (Gumbel 1954).

    The noise is drawn on the CPU, by the key of the prompt and step, so that device and batch mates do not decide what
    is written.
    """

    def __init__(self, keys: Sequence[tuple[int, ...]], temperature: float, seed: int) -> None:
        self._generators = [generator(seed, "generated tokens", *key) for key in keys]
        self._temperature = temperature

    def __call__(self, input_ids: Tensor, logits_BV: Tensor) -> Tensor:
        noise_BV = np.stack([draws.gumbel(size=logits_BV.shape[1]) for draws in self._generators])
        return logits_BV.double() / self._temperature + torch.from_numpy(noise_BV).to(logits_BV.device)
