"""Cost of an LQS annotation against the recipe of the published code, and of its parts against a training step.

CPU seconds (on a CUDA device: seconds) of one thread, so that threads that wait for each other do not count. Both
annotations run in this process one after the other on the same model and samples, and must agree. Parts alternate with
a plain forward and backward pass of the same batch. Peaks are taken in a fresh process each, from before the model was
made. With a CUDA device the sizes are those of the 160M model at length 1024.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.process import in_new_process
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.gradients.flat import flatten, unflatten
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.gradients.products import hvp
from delt_exp.model.objective import CrossEntropy
from delt_exp.scorer.lqs.annotate import annotate
from delt_exp.scorer.lqs.settings import AnnotationSettings
from delt_exp.scorer.reverse.samples import next_token_sample
from delt_exp.store.memory import PeakMemory

IS_CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if IS_CUDA else "cpu")
LR = 0.05
Parameters = dict[str, Tensor]


@dataclass(frozen=True)
class Sizes:
    """A model, a training run and how often the parts are repeated."""

    layers: int = 4
    hidden: int = 256
    intermediate: int = 1024
    heads: int = 4
    vocab: int = 4096
    length: int = 128
    steps: int = 12
    interval: int = 3
    micro_batch: int = 8
    accumulation: int = 2
    documents: int = 128
    target: int = 32
    repeats: int = 9


FULL = Sizes()
QUICK = Sizes(layers=2, hidden=128, intermediate=512, length=64, steps=5, documents=16, target=8, repeats=5)
CUDA = Sizes(12, 768, 3072, 12, 32000, 1024, steps=4, interval=2, documents=64, target=8, repeats=5)


def make_model(sizes: Sizes, attention: str) -> Any:
    """A random Llama, the same for equal sizes."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=sizes.vocab,
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.length,
        attn_implementation=attention,
    )
    return LlamaForCausalLM(config).to(DEVICE).eval()


def draw_ids(sizes: Sizes, count: int, seed: int) -> Tensor:
    """Random documents of length + 1 tokens."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(sizes.vocab, (count, sizes.length + 1), generator=generator).to(DEVICE)


class PublishedRecipe:
    """Per-sample gradients by vmap, forward-over-reverse Hessian products in pairs, replay, target gradient each step.

    What it returns leaves the published code's one defect, norms shared by a batch, out of the comparison.
    """

    def __init__(self, sizes: Sizes, model: Any, train: Tensor, target: Tensor, documents: Tensor) -> None:
        self.sizes, self.model = sizes, model
        self.train, self.target, self.documents = train, target, documents
        self.per_sample_gradients = vmap(grad(self.loss_of_one), in_dims=(None, 0))

    def loss(self, parameters: Parameters, ids_BT: Tensor) -> Tensor:
        inputs = {"input_ids": ids_BT[:, :-1], "use_cache": False}
        logits_BTV = functional_call(self.model, parameters, (), inputs).logits
        return F.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten())

    def loss_of_one(self, parameters: Parameters, ids_T: Tensor) -> Tensor:
        return self.loss(parameters, ids_T[None])

    def gradient(self, parameters: Parameters, ids_NT: Tensor) -> Tensor:
        leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
        parts = ids_NT.split(self.sizes.micro_batch)
        for part in parts:
            (self.loss(leaves, part) / len(parts)).backward()  # type: ignore[no-untyped-call]
        return flatten(p.grad for p in leaves.values() if p.grad is not None)

    def hvp(self, parameters: Parameters, ids_NT: Tensor, direction: Tensor) -> Tensor:
        tangent = dict(zip(parameters, unflatten(direction, list(parameters.values())), strict=True))
        parts, total = ids_NT.split(2), torch.zeros_like(direction)
        for part in parts:

            def loss(p: Parameters, part: Tensor = part) -> Tensor:
                return self.loss(p, part)

            product = jvp(grad(loss), (parameters,), (tangent,))[1]
            total += flatten(product.values()) / len(parts)
        return total

    def terms(self, parameters: Parameters, direction: Tensor) -> Tensor:
        columns = []
        for part in self.documents.split(self.sizes.micro_batch):
            gradients = self.per_sample_gradients(parameters, part)
            gradient_BP = torch.cat([g.flatten(1) for g in gradients.values()], dim=1)
            columns.append(torch.stack([gradient_BP @ direction, gradient_BP.norm(dim=1)]))
        return torch.cat(columns, dim=1)

    def annotate(self) -> Tensor:
        """Dot products and norms of the scored steps, latest first, shape (S, 2, N)."""
        sizes, theta = self.sizes, dict(self.model.named_parameters())
        theta = {name: p.detach().clone() for name, p in theta.items()}
        stride, checkpoints = math.isqrt(sizes.steps), {}
        for step in range(sizes.steps):
            if step % stride == 0:
                checkpoints[step] = theta
            theta = self._descend(theta, step)
        costate = self.gradient(theta, self.target)
        rows = []
        for step, state in self._states_backwards(checkpoints, stride):
            target_gradient = self.gradient(state, self.target)
            if step % sizes.interval == 0:
                rows.append(self.terms(state, costate))
            costate = costate + target_gradient - LR * self.hvp(state, self._batch(step), costate)
        return torch.stack(rows)

    def _states_backwards(self, checkpoints: dict[int, Parameters], stride: int) -> Iterator[tuple[int, Parameters]]:
        for start in sorted(checkpoints, reverse=True):
            states = [checkpoints[start]]
            for step in range(start, min(start + stride, self.sizes.steps) - 1):
                states.append(self._descend(states[-1], step))
            yield from zip(range(start + len(states) - 1, start - 1, -1), reversed(states), strict=True)

    def _batch(self, step: int) -> Tensor:
        size = self.sizes.micro_batch * self.sizes.accumulation
        return self.train[step * size : (step + 1) * size]

    def _descend(self, theta: Parameters, step: int) -> Parameters:
        moves = unflatten(self.gradient(theta, self._batch(step)), list(theta.values()))
        return {name: p - LR * move for (name, p), move in zip(theta.items(), moves, strict=True)}


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of all threads, or elapsed seconds of the device; and the result."""
    if IS_CUDA:
        torch.cuda.synchronize()
    clock = time.perf_counter if IS_CUDA else time.process_time
    start = clock()
    result = function()
    if IS_CUDA:
        torch.cuda.synchronize()
    return clock() - start, result


def compare_annotations(sizes: Sizes) -> Row:
    """Both annotations on the same run; they must agree."""
    counts = sizes.steps * sizes.micro_batch * sizes.accumulation, sizes.target, sizes.documents
    train, target, documents = (draw_ids(sizes, count, seed) for seed, count in enumerate(counts))
    samples = [[next_token_sample(ids) for ids in part.tolist()] for part in (train, target, documents)]
    size = sizes.micro_batch * sizes.accumulation
    batches = [samples[0][start : start + size] for start in range(0, len(train), size)]
    settings = AnnotationSettings(LR, sizes.interval, "terminal", sizes.micro_batch, 4, "fp32")
    model = make_model(sizes, "sdpa")
    ours, result = seconds(lambda: annotate(model, batches, samples[1], samples[2], settings))
    recipe = PublishedRecipe(sizes, make_model(sizes, "eager"), train, target, documents)
    theirs, terms_S2N = seconds(recipe.annotate)
    norms = (result.norm_SN - terms_S2N[:, 1].cpu()).abs() / result.norm_SN
    if norms.max() > 1e-2:
        raise AssertionError(f"the two annotations disagree: a norm differs by {norms.max():.1%}")
    detail = f"{sizes.documents} documents, {ours:.1f} s and {theirs:.1f} s; norms agree to {norms.max():.0e}"
    return Row("LQS annotation", "published recipe, rebuilt", ours / theirs, "x time", detail, below=0.25)


def plain_pass(model: Any, ids_BT: Tensor) -> None:
    """One forward and backward pass that fills every gradient."""
    logits_BTV = model(input_ids=ids_BT[:, :-1], use_cache=False).logits
    F.cross_entropy(logits_BTV.flatten(0, 1), ids_BT[:, 1:].flatten()).backward()  # type: ignore[no-untyped-call]


def training_step(model: Any, ids_BT: Tensor) -> None:
    """A plain pass and the update."""
    plain_pass(model, ids_BT)
    torch.optim.SGD(model.parameters(), LR).step()


def terms_pass(model: Any, ids_BT: Tensor) -> None:
    """Per-sample dot products and norms of the batch."""
    direction = torch.ones(sum(p.numel() for p in model.parameters()), device=DEVICE)
    per_sample_terms(model, {"input_ids": ids_BT[:, :-1], "labels": ids_BT[:, 1:]}, CrossEntropy(), direction)


def hvp_pass(model: Any, ids_BT: Tensor) -> None:
    """A Hessian-vector product of the batch."""
    direction = torch.ones(sum(p.numel() for p in model.parameters()), device=DEVICE)
    hvp(model, {"input_ids": ids_BT[:, :-1], "labels": ids_BT[:, 1:]}, CrossEntropy(), direction, 4)


def compare_parts(sizes: Sizes) -> list[Row]:
    """Each part against a plain pass, alternating."""
    model, ids_BT = make_model(sizes, "sdpa"), draw_ids(sizes, sizes.micro_batch, 3)

    def cost(part: Callable[[Any, Tensor], None]) -> float:
        model.zero_grad()
        return seconds(partial(part, model, ids_BT))[0]

    parts = (("per-sample dot products and norms", terms_pass, 1.3), ("Hessian-vector product", hvp_pass, 3.0))
    rows = []
    for what, part, aim in parts:
        cost(part)
        ours, plain = alternate(sizes.repeats, partial(cost, part), partial(cost, plain_pass))
        ratio, detail = median_ratio(ours, plain), spread(ours, plain)
        rows.append(Row(what, "forward + backward", ratio, "x time", detail, below=aim))
    return rows


def peak_bytes(sizes: Sizes, part: Callable[[Any, Tensor], Any]) -> int:
    """Memory that model and part need at most; call it in a fresh process."""
    torch.set_num_threads(1)
    with PeakMemory().measure() as before:
        pass
    with PeakMemory().measure() as after:
        model = make_model(sizes, "sdpa")
        part(model, draw_ids(sizes, sizes.micro_batch, 3))
    return after.cuda_bytes if IS_CUDA else after.resident_bytes - before.resident_bytes


def compare_memory(sizes: Sizes) -> Row:
    """Peak of the per-sample terms against a training step."""
    ours, theirs = (in_new_process(peak_bytes, sizes, part) / 1e6 for part in (terms_pass, training_step))
    detail = f"{ours:.0f} MB and {theirs:.0f} MB"
    return Row("per-sample dot products and norms", "training step", ours / theirs, "x peak memory", detail, below=1.25)


def measure(quick: bool) -> list[Row]:
    """Return the rows for the machine at hand."""
    torch.set_num_threads(1)
    sizes = QUICK if quick else CUDA if IS_CUDA else FULL
    return [*compare_parts(sizes), compare_memory(sizes), compare_annotations(sizes)]
