"""Every picture that a run has data for exists, whatever its scores look like."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from delt_exp.files import read_json
from delt_exp.report import plots, score_plots
from delt_exp.report.plots import metric_families, write_plots
from delt_exp.report.score_plots import View
from delt_exp.statistics.smoothing import smooth

ALL = ["score_histogram", "score_by_source", "score_along_order", "loss_curve", "evaluation"]
MEANING = {"name": "size", "unit": "lines", "better": "lower"}


def write(folder):
    return write_plots(folder, read_json(folder / "record.json"))


def png_size(path):
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


@pytest.mark.slow
def test_every_picture_is_a_png_of_the_same_width_in_the_folder_of_plots(run_folder):
    folder = run_folder()
    found = write(folder)
    assert list(found) == ALL
    assert sorted(folder.glob("plots/*")) == sorted(found.values())
    assert {png_size(path)[0] for path in found.values()} == {1800}


@pytest.mark.slow
def test_pictures_without_data_are_left_out(run_folder):
    def bare(record):
        record["results"] = []
        del record["score"]["by_source"]["poems"]

    folder = run_folder(bare)
    (folder / "metrics.csv").unlink()
    assert list(write(folder)) == ["score_histogram", "score_along_order"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "scores",
    [np.zeros(40), np.arange(40), 10.0 ** np.arange(-5, 15, 0.5), [*range(39), 1e30], [1.5], -np.arange(30_000) / 7],
    ids=["equal", "whole", "many decades", "one far away", "one document", "too many for points"],
)
def test_any_scores_can_be_drawn(run_folder, scores):
    def keep_all(record):
        record["score"]["by_source"]["b$_{"] = record["score"]["by_source"]["books"]  # not mathematics

    folder = run_folder(keep_all, scores=scores if len(scores) > 1 else np.repeat(scores, 2))
    assert len(write(folder)) == 5


@pytest.mark.slow
def test_the_style_of_the_caller_is_neither_used_nor_changed(run_folder):
    folder = run_folder()
    first = write(folder)["loss_curve"].read_bytes()
    with matplotlib.rc_context({"axes.facecolor": "black", "font.size": 30}):
        second = write(folder)["loss_curve"].read_bytes()
        assert matplotlib.rcParams["font.size"] == 30
    assert first == second


def test_the_histogram_holds_every_document_once_and_the_kept_ones_again():
    figure, rows = Figure(), np.arange(0, 40, 2)
    score_plots.histogram(figure, MEANING, np.arange(40, dtype=np.float32), rows)
    axes = figure.axes[0]
    every, kept = (patch.get_data().values for patch in axes.patches)
    assert (every.sum(), kept.sum()) == (40, 20)
    assert every.tolist() == [1] * 40  # whole numbers: one bar each
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "dropped (20)",
        "kept (20)",
        "median 19.50",
    ]
    assert axes.get_xlabel() == "size [lines]   ← better"


def test_the_order_is_drawn_against_the_tokens_before_each_document():
    figure = Figure()
    order = {"score": np.float32([3, 1, 2]), "tokens": np.array([10, 20, 5]), "step": np.array([0, 0, -1])}
    score_plots.along_order(figure, MEANING, order)
    assert figure.axes[0].collections[0].get_offsets().tolist() == [[0, 3], [11, 1], [32, 2]]
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["one document", "middle half of neighbours", "running median", "not trained"]


def test_a_far_document_does_not_squeeze_the_others_and_is_counted():
    scores = np.append(np.linspace(-100, 0, 10_000), 1e6).astype(np.float32)
    view = View.of(scores, MEANING)
    assert view.low == -100
    assert 0 < view.high < 100
    assert view.note(scores) == "1 outside the picture"


def test_scores_over_many_decades_get_a_logarithmic_axis_and_negative_ones_never():
    scores = np.geomspace(1, 1000, 100)
    assert View.of(scores, MEANING).log
    assert not View.of(scores - 500, MEANING).log
    assert View.of(scores, MEANING).note(scores) is None


def test_uniform_scores_are_shown_on_a_linear_axis_however_near_to_zero_they_come() -> None:
    assert not View.of(np.random.default_rng(0).random(1000), MEANING).log


def test_smoothing_is_the_mean_of_what_came_before_and_shorter_at_the_beginning():
    values = np.zeros(60)  # a 15th is 4
    values[[0, 30]] = 30
    assert smooth(values)[[0, 1, 2, 4, 5, 29, 30, 34, 35]].tolist() == [30, 15, 10, 6, 0, 0, 6, 6, 0]
    assert smooth(np.array([4.0])).tolist() == [4]


def test_smoothing_does_not_turn_before_the_values_do():
    falls = np.concatenate([np.full(50, 5.0), np.full(50, 3.0)])  # as the loss does where a fold begins
    assert smooth(falls)[:50].tolist() == [5.0] * 50


def test_results_of_one_unit_share_a_panel_and_perplexity_has_none(run_folder):
    results = read_json(run_folder() / "record.json")["results"]
    families = metric_families(results)
    assert {unit: [r["metric"] for r in family] for unit, family in families.items()} == {
        "nats/token": ["loss"],
        "fraction": ["acc"],
    }
    figure = Figure()
    baseline = {(results[0]["dataset"], "loss"): {"value": 4.5}}
    plots._evaluation(figure, families, baseline, {results[0]["dataset"]: {"uniform": 8.3, "unigram": 6.5}})
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["loss [nats/token], lower is better", "acc [fraction], higher is better"]
    shown = {line.get_label(): line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 1}
    assert shown["baseline"] == 4.5
    assert shown["all tokens equally likely"] == 8.3
    assert shown["token frequencies of the candidates"] == 6.5
    assert results[0]["value"] in shown.values()
    whiskers = figure.axes[0].collections[0].get_segments()[0]
    assert whiskers[:, 0] == pytest.approx([3.2145678 - 0.0213456, 3.2145678 + 0.0213456])
