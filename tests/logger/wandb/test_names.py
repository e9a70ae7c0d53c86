"""Names are made fit for W&B, or refused before anything is computed."""

import re

import pytest
import wandb

from delt_exp.errors import ConfigError
from delt_exp.logger.wandb.names import MAX_CHARS, artifact_name, check_names, short

ALLOWED = re.compile(r"[A-Za-z0-9_.-]{1,128}")


@pytest.mark.parametrize("part", ["köln", "新聞", "a b", "x" * 300, "news:v2", "a/b", "", "plain-name_1.0"])
def test_every_artifact_has_an_allowed_name(part):
    name = artifact_name("scores", part)
    assert ALLOWED.fullmatch(name)
    assert wandb.Artifact(name, type="scores").name == name  # W&B raises for a name that it does not take


def test_names_that_look_alike_stay_apart_and_allowed_ones_stay_as_they_are():
    names = {artifact_name("scores", part) for part in ("köln", "koln", "k ln", "k:ln", "x" * 300, "x" * 301)}
    assert len(names) == 6
    assert artifact_name("scores", "news_agnews", "length") == "scores-news_agnews-length"


def test_long_names_are_cut_and_stay_apart():
    first, second = (short(f"{'x' * 200}{end}", MAX_CHARS) for end in "ab")
    assert len(first) == len(second) == MAX_CHARS
    assert first != second
    assert short("fits", MAX_CHARS) == "fits"


@pytest.mark.parametrize(
    ("project", "entity", "tags", "key"),
    [
        ("team/proj", None, [], "logger.wandb.project='team/proj'"),
        ("a?b", None, [], "logger.wandb.project"),
        ("", None, [], "logger.wandb.project"),
        ("x" * 129, None, [], "logger.wandb.project"),
        ("p", "team/x", [], "logger.wandb.entity='team/x'"),
        ("p", None, ["fine", "x" * 65], "logger.wandb.tags"),
        ("p", None, [""], "logger.wandb.tags"),
    ],
)
def test_what_is_refused_names_key_and_limits(project, entity, tags, key):
    with pytest.raises(ConfigError) as error:
        check_names(project, entity, tags)
    assert key in str(error.value)
    assert "1 to" in str(error.value)


def test_what_is_allowed_passes():
    check_names("p" * 128, "team", ["x" * 64, "ü"])
