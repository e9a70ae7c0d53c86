"""Does what an order gains depend on the schedule of the learning rate?"""

from collections.abc import Mapping, Sequence

from delt_exp.config.fields import ProperShare, settings
from delt_exp.errors import ConfigError, DataError
from delt_exp.quantity import Ranged
from delt_exp.report.columns import in_words
from delt_exp.report.findings import Cell, Difference, Figure, Findings, Table
from delt_exp.statistics.families import Comparison
from delt_exp.study.comparison.outcomes import LOSS
from delt_exp.study.comparison.power import family_power, power_sentences
from delt_exp.study.forest import forest
from delt_exp.study.record import StudyRecord
from delt_exp.study.schedules.crossed import Cells, Crossed, Order, crossed, read_cells, schedules_of
from delt_exp.study.trust import trust

Family = Mapping[tuple[str, Order], Comparison]
UNIT = "nats/token"
CHANGE = "a change of a gain"


@settings
class ScheduleReport:
    """Compares each order with shuffling under each schedule, and its gain between schedules.

    The dimensions of the study are `schedule`, `orderer` and `scorer`; weights that a run averaged are a schedule of
    their own. shuffle: labels of scorer and orderer that every order is compared with. reference: the schedule that
    gains under the others are compared with. placebo: label of the scorer without information.
    """

    shuffle: Mapping[str, str]
    reference: str
    placebo: str
    alpha: ProperShare

    def __post_init__(self) -> None:
        if set(self.shuffle) != {"scorer", "orderer"}:
            raise ConfigError(f"study.report.shuffle={dict(self.shuffle)}: give a label of scorer and one of orderer")

    def findings(self, study: StudyRecord) -> Findings:
        """Return answer, figures and tables; raises DataError where no order can be compared with shuffling."""
        cells = read_cells(study)
        found = crossed(cells, Order(**self.shuffle), self.reference, self.placebo, self.alpha)
        if not found.gains:
            raise DataError(
                f"{study.folder}: no order and shuffling under one schedule are finished; repeat the command"
            )
        told = [_main(found.interactions, self.reference), self._gains(found), _certified(study), trust(study, LOSS)]
        power = family_power(study, [*found.interactions.values()], CHANGE)
        tables = [
            self._losses(cells),
            _table("gains", "Each order against shuffling", found.gains, found.controls),
            _table(
                "interactions",
                f"The gain of an order, compared with its gain under {self.reference}",
                found.interactions,
                power=power,
            ),
            _table("placebos", "Orders of permuted scores against shuffling", found.placebos),
        ]
        figures = [
            _figure("gains", "Each order against shuffling", found.gains, self.shuffle["orderer"]),
            _figure("placebos", "The same orders of permuted scores", found.placebos, self.shuffle["orderer"]),
        ]
        return Findings(
            "\n".join(filter(None, told)),
            [one for one in figures if one is not None],
            [one for one in tables if one.rows],
        )

    def power(self, study: StudyRecord) -> list[str]:
        """Return what differences from shuffling the study will show, schedule by schedule, and between schedules."""
        together = sum(self._planned(study).values())
        of_gains = power_sentences(study, "schedule", LOSS, self.shuffle, self.alpha, together=together)
        return [*of_gains, self._power_between(study)]

    def _planned(self, study: StudyRecord) -> dict[str, int]:
        """Return how many orders each schedule is to compare with shuffling, averaged weights as one of their own.

        That a run averages is known from its overrides, or once it is finished.
        """
        orders: dict[str, set[Order]] = {}
        for run in study.runs:
            order = Order(run.arm["orderer"], run.arm["scorer"])
            if order.orderer != self.shuffle["orderer"] and order.scorer != self.placebo:
                for schedule in schedules_of(run):
                    orders.setdefault(schedule, set()).add(order)
        return {schedule: len(found) for schedule, found in orders.items()}

    def _power_between(self, study: StudyRecord) -> str:
        """Return what change of a gain between schedules will show, by the orders that are finished under two."""
        found: Family = {}
        if study.finished():
            cells = read_cells(study)
            found = crossed(cells, Order(**self.shuffle), self.reference, self.placebo, self.alpha).interactions
        count = sum(number for schedule, number in self._planned(study).items() if schedule != self.reference)
        told = family_power(study, [*found.values()], CHANGE, count)
        if not told:
            when = f"before an order has two seeds under two schedules ({count} are planned)"
            return f"power between schedules: not known {when}"
        return f"power between schedules: {told[0].lower()}{told[1:].rstrip('.')}"

    def _gains(self, found: Crossed) -> str:
        """Return a sentence on each schedule: which orders beat shuffling and their placebo."""
        sentences, named = [], _names(found.gains)
        for schedule in dict.fromkeys(schedule for schedule, _ in found.gains):
            pairs = {order: pair for (name, order), pair in found.gains.items() if name == schedule}
            sure = [order for order, pair in pairs.items() if _is_sure(pair, found.controls.get((schedule, order)))]
            best = min(sure or pairs, key=lambda order: pairs[order].estimate.value)
            told = f"{named[best]} {_numbers(pairs[best])}"
            if sure:
                others = f" ({len(sure)} of {len(pairs)} orders do)" if len(pairs) > 1 else ""
                sentences.append(f"Under {schedule} an order beats shuffling and its placebo{others}, best {told}.")
            else:
                worse = sum(pair.is_clear and not pair.is_better for pair in pairs.values())
                verb = "is" if worse == 1 else "are"
                harm = f"; {worse} of {len(pairs)} {verb} worse than shuffling" if worse else ""
                none = f"Under {schedule} no order is shown to beat shuffling and its placebo"
                sentences.append(f"{none}{harm}; best {told}.")
        return "\n".join(sentences)

    def _losses(self, cells: Cells) -> Table:
        rows: list[Sequence[Cell]] = []
        for (schedule, order), one in cells.items():
            value = Ranged(one.estimate.value, *one.estimate.interval(self.alpha))
            rows.append([schedule, order.orderer, order.scorer, value, len(one.seeds_S)])
        note = "Loss on the evaluation documents, equal tokens for all. Read differences in the other tables."
        return Table("losses", "Losses", note, ["schedule", "order", "scores", UNIT, "seeds"], rows)


def _main(interactions: Family, reference: str) -> str:
    """Return the verdict of the study: whether a gain differs between schedules."""
    if not interactions:
        return "No answer yet: no order is finished under two schedules."
    (schedule, order), pair = min(interactions.items(), key=lambda item: (item[1].p_holm, item[1].p))
    about = (
        f"the difference of {_names(interactions)[order]} from shuffling changes under {schedule} by {_numbers(pair)}"
    )
    if not pair.is_clear:
        reach = f"the minimum detectable effect is {pair.detectable:.2g}"
        return f"Not shown: no order's gain differs between schedules (clearest: {about}; {reach})."
    count = sum(one.is_clear for one in interactions.values())
    found = f"in {count} of {len(interactions)} comparisons the gain differs from that under {reference}"
    return f"Yes: {found}; clearest, {about}."


def _is_sure(gain: Comparison, control: Comparison | None) -> bool:
    return gain.is_better and control is not None and control.is_better


def _numbers(pair: Comparison) -> str:
    return f"{in_words(pair)}, p {pair.p_holm:.2g} after Holm"


def _certified(study: StudyRecord) -> str:
    """Say of how many runs the order is proven, and whether all trained on as many tokens."""
    records = [record for run in study.finished() if (record := run.record()) is not None]
    proven = sum(bool(record["order_verified"]) for record in records)
    tokens = [int(record["training"]["tokens"]) for record in records]
    budget = f"{min(tokens):,}" if len(set(tokens)) == 1 else f"{min(tokens):,} to {max(tokens):,}"
    return f"Of {len(records)} runs on {budget} tokens, {proven} are proven to have trained in the planned order."


def _names(family: Family) -> dict[Order, str]:
    """Return what each order of a family is called: by its scorer, too, where there are several."""
    orders = list(dict.fromkeys(order for _, order in family))
    is_one = len({order.scorer for order in orders}) == 1
    return {order: order.orderer if is_one else f"{order.orderer} by {order.scorer}" for order in orders}


def _table(name: str, title: str, family: Family, controls: Family | None = None, power: str = "") -> Table:
    """Return one row per comparison, by schedule; controls: the same arms against their placebo; power: for notes."""
    rows: list[Sequence[Cell]] = []
    named = _names(family)
    for (schedule, order), pair in family.items():
        control = None if controls is None else controls.get((schedule, order))
        extra = [] if controls is None else [Difference.of(control), control.verdict if control else ""]
        rows.append(
            [f"{named[order]}, {schedule}", pair.verdict, Difference.of(pair), pair.p_holm, pair.detectable, *extra]
        )
    columns = ["order", "verdict", f"difference [{UNIT}]", "p (Holm)", "minimum detectable effect"]
    columns += [] if controls is None else ["minus the placebo", "verdict against the placebo"]
    note = (
        f"Paired over seeds and documents, {len(rows)} comparisons corrected together (Holm); intervals are "
        f"uncorrected. Below 0 is better. Minimum detectable effect: with 80 % power. {power}"
    ).strip()
    return Table(name, title, note, columns, rows, is_answer=name == "gains")


def _figure(name: str, title: str, family: Family, shuffle: str) -> Figure | None:
    """Return the differences from `shuffle` with their intervals, a row for each order, a colour for each schedule."""
    if not family:
        return None
    groups: dict[str, dict[str, Difference]] = {}
    named = _names(family)
    for (schedule, order), pair in family.items():
        if (cell := Difference.of(pair)) is not None:
            groups.setdefault(schedule, {})[named[order]] = cell
    rows = [*named.values(), shuffle]
    note = "Paired differences with uncorrected intervals; filled points are clear after Holm's correction."
    return Figure(name, title, note, forest(groups, rows, shuffle, UNIT).to_plotly_json())
