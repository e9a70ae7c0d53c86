"""Where what was read departs from what was planned, and how.

A step is right when the sequences of all its forward passes and ranks are the next ones of the plan: their mean
gradient does not depend on who computed which, nor on accumulation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from delt_exp.certificate.digests import Hashes, Stretches
from delt_exp.errors import DataError
from delt_exp.verify.planned import Planned
from delt_exp.verify.recorded import Read

FEW = 8  # sequences that must lie in a row before they are called so


@dataclass(frozen=True)
class Finding:
    """The verdict. kind: how training departed from the plan, empty where it did not. step: where it began to."""

    kind: str
    step: int | None
    sentence: str


def compare(read: Read, plan: Planned, epochs: int) -> Finding:
    """Return whether training read the plan, `epochs` times; raises DataError where it read something else."""
    digests, note = plan.digests, ""
    if plan.rest is not None and plan.rest in read.rows["digest"]:
        digests = np.append(digests, np.uint64(plan.rest))
    elif plan.rest is not None:
        note = f"; the last tokens, fewer than a {plan.unit}, were not trained on"
    if not len(digests):
        raise DataError(
            f"the export has fewer tokens than one {plan.unit}, and training did not read them as one; give --context "
            "as training used it"
        )
    total, count = len(digests) * epochs, len(read.rows)
    wrong = _first_wrong(read, digests, total)
    if wrong is None and count == total:
        if read.ended is not None and (late := int((read.steps >= read.ended).sum())):
            return _not_stepped(late, read.ended, plan)
        return Finding("", None, f"verified: {count:,} sequences in {_num_steps(read):,} steps, as planned{note}")
    if wrong is None:
        return _ended(read, plan, count, total)
    return _Departure(read, plan, digests, wrong, total).finding()


def _num_steps(read: Read) -> int:
    return len(np.unique(read.steps))


def _largest_step(read: Read) -> int:
    return int(np.unique(read.steps, return_counts=True)[1].max())


def _first_wrong(read: Read, digests: Hashes, total: int) -> int | None:
    """Return the row that begins the first step which is not the next stretch of the plan."""
    count, steps = len(read.rows), read.steps
    expected = digests[np.arange(count) % len(digests)]
    ours, theirs = (values[np.lexsort([values, steps])] for values in (read.rows["digest"], expected))
    bad = np.flatnonzero((ours != theirs) | (np.arange(count) >= total))
    return int(np.searchsorted(steps, steps[bad[0]])) if len(bad) else None


def _not_stepped(late: int, ended: int, plan: Planned) -> Finding:
    cure = "call it after each optimizer.step(), and let one follow the last batch"
    units = f"{late:,} {plan.units} were" if late > 1 else f"{plan.unit} was"
    return Finding("not trained on", ended, f"the last {units} read, but no audit.step() followed: {cure}")


def _ended(read: Read, plan: Planned, count: int, total: int) -> Finding:
    left, last = total - count, int(read.steps[-1])
    if read.ended is None:
        return Finding(
            "not closed",
            last + 1,
            f"the audit tells nothing of the last {left:,} of {total:,} {plan.units}, because it was never closed: "
            "call audit.close() at the end of training; a training that was killed goes on with the same audit folder",
        )
    if left < _largest_step(read):
        cure = "the last batch was not full and was left out (drop_last)"
        return Finding(
            "dropped tail", last + 1, f"the last {left:,} of {total:,} {plan.units} were not trained on: {cure}"
        )
    return Finding(
        "ended early",
        last + 1,
        f"training ended after step {last} with {left:,} of {total:,} {plan.units} not trained on",
    )


class _Departure:
    """What is wrong from row `first` on. places: [R'] where in the plan each sequence is, -1 for nowhere."""

    def __init__(self, read: Read, plan: Planned, digests: Hashes, first: int, total: int) -> None:
        self.read, self.plan, self.digests, self.first, self.total = read, plan, digests, first, total
        self.step = int(read.steps[first])
        self.steps = read.steps[first:]
        self.places = self._places()
        self.in_steps = self.places[np.lexsort([self.places, self.steps])]
        self.size = int((self.steps == self.step).sum())

    def finding(self) -> Finding:
        """Return the verdict."""
        if (self.places < 0).any():
            return self._unknown()
        for case in (self._filled, self._by_rank, self._elsewhere):
            if (found := case()) is not None:
                return found
        return self._named(
            "shuffled",
            f"step {self.step} read {self._listed(self.in_steps[: self.size])} where {self._listed(self._expected())} "
            "were planned: a sampler shuffles; use a sequential one",
        )

    def _expected(self) -> NDArray[np.int64]:
        return np.arange(self.first, self.first + self.size) % len(self.digests)

    def _places(self) -> NDArray[np.int64]:
        """Return `places`; of equal sequences of the plan, the one nearest to where it is due."""
        order = np.argsort(self.digests, kind="stable")
        known = self.digests[order]
        wanted = self.read.rows["digest"][self.first :]
        low, high = np.searchsorted(known, wanted, "left"), np.searchsorted(known, wanted, "right")
        places = np.where(high > low, order[np.minimum(low, len(order) - 1)], -1)
        for row in np.flatnonzero(high - low > 1):
            same = order[low[row] : high[row]]
            places[row] = same[np.abs(same - (self.first + row) % len(self.digests)).argmin()]
        return places

    def _in_a_row(self, places: NDArray[np.int64]) -> bool:
        """Whether places follow each other in the plan, its beginning after its end."""
        return bool(((places - places[0] - np.arange(len(places))) % len(self.digests) == 0).all())

    def _named(self, kind: str, sentence: str) -> Finding:
        return Finding(kind, self.step, sentence)

    def _listed(self, places: NDArray[np.int64]) -> str:
        shown = ", ".join(map(str, places[:4].tolist())) + (", ..." if len(places) > 4 else "")
        return f"{self.plan.units} {shown}"

    def _filled(self) -> Finding | None:
        """A last step that read all that was left, and others to fill its batch."""
        due = np.arange(self.first, self.total) % len(self.digests)
        if (self.steps == self.step).all() and 0 < len(due) < self.size and np.isin(due, self.places).all():
            return self._named(
                "repeated to fill the last batch",
                f"the last step, {self.step}, read {self.size - len(due)} {self.plan.units} a second time to give "
                "every rank a full batch",
            )
        return None

    def _by_rank(self) -> Finding | None:
        """Every rank reads in order, but not its share of each step."""
        ranks = self.read.ranks[self.first :]
        if not ranks.any():
            return None
        own = [self.places[ranks == rank] for rank in np.unique(ranks)]
        if not all(len(places) and self._in_a_row(places) for places in own):
            return None
        begins = [int(places[0]) for places in own]
        if len(set(begins)) == 1:
            return self._named(
                "repeated on every rank",
                f"from step {self.step} on every rank reads the same {self.plan.units}: no sampler shares them out",
            )
        if self._in_a_row(self.in_steps[: max(FEW, 2 * self.size)]):
            return None
        return self._named(
            "rank split",
            f"from step {self.step} on every rank reads a stretch of its own, from the {self.plan.units} "
            f"{', '.join(map(str, begins))} on: share out each batch, not the data set",
        )

    def _elsewhere(self) -> Finding | None:
        """Training follows the plan, but from another place on."""
        if not self._in_a_row(self.in_steps[: max(FEW, 2 * self.size)]):
            return None
        place, due = int(self.in_steps[0]), self.first % len(self.digests)
        left = len(self.digests) - due
        if place == 0 and left < self.size and self.first < self.total:
            return self._named(
                "dropped tail",
                f"step {self.step} begins the next epoch, and the last {left} {self.plan.units} of this one were not "
                "trained: the last batch was not full and was left out (drop_last)",
            )
        if place < due or self.first >= self.total:
            return self._again(place, due)
        cure = "" if self.first or not self.step else "; a run that is resumed takes the audit folder of its first part"
        return self._named(
            "skipped",
            f"step {self.step} reads on from {self.plan.unit} {place}, and {due} to {place - 1} were skipped{cure}",
        )

    def _again(self, place: int, due: int) -> Finding:
        if self.first >= self.total:
            return self._named(
                "repeated", f"step {self.step} begins another epoch; give --epochs if there was to be more than one"
            )
        was = f"step {self.step} reads on from {self.plan.unit} {place}, which was trained before, where {due} was due"
        if self.step in self.read.starts:
            return self._named("repeated after resume", f"{was}: the resumed run did not skip what it had trained")
        return self._named("repeated", was)

    def _unknown(self) -> Finding:
        """Sequences that are none of the plan: the same tokens cut elsewhere, or others."""
        lengths = self.read.rows["length"][self.first :]
        begin = int(self.plan.lengths[: self.first % len(self.digests)].sum())
        ends = begin + np.cumsum(lengths)
        stretches = Stretches(self.plan.stream())
        fits = ends <= stretches.length
        found = stretches.digests((ends - lengths)[fits], ends[fits]) == self.read.rows["digest"][self.first :][fits]
        if fits.any() and found[: max(FEW, self.size)].all():
            sizes = sorted(set(lengths[fits].tolist()))
            shown = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
            return self._named(
                "packed differently",
                f"from step {self.step} on tokens come in the planned order, but in sequences of {shown} tokens, and "
                f"the plan is one {self.plan.unit} after the other; give --context if training joins documents",
            )
        share = int((self.places < 0).sum())
        raise DataError(
            f"{share:,} of {len(self.places):,} sequences from step {self.step} on are not in the export: it is not "
            "the export that was trained on, or the tokens were made differently; give the export that was trained, "
            "and --tokenizer, --append-eos, --max-tokens and --context as training used them"
        )
