"""A pass of scorer=data_whisperer against its floor: seconds of one CPU thread, or of a CUDA device, in turns.

The floor reads the demonstrations of each group once and each question with its response once, in plain forward passes
of the same batches: without a memory, without attention rows and with the logits of the last position alone.
"""

import itertools
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.lqs import DEVICE, seconds
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.dataset.base import Document, Part
from delt_exp.dataset.stdlib import StdlibPairs
from delt_exp.pretrained.loading import load_causal_lm
from delt_exp.scorer.data_whisperer.judge import GroupBatch, WhisperJudge
from delt_exp.scorer.data_whisperer.pairs import pair_of
from delt_exp.scorer.data_whisperer.prompt import make_frame, make_prompt
from delt_exp.tokenizer.base import Tokenizer
from delt_exp.tokenizer.hf import HfTokenizer

MODEL = "smollm2"
LAYER = 12


def plain_pass(network: Any, rows: list[list[int]]) -> None:
    """Read sequences of one batch, padded on the right."""
    width = max(map(len, rows))
    inputs_BT = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=DEVICE)
    with torch.inference_mode():
        network(input_ids=inputs_BT, use_cache=False, logits_to_keep=1)


def compare(tokenizer: Tokenizer, documents: list[Document], repeats: int) -> Row:
    """Return the ratio of seconds over all groups of one pass."""
    scorer = composed(CONF, ["scorer=data_whisperer"]).scorer
    size, asked, most = scorer.num_demonstrations, scorer.num_queries, scorer.context_tokens
    judge = WhisperJudge(
        MODEL, None, tokenizer.folder, scorer.instruction, size, asked, "prob", LAYER, False, most,
        scorer.max_new_tokens,
    )  # fmt: skip
    judgement, network = judge.open(str(DEVICE)), load_causal_lm(MODEL).to(DEVICE)
    parts: list[tuple[Part, ...]] = [document.parts for document in documents]
    starts = range(0, len(parts) - size - asked + 1, size)
    groups = [GroupBatch(parts[i : i + size], parts[i + size : i + size + asked], i) for i in starts]
    frame, floor = make_frame(tokenizer), []
    for group in groups:
        shown, queries = ([pair_of(p, tokenizer, most) for p in some] for some in (group.demonstrations, group.queries))
        prompts = [make_prompt(tokenizer, frame, scorer.instruction, shown, [query]) for query in queries]
        begin = prompts[0].block.start
        floor += [[prompts[0].ids[:begin]], [prompt.ids[begin:] for prompt in prompts]]

    def ours() -> None:
        for group in groups:
            judgement(group)

    def theirs() -> None:
        for rows in floor:
            plain_pass(network, rows)

    judgement(groups[0])
    plain_pass(network, floor[0])
    times = alternate(repeats, lambda: seconds(ours)[0], lambda: seconds(theirs)[0])
    tokens = sum(len(row) for rows in floor for row in rows)
    detail = f"{spread(*times)}; {len(groups)} groups, {tokens} tokens; {tokens / min(times[0]):.0f} tokens/s"
    return Row("one pass of prompts", "its floor", median_ratio(*times), "x time", detail, below=1.5)


def measure(quick: bool) -> list[Row]:
    """Return the row for the machine at hand."""
    torch.set_num_threads(1)
    documents = list(itertools.islice(StdlibPairs("train", None).documents(), 8 if quick else 23))
    with tempfile.TemporaryDirectory() as folder:
        HfTokenizer(MODEL, None, None, "auto", "own").make((), Path(folder))
        return [compare(Tokenizer(Path(folder)), documents, 1 if quick else 3)]
