"""Hydra's flags do what they do for Hydra, before and after overrides; and no command composes twice."""

import sys
from contextlib import suppress

import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl

from delt_exp.cli.check import check_command
from delt_exp.cli.main import main
from delt_exp.config import compose
from delt_exp.config.build import CONF
from delt_exp.errors import ConfigError
from tests.runs import command, records, write_texts


@pytest.fixture
def answer(monkeypatch, capsys):
    """Return what the command prints."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        with suppress(SystemExit):
            main()
        return capsys.readouterr().out

    return run


def test_the_configuration_is_shown_with_overrides_on_both_sides_of_the_flag(answer):
    shown = yaml.safe_load(answer("seed=3", "--cfg", "job", "scorer=random", "selector.ratio=0.25"))
    assert (shown["seed"], shown["scorer"]["seed"], shown["selector"]["ratio"]) == (3, "${seed}", 0.25)
    assert "hydra" not in shown


def test_a_part_of_the_configuration_is_shown_resolved(answer):
    shown = answer("-c", "job", "--resolve", "-p", "scorer", "scorer=random", "seed=3")
    assert shown.startswith("# @package scorer\n")
    assert yaml.safe_load(shown)["seed"] == 3


@pytest.mark.parametrize(("kind", "keys"), [("hydra", {"hydra"}), ("all", {"hydra", "seed", "scorer"})])
def test_hydras_own_configuration_is_shown(kind, keys, answer):
    assert keys <= set(yaml.safe_load(answer("--cfg", kind)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--version"], "Hydra 1.3"),
        (["--hydra-help"], "Hydra"),
        (["--info", "searchpath", "seed=3"], "Config search path"),
        (["seed=3", "--info", "defaults"], "Defaults List"),
    ],
)
def test_what_only_hydra_knows_it_answers(arguments, words, answer):
    assert words in answer(*arguments)


@pytest.mark.slow
def test_options_of_another_folder_are_found(answer, tmp_path):
    (tmp_path / "orderer").mkdir()
    (tmp_path / "orderer" / "mine.yaml").write_text("_target_: delt_exp.orderer.identity.identity\n_partial_: true\n")
    assert "orderer.identity.identity" in answer("--config-dir", str(tmp_path), "--cfg", "job", "orderer=mine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lqs"], "'lqs' has no '='; write scorer=lqs"),
        (["--cfg", "jobs"], "invalid choice: 'jobs'"),
        (["--cfg", "job", "--multirun"], "--multirun and --cfg answer different questions; give one of them"),
        (["--multi"], "there is no option '--multi', did you mean '--multirun'?"),
    ],
)
def test_a_wrong_flag_or_word_is_one_message(arguments, message):
    with pytest.raises(ConfigError) as error:
        check_command(CONF, arguments)
    assert message in str(error.value)


@pytest.fixture
def compositions(monkeypatch):
    """Return the overrides of every composition by Hydra, nothing being remembered at the start."""
    done = []
    original = ConfigLoaderImpl._load_configuration_impl

    def load(self, **given):
        done.append(given["overrides"])
        return original(self, **given)

    compose._memory_of.cache_clear()
    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", load)
    return done


@pytest.mark.slow
def test_a_run_and_a_look_at_its_configuration_compose_once(compositions, tmp_path, monkeypatch, answer):
    answer("--cfg", "job", "orderer=sorting")
    assert len(compositions) == 1
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length", "dry_run=true")
    assert len(compositions) == 2


@pytest.mark.slow
def test_the_runs_of_a_sweep_compose_once_for_each_choice_of_options(compositions, tmp_path, monkeypatch):
    write_texts(tmp_path)
    command(monkeypatch, "-m", "scorer=length", "orderer=identity,shuffle", "seed=0,1", "dry_run=true")
    assert len(compositions) <= 5  # the first for the check, the sweep itself, and two choices that know its name
    assert not records()
