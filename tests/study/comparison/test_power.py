"""What a study will see is told from its finished runs, and what is to be done where there are none."""

import re

import pyarrow as pa
import pyarrow.parquet as pq

from delt_exp.study.comparison.arms import read_panels
from delt_exp.study.comparison.pairs import compared
from delt_exp.study.comparison.power import power_sentences
from delt_exp.study.record import read_study
from tests.study.comparison.studies import BASE, Planted, arm, write_study
from tests.study.comparison.test_report import findings


def sentence(folder, panel=None):
    (text,) = power_sentences(read_study(folder)[0], panel, "loss", BASE, 0.05)
    return text


def with_seconds(record):
    """36 s of computing each, in stages of its own, in a run that found all of them in the store."""
    record["seconds"] = 0.1
    for number, stage in enumerate(record["stages"]):
        name, part = f"{stage['stage']}/{record['seed']}-{number}", 36.0 / len(record["stages"])
        stage["cost"] = {**stage["cost"], "used": {name: {**stage["cost"], "build_seconds": part}}}


def for_longer(record):
    with_seconds(record)
    record["training"].update(tokens=9e9)


ARMS = [
    Planted(BASE, change=with_seconds),
    arm("lqs", "1.0", "folding", seeds=(), change=with_seconds),
    arm("random", "1.0", "folding", seeds=(), change=with_seconds),
]


def test_the_baseline_alone_stands_for_the_noise_of_all_arms(tmp_path):
    text = sentence(write_study(tmp_path, ARMS))
    assert text.startswith("power: with 5 seeds a difference of 0.")
    assert "other arms as noisy as 5 seeds of the baseline" in text
    seen, half, seeds, runs, hours = re.search(
        r"(\S+) after Holm's correction over 2 comparisons .*; "
        r"detecting (\S+) takes (\d+) seeds: (\d+) runs, (\S+) h more",
        text,
    ).groups()
    assert abs(float(half) / float(seen) - 0.5) < 0.05
    assert int(runs) == 3 * int(seeds)
    assert float(hours) == float(f"{(int(runs) - 5) * 36 / 3600:.2g}")


def test_finished_arms_show_their_own_noise_which_pairing_makes_smaller(tmp_path):
    few = {"seeds": (0, 1, 2), "change": with_seconds}
    text = sentence(write_study(tmp_path, [Planted(BASE, **few), arm("lqs", "1.0", "folding", **few)]))
    assert "noise of 1 arms against it" in text
    alone = sentence(write_study(tmp_path / "alone", ARMS))

    def seen(told):
        return float(re.search(r"a difference of (\S+) nats", told)[1])

    assert seen(text) < seen(alone) / 3  # a seed shifts all arms alike here


def test_power_is_told_for_the_family_that_the_report_corrects(tmp_path):
    """Arms, placebos and the usual order, without the longer baselines."""
    planted = [
        Planted(BASE, change=with_seconds),
        Planted({**BASE, "training": "3 epochs"}, change=for_longer),
        *(
            arm(scorer, "0.5", orderer, change=with_seconds)
            for scorer in ("lqs", "random", "length")
            for orderer in ("shuffle", "folding")
        ),
    ]
    study = read_study(write_study(tmp_path, planted))[0]
    placebos = ["random", "length"]
    (panel,) = compared(read_panels(study, None, "loss", BASE, placebos), 0.05)
    (text,) = power_sentences(study, None, "loss", BASE, 0.05, placebos)
    assert len(panel.planned) == 13
    assert "after Holm's correction over 13 comparisons" in text


def test_without_two_seeds_of_the_baseline_it_says_how_to_run_it_first(tmp_path):
    folder = write_study(tmp_path, [Planted(BASE, seeds=(0,)), *ARMS[1:]])
    study = read_study(folder)[0]
    for run in study.runs:
        run.slices = ["baseline"] if run.arm == BASE else ["grid"]
    (text,) = power_sentences(study, None, "loss", BASE, 0.05)
    assert text == (
        "power: not known before the baseline (random · 1.0 · shuffle) has two seeds; to run it first, add "
        "'~study.slices.grid'"
    )


def test_every_panel_has_its_own_sentence(tmp_path):
    labels = [{**BASE, "scorer": scorer, "model": name} for name in ("small", "large") for scorer in ("random", "lqs")]
    planted = [Planted(one, change=with_seconds) for one in labels]
    study = read_study(write_study(tmp_path, planted))[0]
    texts = power_sentences(study, "model", "loss", BASE, 0.05)
    assert [text.split(":")[0] for text in texts] == ["power on small", "power on large"]
    assert all("after Holm's correction over 2 comparisons" in text for text in texts)  # panels are one family


def test_draws_of_the_baseline_are_averaged_before_noise_is_told(tmp_path):
    """The losses of one draw are twice those of an arm, of the other 0: their mean differs from the arm by nothing."""
    draws = [Planted({**BASE, "draw": name}, change=with_seconds) for name in ("first", "second")]
    folder = write_study(tmp_path, [*draws, arm("lqs", "1.0", "folding", change=with_seconds)])
    for seed in range(5):
        twice, none, own = (tmp_path / "runs" / f"arm{number}-s{seed}" / "losses.parquet" for number in range(3))
        table = pq.read_table(own)
        place, nats = table.column_names.index("sum_nats"), table["sum_nats"].to_numpy()
        for path, factor in ((twice, 2.0), (none, 0.0)):
            pq.write_table(table.set_column(place, "sum_nats", pa.array(factor * nats)), path)
    text = sentence(folder)
    assert "a difference of 0 nats/token from" in text
    seeds, runs = map(int, re.search(r"takes (\d+) seeds: (\d+) runs", text).groups())
    assert runs == 3 * seeds


def test_a_study_of_a_metric_says_what_its_comparisons_detect(tmp_path):
    found = findings(write_study(tmp_path, [Planted(BASE), arm("lqs", "1.0", "folding", -0.1)], metric="acc"))
    planned = next(table for table in found.tables if table.name == "planned")
    assert "With 5 seeds a difference of " in planned.note
    assert "share is detected with 80 % power after Holm's correction over 1 comparisons" in planned.note
