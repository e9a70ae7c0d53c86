"""Agreement with retraining: planted values are found, placebos are not, and the ceiling is that of the noise."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.errors import DataError
from delt_exp.files import write_json
from delt_exp.quantity import Meaning, Ranged
from delt_exp.scorer.datamodel.evidence import Found, show
from delt_exp.scorer.datamodel.fit import fitted
from delt_exp.scorer.datamodel.groups import Groups, random_halves
from delt_exp.scorer.table import ScoreTable
from delt_exp.store.evidence import Evidence
from delt_exp.study.record import PlannedRun, StudyRecord
from delt_exp.study.retraining.report import RetrainingReport

REPORT = RetrainingReport(
    pool="candidates", gold="datamodel", placebos=["random"], permutations=499, alpha=0.05, seed=0
)
GROUPS, SIZE = 60, 2
IDS = np.arange(GROUPS * SIZE, dtype=np.uint64)
IDS[-1] = IDS[0]  # two documents of one text in different groups, as spoiled ones can be
OF = np.repeat(np.arange(GROUPS), SIZE)
TRUE = np.where(np.arange(GROUPS) < GROUPS // 2, 1.0, -1.0)  # the second half of the groups is spoiled
MEANING = Meaning("planted", "nats/token", "higher", "Made for a test.")


class Pool:
    """What the evidence of a datamodel asks of a pool."""

    def __init__(self, folder):
        self.evidence = Evidence(folder)
        self.candidates = self
        self.corpus = self
        self.ids = IDS


def write_run(folder, scorer, goodness, seconds, pool="half spoiled", seed=0, better="higher"):
    folder.mkdir(parents=True, exist_ok=True)
    scores = np.asarray(goodness if better == "higher" else -goodness, np.float32)
    ScoreTable(IDS, scores, Meaning("planted", "none", better, "Made for a test.")).save(folder / "scores.parquet")
    table = pq.read_table(folder / "scores.parquet").append_column("tokens", pa.array(np.full(len(IDS), 10)))
    pq.write_table(table, folder / "scores.parquet")
    used = {"scores/a": {"build_seconds": seconds, "peak_bytes": 1, "cuda_peak_bytes": 0}}
    stages = [{"name": "scores", "stage": "scores", "role": "scores", "own": True, "cost": {"used": used}}]
    write_json(folder / "record.json", {"id": "x", "stages": stages, "score": {"flops": seconds * 1e9}})
    return PlannedRun({"candidates": pool, "scorer": scorer}, seed, [], ["all"], str(folder), None)


def write_gold(folder, noise, seed=0, pool="half spoiled"):
    draws = np.random.default_rng(seed)
    parts = [random_halves(GROUPS, count, seed, part) for count, part in ((150, "fitted"), (60, "held out"))]
    worths = [half @ TRUE + noise * draws.standard_normal(len(half)) for half in (*parts, parts[1])]
    fit = fitted(parts[0], worths[0], np.arange(150) % 5)
    source = np.array(["clean"] * (GROUPS // 2) + ["shuffled"] * (GROUPS // 2))
    show(Pool(folder / "evidence"), Found(Groups(OF, source), fit, parts[0], worths[0], parts[1], *worths[1:]), MEANING)
    return write_run(folder, "datamodel", fit.values_C[OF] / SIZE, 100.0, pool, seed)


def study_of(tmp_path, *runs):
    return StudyRecord(tmp_path, "retrain_agreement", "Do they?", {}, list(runs), [])


@pytest.fixture
def found(tmp_path):
    draws = np.random.default_rng(1)
    seeing = TRUE[OF] + draws.standard_normal(len(IDS))
    runs = [
        write_gold(tmp_path / "gold", 2.0),
        write_run(tmp_path / "seeing", "seeing", seeing, 2.0, better="lower"),
        write_run(tmp_path / "turned", "turned", -seeing, 1.0),
        write_run(tmp_path / "random", "random", draws.standard_normal(len(IDS)), 0.0),
        write_run(tmp_path / "constant", "constant", np.ones(len(IDS)), 0.0),
    ]
    return REPORT.findings(study_of(tmp_path, *runs))


def rows_of(findings, number=1):
    table = findings.tables[number]
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_a_scorer_that_sees_the_spoiling_agrees_whichever_direction_its_numbers_have_and_placebos_do_not(found):
    rows = rows_of(found)
    verdicts = {name: row["verdict"] for name, row in rows.items()}
    assert verdicts == {
        "datamodel": "agrees", "seeing": "agrees", "turned": "the wrong way round",
        "random (placebo)": "not distinguishable from permuted", "constant": "not distinguishable from permuted",
    }  # fmt: skip
    assert rows["seeing"]["linear datamodeling score"].value > 0.6
    assert rows["constant"]["linear datamodeling score"].value == 0
    assert rows["constant"]["p"] == 1
    assert "1 of 3 scorers agree, seeing most" in found.answer
    assert found.answer.endswith("; the wrong way round: turned.")


def test_a_scorer_that_is_the_wrong_way_round_is_not_called_indistinguishable(tmp_path):
    runs = [write_gold(tmp_path / "gold", 2.0), write_run(tmp_path / "turned", "turned", -TRUE[OF], 1.0)]
    answer = REPORT.findings(study_of(tmp_path, *runs)).answer
    assert answer.endswith("no scorer is shown to agree; the wrong way round: turned.")


def test_the_price_is_that_of_scoring_over_that_of_the_halves_that_are_fitted(found):
    """Of 100 s for 150 fitted halves and 60 that are trained twice to test them."""
    row = rows_of(found)["seeing"]
    assert (row["scoring [s]"], row["cost of retraining"]) == (2.0, pytest.approx(2 / (100 * 150 / 270)))
    assert row["scoring [TFLOPs]"] == pytest.approx(0.002)
    assert "at 3.6 % of the cost of retraining" in found.answer


def test_the_ceiling_is_what_noise_leaves(tmp_path):
    """Worths of variance v with noise of variance n: two runs correlate v / (v + n), the truth with their mean more."""
    runs = [write_gold(tmp_path / f"{noise}", noise, pool=f"{noise}") for noise in (0.0, 4.0, 1e6)]
    table = REPORT.findings(study_of(tmp_path, *runs)).tables[2]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    itself = [rows[f"{noise}"]["retraining with itself"].value for noise in (0.0, 4.0, 1e6)]
    variance = GROUPS / 4 * GROUPS / (GROUPS - 1)  # of a sum over half of the groups, hypergeometric
    assert itself[0] == pytest.approx(1)
    assert itself[1] == pytest.approx(variance / (variance + 16), abs=0.2)
    assert abs(itself[2]) < 0.35
    assert rows["0.0"]["an exact prediction"] == pytest.approx(1)


def test_sources_show_what_was_planted(found):
    rows = {row[2]: row[4] for row in found.tables[3].rows}
    assert isinstance(rows["clean"], Ranged)
    assert rows["shuffled"].high < -0.5 < 0.5 < rows["clean"].low


def test_scorers_are_sorted_and_the_page_has_both_figures(found):
    values = [row[2].value for row in found.tables[1].rows]
    assert all(first >= second for first, second in pairwise(values))
    assert [figure.name for figure in found.figures] == ["agreement", "price"]


def test_seeds_are_pooled(tmp_path):
    runs = [write_gold(tmp_path / f"gold{seed}", 2.0, seed) for seed in (0, 1)]
    runs += [write_run(tmp_path / f"s{seed}", "seeing", TRUE[OF], 1.0 + 2 * seed, seed=seed) for seed in (0, 1)]
    row = rows_of(REPORT.findings(study_of(tmp_path, *runs)))["seeing"]
    assert row["scoring [s]"] == 2.0  # the median of 1 and 3
    pooled = row["linear datamodeling score"]
    alone = rows_of(REPORT.findings(study_of(tmp_path, *runs[::2])))["seeing"]["linear datamodeling score"]
    assert pooled.high - pooled.low < alone.high - alone.low


def test_scores_of_other_documents_and_a_study_without_gold_are_refused(tmp_path):
    gold = write_gold(tmp_path / "gold", 1.0)
    other = write_run(tmp_path / "other", "other", TRUE[OF], 1.0)
    with pytest.raises(DataError, match="no run with scorer=datamodel is finished"):
        REPORT.findings(study_of(tmp_path, other))
    table = ScoreTable(IDS[2:], np.ones(len(IDS) - 2, np.float32), MEANING)
    table.save(tmp_path / "other" / "scores.parquet")
    written = pq.read_table(tmp_path / "other" / "scores.parquet")
    written = written.append_column("tokens", pa.array(np.ones(len(IDS) - 2)))
    pq.write_table(written, tmp_path / "other" / "scores.parquet")
    with pytest.raises(DataError, match="has other documents than the retrained ones"):
        REPORT.findings(study_of(tmp_path, gold, other))
