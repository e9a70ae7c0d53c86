"""Cost and error of per-sample gradient features and of products with several directions.

CPU seconds (on a CUDA device: seconds) of one thread. Each pass alternates with a plain forward and backward pass of
the same batch, or with the pass that it extends. Errors are those of all cosines between the documents of a model after
a few steps, against the cosines of their whole gradients. The two-sided projection that is common elsewhere, P_out G
P_in^T of every linear layer with Gaussian sides of 16, is built here as its papers have it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.lqs import (
    CUDA,
    DEVICE,
    FULL,
    IS_CUDA,
    QUICK,
    Sizes,
    draw_ids,
    make_model,
    peak_bytes,
    plain_pass,
    seconds,
    training_step,
)
from benchmarks.process import in_new_process
from benchmarks.table import Row, alternate, median_ratio, spread
from delt_exp.dataset.stdlib import StdlibCode, StdlibProse
from delt_exp.gradients.features import per_sample_features
from delt_exp.gradients.flat import flatten, trainable_parameters
from delt_exp.gradients.kernel import per_sample_terms
from delt_exp.gradients.mapped import AdamStep
from delt_exp.gradients.projection import Projection
from delt_exp.model.batch import Batch
from delt_exp.model.objective import CrossEntropy

NUM_FEATURES = 8192
NUM_TARGETS = 9
NUM_DOCUMENTS = 40
TRAIN_STEPS_PER_REPEAT = 8
TWO_SIDED = 16
Pass = Callable[[], Any]


def lora(sizes: Sizes) -> Any:
    """The model, frozen, with adapters of rank 8 whose second factors are away from zero."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    model = get_peft_model(make_model(sizes, "sdpa"), config)
    for p in trainable_parameters(model).values():
        nn.init.normal_(p, std=0.02)
    return model


def directions(model: nn.Module, count: int) -> Tensor:
    """Random directions as rows."""
    generator = torch.Generator().manual_seed(0)
    size = sum(p.numel() for p in trainable_parameters(model).values())
    return torch.randn(count, size, generator=generator).to(DEVICE)


def adam_step(model: nn.Module) -> AdamStep:
    """The step from some state of Adam."""
    named = trainable_parameters(model)
    return AdamStep({name: (0.1 * p.detach(), p.detach().square()) for name, p in named.items()}, step=100)


def batch_of(ids_BT: Tensor) -> Batch:
    return {"input_ids": ids_BT[:, :-1], "labels": ids_BT[:, 1:]}


def features_pass(model: Any, ids_BT: Tensor, projection: Projection) -> Tensor:
    """Features of the batch."""
    return per_sample_features(model, batch_of(ids_BT), CrossEntropy(), projection)


def compare_passes(sizes: Sizes) -> list[Row]:
    """Each pass against the plainer one, alternating."""
    ids_BT, model, adapted = draw_ids(sizes, sizes.micro_batch, 3), make_model(sizes, "sdpa"), lora(sizes)
    one, several, adam = directions(adapted, 1)[0], directions(adapted, NUM_TARGETS), adam_step(adapted)

    def terms(direction: Tensor, transform: AdamStep | None = None) -> Pass:
        return partial(per_sample_terms, adapted, batch_of(ids_BT), CrossEntropy(), direction, transform=transform)

    plain, plain_lora = partial(plain_pass, model, ids_BT), partial(plain_pass, adapted, ids_BT)
    projection, size, targets = Projection(NUM_FEATURES, 0), f"{NUM_FEATURES:,} features", f"{NUM_TARGETS} directions"
    passes: list[tuple[str, str, Pass, Pass, float | None]] = [
        (
            f"{size}, all parameters",
            "forward + backward",
            partial(features_pass, model, ids_BT, projection),
            plain,
            1.3,
        ),
        (f"{size}, LoRA", "forward + backward", partial(features_pass, adapted, ids_BT, projection), plain_lora, None),
        (f"{targets}, LoRA", "one direction", terms(several), terms(one), 1.05),
        (f"{targets} of Adam's step, LoRA", "forward + backward", terms(several, adam), plain_lora, 1.1),
    ]
    return [compare(what, against, ours, theirs, aim, sizes.repeats) for what, against, ours, theirs, aim in passes]


def compare(what: str, against: str, ours: Pass, theirs: Pass, aim: float | None, repeats: int) -> Row:
    """The ratio of their times."""
    ours(), theirs()
    times = alternate(repeats, lambda: seconds(ours)[0], lambda: seconds(theirs)[0])
    return Row(what, against, median_ratio(*times), "x time", spread(*times), below=aim)


def compare_memory(sizes: Sizes) -> Row:
    """Peak of the features against a training step, each in a process of its own."""
    ours = in_new_process(peak_bytes, sizes, partial(features_pass, projection=Projection(NUM_FEATURES, 0))) / 1e6
    theirs = in_new_process(peak_bytes, sizes, training_step) / 1e6
    detail = f"{ours:.0f} MB and {theirs:.0f} MB"
    what = f"{NUM_FEATURES:,} features, all parameters"
    return Row(what, "training step", ours / theirs, "x peak memory", detail, below=1.25)


def whole_gradients(model: nn.Module, ids_NT: Tensor) -> Tensor:
    """The flat gradient of every document, (N, P)."""
    parameters = list(trainable_parameters(model).values())
    losses = (CrossEntropy().losses(model, batch_of(ids_1T)).sum() for ids_1T in ids_NT.split(1))
    return torch.stack([flatten(torch.autograd.grad(loss, parameters)) for loss in losses])


def two_sided(gradients_NP: Tensor, shapes: Sequence[torch.Size]) -> Tensor:
    """P_out G P_in^T of every matrix, side by side."""
    generator, blocks = torch.Generator().manual_seed(0), []
    for piece, shape in zip(gradients_NP.split([s.numel() for s in shapes], dim=1), shapes, strict=True):
        left, right = (torch.randn(TWO_SIDED, n, generator=generator).to(piece) / TWO_SIDED**0.5 for n in shape)
        blocks.append((left @ piece.view(-1, *shape) @ right.T).flatten(1))
    return torch.cat(blocks, dim=1)


def cosine_error(features_NK: Tensor, exact_NP: Tensor) -> float:
    """RMS error of the cosines between different documents."""
    cosines = [F.normalize(t.double(), dim=1) @ F.normalize(t.double(), dim=1).T for t in (features_NK, exact_NP)]
    rows, columns = torch.triu_indices(len(exact_NP), len(exact_NP), offset=1)
    return (cosines[0] - cosines[1])[rows, columns].square().mean().sqrt().item()


def draw_text(sizes: Sizes, count: int, seed: int) -> Tensor:
    """The first bytes of random documents of the standard library, (count, T + 1)."""
    texts = [d.text.encode() for cls in (StdlibProse, StdlibCode) for d in cls("train", None).documents()]
    long = [text for text in texts if len(text) > sizes.length]
    chosen = torch.randint(len(long), (count,), generator=torch.Generator().manual_seed(seed))
    return torch.tensor([list(long[i][: sizes.length + 1]) for i in chosen.tolist()], device=DEVICE)


def trained_model(sizes: Sizes) -> Any:
    """The model after some steps on text, so that its gradients are like those that one compares."""
    model = make_model(sizes, "sdpa")
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for number in range(sizes.repeats * TRAIN_STEPS_PER_REPEAT):
        optimizer.zero_grad()
        plain_pass(model, draw_text(sizes, sizes.micro_batch, 100 + number))
        optimizer.step()
    optimizer.zero_grad()
    return model


def compare_errors(sizes: Sizes) -> list[Row]:
    """The error of the features, and how many numbers a two-sided projection needs for the same error."""
    model, ids_NT = trained_model(sizes), draw_text(sizes, NUM_DOCUMENTS, 4)
    error = cosine_error(features_pass(model, ids_NT, Projection(NUM_FEATURES, 0)), whole_gradients(model, ids_NT))
    of_ideal = Row(
        f"cosine error of {NUM_FEATURES:,} features", "1 / sqrt(features)", error * NUM_FEATURES**0.5, "x",
        f"RMS {error:.4f} over all pairs of {NUM_DOCUMENTS} documents", below=1.2,
    )  # fmt: skip
    for name, p in model.named_parameters():
        p.requires_grad_("proj" in name)
    shapes, exact_NP = [p.shape for p in trainable_parameters(model).values()], whole_gradients(model, ids_NT)
    blocks_NK = two_sided(exact_NP, shapes)
    projection = Projection(blocks_NK.shape[1], 0)
    shared_NK = features_pass(model, ids_NT, projection)
    theirs, ours = (cosine_error(found, exact_NP) for found in (blocks_NK, shared_NK))
    detail = f"RMS {theirs:.4f} and {ours:.4f} with {projection.num_features:,} numbers of the linear layers"
    storage = Row("two-sided projection", "features of equal error", (theirs / ours) ** 2, "x numbers", detail, 3)
    return [of_ideal, storage]


def measure(quick: bool) -> list[Row]:
    """Return the rows for the machine at hand."""
    torch.set_num_threads(1)
    sizes = QUICK if quick else CUDA if IS_CUDA else FULL
    return [*compare_passes(sizes), compare_memory(sizes), *compare_errors(sizes)]
