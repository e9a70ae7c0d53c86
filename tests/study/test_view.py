"""Sections, strips and marks of a page, and which arms are on the front of cost and gain."""

import pytest

from delt_exp.quantity import Ranged
from delt_exp.report.findings import Difference, Figure, Findings, Table
from delt_exp.study.comparison.pareto import NARROW, WIDTH, Point, front, placed, ticks
from delt_exp.study.view import cells, parts


def test_a_table_stands_with_the_figure_of_its_name_and_what_compares_all_parts_comes_last():
    tables = [Table("all", "All", "", [], []), Table("cost", "Costs", "", [], [], part="news")]
    (news, rest) = parts(Findings("", [Figure("cost", "Cost", "", {}, part="news")], tables))
    assert (news.title, rest.title) == ("news", "")
    assert [(section.figure.title, section.table.title) for section in news.sections.values()] == [("Cost", "Costs")]


def test_a_strip_spans_the_intervals_of_its_column_and_a_verdict_points_where_the_number_went():
    rows = [["a", "better", Difference(-2.0, -3.0, -1.0, "lower", "better")],
            ["b", "not distinguishable (one seed)", Difference(0.0, -1.0, 1.0, "lower", "not distinguishable")],
            ["c", "worse (few documents)", Difference(0.5, 0.0, 1.0, "lower", "worse (few documents)")]]  # fmt: skip
    shown = cells(Table("x", "X", "", ["arm", "verdict", "difference"], rows))
    assert [(row[1].arrow, row[1].side) for row in shown] == [("↓", "good"), ("↔", "even"), ("↑", "bad")]
    assert shown[0][2].strip[:4] == (75, 0, 50, 25)
    assert [row[2].strip.side for row in shown] == ["good", "even", "bad"]


def test_a_strip_is_cut_where_an_interval_dwarfs_the_differences():
    wide = Difference(0.1, -50.0, 50.0, "lower", "not distinguishable")
    ((cell,),) = cells(Table("x", "X", "", ["difference"], [[wide]]))
    assert (cell.strip.low, cell.strip.high) == (0, 100)
    assert cell.strip.value == pytest.approx(100 * (0.3 + 0.1) / 0.6)


@pytest.mark.parametrize(("turn", "names"), [(-1, "ac"), (1, "abd")])
def test_the_front_has_the_arms_that_no_cheaper_one_equals(turn, names):
    gains = {"a": (1.0, 0.0), "b": (2.0, 0.1), "c": (3.0, -0.2), "d": (4.0, 0.3), "e": (5.0, -0.2)}
    points = [Point(name, "score", cost, Ranged(gain, gain, gain), True) for name, (cost, gain) in gains.items()]
    assert "".join(point.name for point in front(points[::-1], turn)) == names


def test_no_name_lies_on_another_one_and_those_without_room_are_left_out():
    gain = Ranged(0.0, 0.0, 0.0)
    points = [Point(f"an arm of a rather long name {n}", "score", 1.0 + n / 1e6, gain, True) for n in range(40)]
    far = Point("far", "score", 1e6, gain, True)
    for width in (WIDTH, NARROW):  # all but one are in one place, so that no two names may have the same one beside it
        found = placed([*points, far], 1, points, [], width)
        assert points[0].name in found
        assert len(set(found.values())) == len(found) < len(points)
    assert set(placed([*points, far], 1, points[5:7], [], WIDTH)) == {point.name for point in points[5:7]}


@pytest.mark.parametrize("costs", [(3.05, 3.45), (3.3, 3.31), (3.0, 5.9), (0.004, 0.02), (2.0, 7e5), (90.0, 170.0)])
def test_a_cost_axis_has_ticks_between_its_points(costs):
    inside = [tick for tick in ticks(costs) if costs[0] <= tick <= costs[1]]
    assert 1 <= len(inside) <= 20
    assert all(float(f"{tick:.6g}") == pytest.approx(tick) for tick in inside)


@pytest.mark.parametrize(
    ("costs", "marks"),
    [
        ([94.9, 152.4], [80, 100, 120, 140, 160]),
        ([10.0, 10.9], [10, 10.2, 10.4, 10.6, 10.8, 11]),
    ],
)
def test_costs_have_few_round_marks(costs, marks):
    assert ticks(costs) == pytest.approx(marks)
    assert ticks(costs)[0] <= min(costs) < max(costs) <= ticks(costs)[-1]
