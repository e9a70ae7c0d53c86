"""The answer of a run in words: which way, by how much, against what, and what it does not say."""

import pytest

from delt_exp.report.answer import first_sentence, limits, sources, why_none


def answer(dataset="pairs", difference=-0.11, verdict="better", half=0.03, **other):
    return {
        "dataset": dataset, "metric": "loss", "unit": "nats/token", "better": "lower", "run": 5.0,
        "baseline": 5.0 - difference, "difference": difference, "low": difference - half, "high": difference + half,
        "verdict": verdict, "paired": True, "count": 100, **other,
    }  # fmt: skip


def record(*answers, kept=40, orderer="folding", target="pairs", **choices):
    return {
        "choices": {"train_dataset": "stdlib", "scorer": "lqs", "selector": "top_r", "orderer": orderer,
                    "target_dataset": target, **choices},
        "selection": {"kept_documents": kept, "of_documents": 100},
        "score": {"by_source": {
            "film": {"documents": 30, "kept": 0},
            "web": {"documents": 50, "kept": 32},
            "news": {"documents": 1000, "kept": 8},
        }},
        "baseline": {"answers": list(answers), "skipped": ""},
    }  # fmt: skip


def plain(text):
    return text.replace("\u00a0", " ")


def test_the_gain_on_the_target_comes_first_and_then_the_price():
    found = plain(first_sentence(record(answer("prose", 0.35, "worse"), answer("pairs"))))
    assert found == (
        "Choosing 40 % of stdlib by lqs scores and training it in folding order lowered the loss on pairs by "
        "0.110 ± 0.030 nats and raised the loss on prose by 0.350 ± 0.030 nats, compared with as many random documents "
        "in random order."
    )


def test_a_difference_that_noise_explains_is_no_claim():
    found = plain(first_sentence(record(answer(difference=0.01, verdict="not distinguishable"))))
    assert "did not measurably change the loss on pairs (+0.010 ± 0.030 nats)" in found


@pytest.mark.parametrize(
    ("given", "beginning", "end"),
    [
        ({"kept": 100}, "Training all of stdlib in folding order lowered", "the same documents in random order."),
        ({"orderer": "shuffle"}, "Choosing 40 % of stdlib by lqs scores lowered", "random documents in random order."),
        (
            {"weighter": "dwm"},
            "Choosing 40 % of stdlib by lqs scores, training it in folding order and weighter dwm",
            "",
        ),
    ],
)
def test_the_sentence_names_what_was_done(given, beginning, end):
    found = first_sentence(record(answer(), **given))
    assert found.startswith(beginning)
    assert found.endswith(end)


def test_more_sets_than_a_sentence_holds_are_counted():
    assert "(2 more below)" in first_sentence(record(*(answer(name) for name in "abcde")))


def test_it_says_how_much_of_each_source_was_kept_the_most_first():
    assert sources(record(answer())) == (
        "It kept 64 % of the 50 documents of web, 8 of the 1,000 documents of news and none of the 30 documents of "
        "film."
    )
    assert sources(record(answer(), kept=100)) == ""


def test_one_seed_is_said_to_be_one_draw_and_without_an_answer_nothing_is_said():
    assert "one seed is one draw" in limits(record(answer()))
    alone = record()
    assert (first_sentence(alone), limits(alone), why_none(alone)) == ("", "", "")
    alone["baseline"]["skipped"] = "there is no eval_dataset to compare on"
    assert why_none(alone) == "Not compared with a baseline: there is no eval_dataset to compare on."
    assert why_none({**alone, "baseline": None}) == ""
