"""What TensorBoard shows, read back from the event files."""

import json
import sys

import pytest

from delt_exp.errors import DependencyError
from delt_exp.logger.tensorboard import TensorBoardLogger
from tests.logger.run_folder import RECORD, ROWS, SCORES, make_run, make_study


def read_events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    return events


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    run, logger = make_run(tmp_path_factory.mktemp("run")), TensorBoardLogger()
    for _ in range(2):  # the second attempt replaces the first
        logger.start(run)
        for row in ROWS:
            logger.metrics(row)
        logger.finish(RECORD)
    return read_events(run.folder)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("train/loss", [5.0, 3.0, 4.0]),
        ("train/lr", [0.25, 0.5, 0.125]),
        ("train/grad_norm", [2.0, 1.0, 0.5]),
    ],
)
def test_curves_are_drawn_once_against_trained_tokens(events, name, values):
    assert [(event.step, event.value) for event in events.Scalars(name)] == list(
        zip([640, 1280, 1600], values, strict=True)
    )


def test_evaluation_alignment_cost_and_verdict_stand_at_the_end(events):
    expected = {
        "eval/prose/loss": 3.5,
        "eval/prose/loss_stderr": 0.25,
        "eval/quiz/acc": 0.75,
        "alignment/prose/ncd": 0.625,
        "cost/scoring_seconds": 9.0,
        "cost/training_seconds": 4.0,
        "order_verified": 1.0,
    }
    shown = {name: [(event.step, event.value) for event in events.Scalars(name)] for name in expected}
    assert shown == {name: [(1600, value)] for name, value in expected.items()}
    assert "eval/quiz/acc_stderr" not in events.Tags()["scalars"]


def test_the_histogram_counts_every_score(events):
    (event,) = events.Histograms("score")
    histogram = event.histogram_value
    assert (histogram.min, histogram.max, histogram.num) == (0.0, 4.0, len(SCORES))
    assert histogram.sum == 6.0
    filled = {edge: count for edge, count in zip(histogram.bucket_limit, histogram.bucket, strict=True) if count}
    assert filled == {0.0625: 1, 1.0625: 2, 4.0: 1}  # 64 bins of 1/16, named by their right edges


def test_the_picture_keeps_its_size(events):
    (event,) = events.Images("plots/loss")
    assert (event.width, event.height) == (3, 2)


def test_the_configuration_is_readable_as_text(events):
    (event,) = events.Tensors("config/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    config = json.loads(text.removeprefix("```json\n").removesuffix("\n```"))
    assert config["selector"] == {"ratio": 0.5}
    assert config["choices"]["orderer"] == "folding"


def test_what_an_abandoned_run_wrote_stays_readable(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    run, logger = make_run(tmp_path), TensorBoardLogger()
    logger.start(run)
    logger.metrics(ROWS[0])
    logger.abandon()
    assert [event.value for event in read_events(run.folder).Scalars("train/loss")] == [5.0]


def test_a_study_is_readable_as_text(tmp_path):
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    study = make_study(tmp_path)
    for _ in range(2):
        TensorBoardLogger().log_study(study)
    events = read_events(study.folder)
    texts = {}
    for name in ("answer", "tables/board"):
        (event,) = events.Tensors(f"{name}/text_summary")
        texts[name] = event.tensor_proto.string_val[0].decode()
    assert texts["answer"] == "**Does it help?**\n\nYes: it does."
    table = "| arm | loss |\n|---|---|\n| lqs | 1.00 [0.50, 1.50] |\n| random |  |\n"
    assert texts["tables/board"] == f"**Board**\n\n{table}\nRead it so."


def test_a_missing_package_is_named_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(DependencyError, match=r'pip install "delt-exp\[tensorboard\]"'):
        TensorBoardLogger().start(make_run(tmp_path))
