"""What a rehearsal knows before anything is scored: how many documents are kept, and what they are too few for."""

from functools import partial
from pathlib import Path

import pytest

from delt_exp.selector.threshold import threshold
from delt_exp.selector.top_k import top_k
from delt_exp.selector.top_r import top_r
from delt_exp.steps.rehearsal import known_count
from tests.helpers import make_pool, words
from tests.runs import command, write_texts


@pytest.mark.parametrize(
    ("selector", "count"),
    [
        (partial(top_k, k=5, unit="documents"), 5),
        (partial(top_r, ratio=0.5, unit="documents"), 12),
        (partial(top_r, ratio=0.5, unit="tokens"), None),
        (partial(threshold, value=0.5, quantile=None), None),
        (partial(threshold, value=None, quantile=0.5), None),
    ],
)
def test_the_number_of_kept_documents_is_known_where_scores_do_not_decide_it(selector, count, tmp_path):
    pool = make_pool(tmp_path, [f"{text} {'long ' * n}" for n, text in enumerate(words(24))])
    assert known_count(selector, pool.candidates) == count


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["selector.k=3", "model.batch_items=8"], "fewer than one batch of 8"),
        (["selector.k=20", "model.schedule.warmup_steps=30", "model.schedule.warmup_ratio=null"], "warmup_steps"),
        (
            ["selector.k=9", "alignment=task2vec", "alignment.task2vec.batch_documents=10"],
            "9 documents of the selection",
        ),
    ],
)
def test_settings_that_do_not_fit_what_is_kept_are_refused_before_scoring(overrides, message, monkeypatch, capsys):
    write_texts(Path.cwd())
    with pytest.raises(SystemExit):
        command(monkeypatch, "scorer=perplexity", "selector=top_k", "model.context_tokens=64", *overrides)
    assert message in capsys.readouterr().err
    assert not Path("outputs/store/scores").exists()
