"""Asking a judge about documents against a plain forward pass over the same texts and the question after them.

CPU seconds of one thread (on a CUDA device: seconds), in turns, the same batches on both sides. The plain pass has
neither examples nor a memory of them before its texts, and computes the logits of the last position alone.
"""

import itertools
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.lqs import DEVICE, seconds
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.corpus.windows import buckets
from delt_exp.dataset.stdlib import StdlibProse
from delt_exp.mapping.judge import TextBatch
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.scorer.ask_llm.examples import made_examples
from delt_exp.scorer.ask_llm.judge import YesNoJudge
from delt_exp.scorer.ask_llm.prompt import make_prompt
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.hf import HfTokenizer

MODEL = "smollm2"
BATCH_TOKENS = 2048


def plain_pass(network: Any, ids: Sequence[list[int]]) -> None:
    """Read whole sequences of one batch, padded on the right."""
    width = max(map(len, ids))
    inputs_BT = torch.tensor([row + [0] * (width - len(row)) for row in ids], device=DEVICE)
    with torch.inference_mode():
        network(input_ids=inputs_BT, use_cache=False, logits_to_keep=1)


def compare(tokenizer: Tokenizer, shots: int, texts: list[str], repeats: int) -> Row:
    """Return the ratio of CPU seconds; a prefix is read before the clock starts, once for a whole shard."""
    scorer = composed(CONF, ["scorer=ask_llm"]).scorer
    examples = made_examples(texts[:4], tokenizer, scorer.example_tokens, 0) if shots else []
    prompt, most = make_prompt(tokenizer, scorer.question, examples), scorer.context_tokens
    judgement = YesNoJudge(MODEL, None, tokenizer.folder, prompt, most).open(str(DEVICE))
    network = load_causal_lm(MODEL).to(DEVICE)
    sizes = np.array([min(len(text.encode()), most) for text in texts])
    batches = [[texts[i] for i in chosen] for chosen in buckets(sizes, most, BATCH_TOKENS)]
    asked = [TextBatch(batch, np.zeros(len(batch), np.uint64), np.arange(len(batch))) for batch in batches]
    plain = [[ids[:most] + list(prompt.after) for ids in tokenizer.encode(batch)] for batch in batches]

    def all_of(function: Any, parts: Sequence[Any]) -> None:
        for part in parts:
            function(part)

    ours, theirs = partial(all_of, judgement, asked), partial(all_of, partial(plain_pass, network), plain)
    all_of(judgement, asked[:1])
    all_of(partial(plain_pass, network), plain[:1])
    times = alternate(repeats, lambda: seconds(ours)[0], lambda: seconds(theirs)[0])
    tokens = sum(len(row) for batch in plain for row in batch)
    detail = f"{spread(*times)}; {len(prompt.before)} tokens shared; {tokens / min(times[0]):.0f} tokens/s"
    return Row(f"asking with {shots} examples", "forward pass", median_ratio(*times), "x time", detail, below=1.3)


def measure(quick: bool) -> list[Row]:
    """Return the rows for the machine at hand."""
    torch.set_num_threads(1)
    documents = (d.text[:2000] for d in StdlibProse("train", None).documents() if len(d.text) > 200)
    texts = list(itertools.islice(documents, 4 if quick else 12))
    with tempfile.TemporaryDirectory() as folder:
        HfTokenizer(MODEL, None, None, "auto", "own").make((), Path(folder))
        return [compare(Tokenizer(Path(folder)), shots, texts, 1 if quick else 3) for shots in (0, 4)]
