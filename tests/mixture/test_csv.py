"""Mixing laws from CSV tables alone; on RegMix's, the share of the own domain ranks as well as they do."""

import os
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from delt_exp.cli.mixture import main
from delt_exp.config.build import CONF
from delt_exp.errors import DataError
from delt_exp.mixture.runs import read_runs
from delt_exp.study.mixture.laws import own_share_rank
from tests.mixture.planted import LAWS

REGMIX = Path(os.environ.get("DELT_DATA_DIR", CONF.parents[1] / "shared" / "data")) / "regmix"
needs_regmix = pytest.mark.skipif(not REGMIX.is_dir(), reason=f"{REGMIX} is not there")


@cache
def published(role, size):
    return read_runs(REGMIX / f"{role}_mixture_{size}.csv", REGMIX / f"{role}_pile_loss_{size}.csv")


def mean_rank(predicted_RS, runs, ranks=lambda column: column):
    columns = zip(predicted_RS.T, runs.losses_RS.T, strict=True)
    return np.mean([spearmanr(ranks(predicted), ranks(losses)).statistic for predicted, losses in columns])


@needs_regmix
def test_own_domain_share_ranks_the_1b_models_with_nothing_trained():
    runs = published("test", "1B")
    shares = np.column_stack([runs.shares_RG[:, runs.sources.index(name)] for name in runs.sets])
    assert (len(runs.sources), len(runs.sets), len(runs.shares_RG)) == (17, 13, 64)
    of_the_command = [own_share_rank(runs, number, name) for number, name in enumerate(runs.sets)]
    assert np.mean(of_the_command) == pytest.approx(mean_rank(-shares, runs)) == pytest.approx(0.942, abs=5e-4)
    # 0.914 is what shares give that are 0 in many mixtures and ranked in the order of the rows instead of as ties.
    assert mean_rank(-shares, runs, lambda column: np.argsort(np.argsort(column))) == pytest.approx(0.914, abs=5e-4)


@needs_regmix
def test_512_models_of_1m_rank_the_1b_models_no_better():
    proxies, runs = published("train", "1m"), published("test", "1B")

    def logs(shares_RG):
        return np.column_stack([np.log(shares_RG + 1e-3), np.ones(len(shares_RG))])

    fitted = np.linalg.lstsq(logs(proxies.shares_RG), proxies.losses_RS, rcond=None)[0]
    assert mean_rank(logs(runs.shares_RG) @ fitted, runs) == pytest.approx(0.906, abs=5e-4)
    laws = np.column_stack([law.predict(runs.shares_RG) for law in proxies.laws()])
    assert mean_rank(laws, runs) == pytest.approx(0.938, abs=5e-4)


def write_tables(folder, num_runs=12, **changes):
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([1, 1, 1], num_runs)
    losses = np.column_stack([law.predict(shares) for law in LAWS.values()])
    files = {
        "mixtures.csv": ("run,train_code,train_news,train_web", shares),
        "losses.csv": ("run,val/code_loss,val/news_loss", losses),
    }
    for name, (header, rows) in files.items():
        lines = [header, *(f"{run}," + ",".join(map(str, row)) for run, row in enumerate(rows))]
        (folder / name).write_text(changes.get(name.partition(".")[0], lambda text: text)("\n".join(lines) + "\n"))
    return [str(folder / name) for name in files]


def test_the_command_proposes_from_two_tables(tmp_path, capsys):
    paths = write_tables(tmp_path)
    tables = tmp_path / "tables"
    main([*paths, "--objective", "code=1", "--bootstraps", "5", "--test", *paths, "--tables", str(tables)])
    text = capsys.readouterr().out
    assert "| code | 1 [1, 1] |" in text
    assert "| code | 1 | code | 1 | " in text
    assert "| mean | 1 | " in text
    assert {file.name for file in tables.iterdir()} == {"proposal.csv", "laws.csv", "test.csv", "effects.csv"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mixtures": lambda text: text.replace("\n3,", "\nx,")}, "run '3' is not in .*mixtures.csv"),
        ({"losses": lambda text: text + "3,1,1\n"}, "line 14 names run '3' again"),
        ({"losses": lambda text: text + "20,1\n"}, "line 14 has 2 columns"),
        ({"losses": lambda text: text + "20,1,high\n"}, "line 14: could not convert"),
        ({"losses": lambda text: text + "20,1,1\n"}, "run '20' is not in .*mixtures.csv"),
        ({"losses": lambda text: re.sub(r"^3,[^,]*", "3,nan", text, flags=re.M)}, "line 5: run '3' has a number that"),
        ({"mixtures": lambda text: re.sub(r"^3,[^,]*", "3,9", text, flags=re.M)}, r"mixtures.csv: run '3' has shares"),
        ({"losses": lambda text: ""}, "losses.csv is empty; give a CSV table"),
        ({"losses": lambda text: "run\n1\n"}, "needs a column for the run"),
    ],
)
def test_tables_that_cannot_be_read_are_refused_with_their_line(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        read_runs(*map(Path, write_tables(tmp_path, **changes)))


def test_a_table_that_is_no_file_is_called_so_and_the_folder_of_tables_that_is_one_too(tmp_path, capsys):
    mixtures, losses = write_tables(tmp_path)
    for path, wrong in ((tmp_path, "is a folder"), (tmp_path / "gone.csv", "does not exist")):
        with pytest.raises(DataError, match=f"{path} {wrong}; give a CSV table"):
            read_runs(Path(mixtures), path)
    with pytest.raises(SystemExit):
        main([mixtures, losses, "--bootstraps", "2", "--tables", losses])
    assert f"cannot write {losses}: a file is in the way of the folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--objective", "law=1"], "names 'law', which is not an evaluation set"),
        (["--objective", "code"], "is not SET=WEIGHT"),
        (["--objective", "code=-1"], "is not SET=WEIGHT"),
        (["--bootstraps", "0"], "--bootstraps=0"),
    ],
)
def test_a_wrong_argument_of_the_command_is_one_message(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit):
        main([*write_tables(tmp_path), *arguments])
    assert message in capsys.readouterr().err
