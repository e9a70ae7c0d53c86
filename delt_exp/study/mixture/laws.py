"""What the mixing laws of many small models say: tables and figures, for a study and for CSV tables alike.

Shapes: R runs, G sources, S evaluation sets, B bootstraps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from scipy.stats import spearmanr

from delt_exp.mixture.runs import MixtureRuns
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Cell, Figure, Table
from delt_exp.statistics.mixing_law import MixingLaw, bootstrap_laws, held_out_predictions, lowest
from delt_exp.study.figures import BLUE_TO_RED, LINE, colour, error_bars, figure, heat_map, symbol

Floats = NDArray[np.float64]
OUTSIDE = 1e-6


@dataclass(frozen=True, eq=False)
class Proposal:
    """Laws of runs and the mixture that they recommend, both with intervals from `num_bootstraps` bootstraps.

    weights_S: of the evaluation sets in the objective, which sum to 1. own: evaluation set -> source of its own domain.
    alpha: 1 - level of the intervals.
    """

    runs: MixtureRuns
    weights_S: Floats
    own: Mapping[str, str | None]
    num_bootstraps: int
    alpha: float

    @cached_property
    def laws(self) -> list[MixingLaw]:
        """The law of each evaluation set."""
        return self.runs.laws()

    @cached_property
    def drawn(self) -> list[list[MixingLaw]]:
        """The laws of each bootstrap."""
        return bootstrap_laws(self.runs.shares_RG, self.runs.losses_RS, self.laws, self.num_bootstraps, 0)

    @cached_property
    def shares(self) -> Floats:
        """The proposed mixture, [G]."""
        return lowest(self.laws, self.weights_S)

    @cached_property
    def drawn_shares(self) -> Floats:
        """The mixture that each bootstrap would propose, [B, G]."""
        return np.array([lowest(laws, self.weights_S) for laws in self.drawn])

    @property
    def middle(self) -> Floats:
        """The mean of the mixtures that were tried, [G]."""
        return np.asarray(self.runs.shares_RG.mean(0))

    def ranged(self, value: float, drawn_B: Floats) -> Ranged:
        """Return a value with the percentile interval of its bootstraps, which are made to lie around it."""
        low, high = np.quantile(drawn_B, [self.alpha / 2, 1 - self.alpha / 2])
        return Ranged(float(value), min(float(low), float(value)), max(float(high), float(value)))

    def predicted(self, shares_G: Floats) -> Ranged:
        """Return the objective at a mixture by the laws."""
        return self.ranged(self._objective(self.laws, shares_G),
                           np.array([self._objective(laws, shares_G) for laws in self.drawn]))  # fmt: skip

    def gain(self) -> Ranged:
        """Return the predicted objective at the proposal less that at the mean of the tried mixtures."""

        def difference(laws: list[MixingLaw]) -> float:
            return self._objective(laws, self.shares) - self._objective(laws, self.middle)

        return self.ranged(difference(self.laws), np.array([difference(laws) for laws in self.drawn]))

    def _objective(self, laws: list[MixingLaw], shares_G: Floats) -> float:
        return float(sum(w * law.predict(shares_G[None])[0] for w, law in zip(self.weights_S, laws, strict=True)))

    @cached_property
    def held_out(self) -> Floats:
        """Losses of each run as the law of other runs predicts them, [R, S]."""
        columns = [held_out_predictions(self.runs.shares_RG, losses_R) for losses_R in self.runs.losses_RS.T]
        return np.column_stack(columns)

    @property
    def outside(self) -> list[str]:
        """The sources of which the proposal has more or less than any run that was tried."""
        least_G, most_G = self.runs.shares_RG.min(0), self.runs.shares_RG.max(0)
        is_out = (self.shares < least_G - OUTSIDE) | (self.shares > most_G + OUTSIDE)
        return [name for name, out in zip(self.runs.sources, is_out, strict=True) if out]

    def ranks(self) -> list[tuple[float, float | None]]:
        """Return for each set how losses rank by the held-out law, and by the share of its own domain (None: has none).

        Spearman's correlation; 1 where the order is that of the losses.
        """
        found: list[tuple[float, float | None]] = []
        for number, name in enumerate(self.runs.sets):
            losses_R, own = self.runs.losses_RS[:, number], self.own.get(name)
            by_law = float(spearmanr(self.held_out[:, number], losses_R).statistic)
            found.append((by_law, None if own is None else own_share_rank(self.runs, number, own)))
        return found


def own_share_rank(runs: MixtureRuns, number: int, source: str) -> float:
    """Return Spearman's correlation of the losses on a set and less of a source: what nothing trained says of them."""
    shares_R = runs.shares_RG[:, list(runs.sources).index(source)]
    return float(spearmanr(-shares_R, runs.losses_RS[:, number]).statistic)


def proposal_table(proposal: Proposal) -> Table:
    """Return the proposed share of each source beside what was tried."""
    shares_RG = proposal.runs.shares_RG
    rows: list[list[Cell]] = []
    for number, name in enumerate(proposal.runs.sources):
        tried = shares_RG[:, number]
        share = proposal.ranged(proposal.shares[number], proposal.drawn_shares[:, number])
        where = "beyond what was tried" if name in proposal.outside else "inside"
        rows.append([name, share, float(tried.mean()), float(tried.min()), float(tried.max()), where])
    note = (
        f"Where the objective ({_objective(proposal)}) is lowest by the laws of all {len(shares_RG)} runs, with "
        f"{100 * (1 - proposal.alpha):g} % intervals from a bootstrap over runs. Beyond the shares that were tried, "
        "only the law supports it."
    )
    columns = ["source", "proposed share", "mean of the tried", "least tried", "most tried", "the proposal lies"]
    return Table("proposal", "The proposed mixture", note, columns, rows)


def laws_table(proposal: Proposal) -> Table:
    """Return for each evaluation set the floor of its law, and how well law and own-domain share rank the runs."""
    rows: list[list[Cell]] = []
    for number, (name, (by_law, by_share)) in enumerate(zip(proposal.runs.sets, proposal.ranks(), strict=True)):
        floor = proposal.ranged(proposal.laws[number].floor, np.array([laws[number].floor for laws in proposal.drawn]))
        own, weight = proposal.own.get(name), float(proposal.weights_S[number])
        rows.append([name, weight, own, by_law, by_share, floor])
    note = (
        "Spearman's correlation of the losses with what the law of other runs predicts (ten parts, each left out), and "
        "with the share of the set's own domain, which needs no training. The floor c of loss = c + k exp(t·r) is "
        "known only where losses come near it."
    )
    columns = ["evaluation set", "weight", "own domain", "rank by the law", "rank by own-domain share", "floor [nats]"]
    return Table("laws", "How well the laws rank mixtures", note, columns, rows, folded=True)


def effects_table(proposal: Proposal) -> Table:
    """Return t of every source for every evaluation set."""
    rows: list[list[Cell]] = [
        [name, source, proposal.ranged(value, drawn_B)]
        for name, effects_G, drawn_BG in _effects(proposal)
        for source, value, drawn_B in zip(proposal.runs.sources, effects_G, drawn_BG.T, strict=True)
    ]
    note = (
        "t in loss = c + k exp(t·r), where k is what the mean of the tried mixtures loses above the floor c, so that "
        "t·r = 0 there. Below 0: more of the source lowers the loss; at -1, one hundredth more of it, taken from all "
        "in proportion, lowers what is above the floor by about 1 %."
    )
    return Table("effects", "What each source is worth", note, ["evaluation set", "source", "t"], rows, folded=True)


def effects_figure(proposal: Proposal) -> Figure:
    """Return t as a heat map."""
    found = _effects(proposal)
    values = [effects_G.tolist() for _, effects_G, _ in found]
    most = max(abs(value) for row in values for value in row)
    trace = go.Heatmap(
        z=values, x=list(proposal.runs.sources), y=[name for name, _, _ in found], zmin=-most, zmax=most,
        colorscale=BLUE_TO_RED, colorbar={"title": {"text": "t"}}, texttemplate="%{z:.2f}",
    )  # fmt: skip
    plot = heat_map(trace, x_title="source")
    note = "Blue: more of the source lowers the loss. Intervals are in the table of effects."
    return Figure("effects", "What each source is worth for each evaluation set", note, plot.to_plotly_json())


def shares_figure(proposal: Proposal) -> Figure:
    """Return the proposed shares beside the mean of those that were tried."""
    cells = [proposal.ranged(*one) for one in zip(proposal.shares, proposal.drawn_shares.T, strict=True)]
    sources = list(proposal.runs.sources)
    proposed = go.Bar(
        name="proposed", x=sources, y=[cell.value for cell in cells], error_y=error_bars(cells), marker_color=colour(0)
    )
    tried = go.Bar(name="mean of the tried", x=sources, y=proposal.middle.tolist(), marker_color=colour(1))
    yaxis = {"title": {"text": "share of tokens"}, "range": [0, 1.02]}
    plot = figure([proposed, tried], 380, barmode="group", xaxis={"type": "category"}, yaxis=yaxis)
    return Figure("proposal", "The proposed mixture", "With bootstrap intervals over runs.", plot.to_plotly_json())


def predictions_figure(proposal: Proposal) -> Figure:
    """Return held-out predictions against measured losses."""
    traces = []
    for number, name in enumerate(proposal.runs.sets):
        look = {"color": colour(number), "symbol": symbol(number), "size": 7}
        x, y = proposal.runs.losses_RS[:, number], proposal.held_out[:, number]
        traces.append(go.Scatter(name=name, x=x.tolist(), y=y.tolist(), mode="markers", marker=look))
    ends = [float(proposal.runs.losses_RS.min()), float(proposal.runs.losses_RS.max())]
    line = {"dash": "dot", "color": LINE}
    traces.append(go.Scatter(x=ends, y=ends, mode="lines", line=line, showlegend=False, hoverinfo="skip"))
    yaxis = {"title": {"text": "predicted without this run [nats/token]"}}
    plot = figure(traces, 440, xaxis={"title": {"text": "measured loss [nats/token]"}}, yaxis=yaxis)
    note = "Each point is a run and an evaluation set; on the dotted line, the law of other runs is right."
    return Figure("predictions", "Predicted and measured losses", note, plot.to_plotly_json())


def _effects(proposal: Proposal) -> list[tuple[str, Floats, Floats]]:
    """Return (set, t [G], bootstraps of t [B, G])."""
    middle_G = proposal.middle
    return [
        (name, law.effects(middle_G), np.array([laws[number].effects(middle_G) for laws in proposal.drawn]))
        for number, (name, law) in enumerate(zip(proposal.runs.sets, proposal.laws, strict=True))
    ]


def _objective(proposal: Proposal) -> str:
    used = [(w, name) for w, name in zip(proposal.weights_S, proposal.runs.sets, strict=True) if w > 0]
    if len({round(float(w), 9) for w, _ in used}) == 1:
        return f"mean loss on {', '.join(name for _, name in used)}"
    return " + ".join(f"{w:.3g} {name}" for w, name in used)
