"""A figure that somebody described is drawn as described: series, colours, groups of bars, the diagonal."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure as Canvas

from delt_exp.errors import DataError
from delt_exp.report.evidence_plot import COLOURS, TONES, draw_figure, evidence_plots
from delt_exp.store.evidence import Evidence, Figure, Series

COLUMNS = {
    "x": np.array([1.0, 2.0, 3.0]),
    "low": np.array([0.0, 1.0, 2.0]),
    "high": np.array([2.0, 3.0, 4.0]),
    "part": np.array(["b", "a", "b"]),
}


def figure(kind, y=("low",), **changes):
    return Figure(
        **{"title": "", "table": "t", "kind": kind, "x": "x", "y": y, "x_label": "X", "y_label": "Y"} | changes
    )


def drawn(described):
    axes = Canvas().subplots()
    draw_figure(axes, described, COLUMNS)
    return axes


def test_a_scatter_has_its_series_in_the_order_given_and_leaves_out_those_without_a_row():
    series = (Series("a", "A", "faint"), Series("c", "C"), Series("b", "B", "main"))
    axes = drawn(figure("scatter", series_column="part", series=series, has_diagonal=True))
    labels, colours = zip(*((dots.get_label(), dots.get_facecolor()[0]) for dots in axes.collections), strict=True)
    assert labels == ("A", "B")
    np.testing.assert_allclose(colours[0][:3], [int(TONES["faint"][i : i + 2], 16) / 255 for i in (1, 3, 5)])
    np.testing.assert_array_equal(axes.collections[1].get_offsets(), [[1, 0], [3, 2]])
    (line,) = axes.lines
    assert (line.get_xy1(), line.get_slope()) == ((2.0, 2.0), 1)


def test_several_columns_are_a_line_each_named_by_their_column():
    axes = drawn(figure("line", ("low", "high")))
    assert [line.get_label() for line in axes.lines] == ["low", "high"]
    assert [line.get_color() for line in axes.lines] == list(COLOURS[:2])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("X", "Y")


def test_bars_of_several_columns_stand_side_by_side_at_their_names():
    axes = drawn(figure("bars", ("low", "high"), x="part"))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["b", "a", "b"]
    heights = sorted(bar.get_height() for bar in axes.patches)
    assert heights == [0, 1, 2, 2, 3, 4]
    edges = sorted((round(bar.get_x(), 6), round(bar.get_x() + bar.get_width(), 6)) for bar in axes.patches)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(edges))


def test_a_histogram_counts_every_row():
    axes = drawn(figure("histogram", ()))
    assert sum(bar.get_height() for bar in axes.patches) == 3


def test_a_figure_whose_table_is_lost_says_so(tmp_path):
    evidence = Evidence(tmp_path)
    evidence.table("t", COLUMNS, "")
    evidence.figure("f", figure("line"), "")
    (tmp_path / "t.parquet").unlink()
    with pytest.raises(DataError, match="figure 'f' has lost its table 't'"):
        evidence_plots(evidence)["f"](Canvas())
