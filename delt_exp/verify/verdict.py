"""Compares what was trained with the order, and names the first departure.

Step s of an epoch trains the samples [s B, (s + 1) B) of the order, the last step of an epoch what is left. Within a
step the order of samples and processes is free: their gradients are summed.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from delt_exp.certificate.digests import Digests
from delt_exp.verify.played import Played

NAMES = {
    "shuffled": "the samples are those of the order, in another one; switch the shuffling of the sampler off",
    "repeated after resume": "the resumed run went back to samples that were trained; let it skip them, or start the "
    "sampler after them",
    "repeated": "samples come again that were trained before, as accelerate's even_batches and DistributedSampler fill "
    "up a last batch; choose a number of samples that divides",
    "dropped tail": "the last samples are not trained; set drop_last=False, or leave them out of the export",
    "rank split": "every process goes through a part of the order, or all of it, by itself; use OrderedSampler, and "
    "use_distributed_sampler=False with Lightning",
    "packed differently": "these sequences are not in the export: another tokenizer, packing, truncation or export",
}


@dataclass(frozen=True)
class Verdict:
    """departure: a key of NAMES, or None. step: from 1. num_steps: played. num_epochs: whole ones."""

    departure: str | None
    step: int
    detail: str
    num_steps: int
    num_epochs: int
    batch_samples: int

    def __str__(self) -> str:
        if self.departure is None:
            return f"in order: {self.detail}"
        return f"step {self.step} departs from the order: {self.departure}. {self.detail}; {NAMES[self.departure]}."


def judge(played: Played, order: Digests, batch_samples: int | None = None) -> Verdict:
    """Return whether the steps are those of the order; `batch_samples` is taken from the most common step if None."""
    sizes = Counter(sum(map(len, ranks)) for ranks in played.ranks)
    size = batch_samples or (max(sizes, key=lambda size: (sizes[size], size)) if sizes else 1)
    names = order.tolist()
    per_epoch = -(-len(names) // size)
    for number, ranks in enumerate(played.ranks):
        first = number % per_epoch * size
        want = Counter(names[first : first + size])
        got = Counter(name for rank in ranks for name in rank)
        if got != want:
            kind, detail = _explain(played, number, names, size, want, got)
            return Verdict(kind, number + 1, detail, len(played.ranks), number // per_epoch, size)
    return _ended(len(played.ranks), per_epoch, len(names), size)


def _ended(num_steps: int, per_epoch: int, num_samples: int, size: int) -> Verdict:
    epochs, rest = divmod(num_steps, per_epoch)
    if rest and rest == per_epoch - 1 and num_samples % size:
        detail = f"the last {num_samples % size} of {num_samples:,} samples were never trained"
        return Verdict("dropped tail", num_steps + 1, detail, num_steps, epochs, size)
    text = f"{num_steps:,} steps of {size} samples, {epochs} whole epochs of {num_samples:,} samples"
    text += f", ended after {rest * size:,} samples of the next one" if rest else ""
    return Verdict(None, 0, text, num_steps, epochs, size)


def _explain(
    played: Played, number: int, names: Sequence[int], size: int, want: Counter[int], got: Counter[int]
) -> tuple[str, str]:
    places: dict[int, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    extra, start = got - want, number % -(-len(names) // size) * size
    if unknown := sum(count for name, count in extra.items() if name not in places):
        return "packed differently", f"{unknown} of its {got.total()} sequences are unknown"
    begin = max((step for step in played.resumed if step <= number), default=0)
    trained = {name for ranks in played.ranks[:begin] for rank in ranks for name in rank}
    if begin and all(name in trained for name in extra) and begin == number:
        return "repeated after resume", f"{extra.total()} of its samples were trained before the run was resumed there"
    if _is_split(played, places):
        return "rank split", f"its {len(played.ranks[number])} processes do not share one batch of the order"
    if not extra and got.total() < want.total() or _begins_again(got, names, size, number):
        return "dropped tail", f"it lacks {(want - got).total()} samples of the order"
    if start + size > len(names) and not want - got:
        return "repeated", f"it has {extra.total()} samples of this epoch again"
    missing = (want - got).total()
    return "shuffled", f"{missing} of its {want.total()} samples belong to other steps"


def _is_split(played: Played, places: dict[int, list[int]]) -> bool:
    """Whether every process ascends in the order by itself: it was not shuffled, but dealt out otherwise."""
    world = min(len(ranks) for ranks in played.ranks)
    if world < 2:
        return False
    for rank in range(world):
        samples = [name for ranks in played.ranks for name in ranks[rank]]
        steps = [b - a for a, b in pairwise(places.get(name, [0])[0] for name in samples)]
        if sum(step > 0 for step in steps) < 0.9 * len(steps):
            return False
    return True


def _begins_again(got: Counter[int], names: Sequence[int], size: int, number: int) -> bool:
    """Whether the next epoch begins where the last, smaller batch of this one should be."""
    return number > 0 and number % -(-len(names) // size) == len(names) // size and got == Counter(names[:size])
