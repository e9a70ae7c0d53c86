"""The help pages: short, as wide as the terminal, complete for every group and option."""

import sys

import pytest
import yaml

from delt_exp.cli.help import description, group_names, help_text, options
from delt_exp.cli.main import main
from delt_exp.cli.option_keys import Key, keys_of, keys_of_text
from delt_exp.config.build import CONF
from delt_exp.config.compose import composed
from delt_exp.config.identity import flat
from delt_exp.errors import ConfigError

WIDE = 500  # no line is broken


def test_the_first_page_names_every_group_with_its_default_and_fits_a_screen():
    text = help_text(CONF, width=120)
    assert all(group in text for group in group_names(CONF))
    assert "orderer         folding " in text
    assert len(text.splitlines()) <= 45


def test_every_group_that_the_first_page_lists_says_what_it_chooses():
    defaults = yaml.safe_load((CONF / "config.yaml").read_text())["defaults"]
    listed = [key for entry in defaults if isinstance(entry, dict) for key in entry if "override" not in key]
    lines = {line.split()[0]: line.split() for line in help_text(CONF, width=WIDE).splitlines() if line.strip()}
    assert all(len(lines[group]) > 4 for group in listed)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    words = ["scorer", "scorer=lqs", "training", "scorer.model_path"]
    text = help_text(CONF, words, width) + help_text(CONF, width=width).partition("Groups")[2]
    assert [line for line in text.splitlines() if len(line) > width and "=" not in line] == []


def test_the_width_is_that_of_the_terminal(monkeypatch, capsys):
    counts = []
    for columns in ("60", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(sys, "argv", ["run.py", "--help", "scorer"])
        main()
        counts.append(len(capsys.readouterr().out.splitlines()))
    assert counts[0] > counts[1]


@pytest.mark.parametrize("group", group_names(CONF))
def test_the_help_on_a_group_has_one_line_for_each_option(group):
    text = help_text(CONF, [group], WIDE)
    for option in options(CONF, group):
        line = description(CONF / group / f"{option}.yaml")
        assert line, f"conf/{group}/{option}.yaml has no describing comment"
        assert f" {option} " in text
        assert line in text


@pytest.mark.parametrize("words", [["--help", "scorer"], ["scorer=?", "--help"], ["-h", "scorer="]])
def test_a_group_is_asked_for_in_several_ways(words, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run.py", *words])
    main()
    assert "  * lqs " in capsys.readouterr().out


@pytest.mark.parametrize("group", ["scorer", "selector", "orderer", "proxy", "mixture", "weighter", "trainer"])
def test_the_help_on_an_option_has_every_key_that_it_composes_to(group):
    for option in options(CONF, group):
        settings = yaml.safe_load((CONF / group / f"{option}.yaml").read_text())
        shown = {key.name for key in keys_of(CONF, group, option, group)}
        assert shown >= {f"{group}.{key}" for key in set(settings) - {"_target_", "_partial_", "defaults"}} - parents(
            shown
        )
        assert help_text(CONF, [f"{group}={option}"], WIDE)


def parents(keys):
    return {key[:end] for key in keys for end in range(len(key)) if key[end] == "."}


@pytest.mark.slow
def test_keys_of_parts_and_of_what_an_option_continues_are_those_of_the_composed_configuration():
    for given in ("model=mistral_160m", "scorer=lqs", "orderer=jitter", "train_dataset=news_agnews"):
        group, option = given.split("=")
        node = yaml.safe_load(yaml.safe_dump({group: plain(composed(CONF, [given])[group])}))
        keys = {name for name in flat(node) if name.split(".")[-1] not in ("_target_", "_partial_")}
        assert {key.name for key in keys_of(CONF, group, option, group)} == {
            k for k in keys if "data_scorer._" not in k
        }


def test_a_suite_of_many_parts_has_their_keys_once_and_names_every_part():
    text = help_text(CONF, ["train_dataset=seven_domains"], WIDE)
    lines = text.splitlines()
    assert sum("train_dataset.parts.*.messages=null " in line for line in lines) == 1
    assert any("parts.*.name=... " in line and "label of the documents" in line for line in lines)
    assert not any(line.startswith(("  train_dataset.parts.patents", "  train_dataset.parts=")) for line in lines)
    assert next(line for line in lines if line.startswith("*: one of ")).count(",") == 6
    assert "train_dataset@train_dataset.parts.literature=literature  " in text


@pytest.mark.slow
def test_parts_of_parts_have_the_options_and_values_that_the_outer_option_gives_them():
    keys = {key.name: key for key in keys_of(CONF, "eval_dataset", "domain_halves", "eval_dataset")}
    assert keys["eval_dataset.fit_code.dataset.dataset.name"].value == "code_python"
    assert keys["eval_dataset.confirm_news.dataset.shards"].value == "[1]"
    assert keys["eval_dataset.fit_code.dataset.dataset.split"].value == "validation"
    assert keys["eval_dataset.fit_code.dataset.dataset.split"].comment
    assert "eval_dataset.fit_code.dataset" not in keys
    node = plain(composed(CONF, ["eval_dataset=domain_halves"]).eval_dataset)
    assert set(keys) == {name for name in flat({"eval_dataset": node}) if not name.endswith("_target_")}


@pytest.mark.slow
def test_every_option_has_a_help_page_and_several_can_be_asked_for_at_once():
    for group in group_names(CONF):
        assert all(help_text(CONF, [f"{group}={option}"], WIDE) for option in options(CONF, group))
    both = help_text(CONF, ["scorer=[length,random]"], WIDE)
    assert both == "\n\n".join(help_text(CONF, [f"scorer={name}"], WIDE) for name in ("length", "random"))


def test_indented_lines_of_a_description_stay_as_they_are():
    lines = help_text(CONF, ["train_dataset=mixture"], WIDE).splitlines()
    assert "    weights: {news: 3, books: 1}" in lines
    assert "  The same on the command line:" in lines


def plain(node):
    from omegaconf import OmegaConf

    def leaves_as_text(value):
        if isinstance(value, dict):
            return {key: leaves_as_text(item) for key, item in value.items()}
        return str(value)

    return leaves_as_text(OmegaConf.to_container(node))


def test_a_comment_stands_beside_its_key_wherever_the_file_has_it():
    text = (
        "# head\n_target_: a.B\nfirst: 1  # beside\nsecond: '# no comment'\nthird:\n  # above\n  inner: [1, 2]\n"
        "  other: ???     # beside,\n                 # and below\nfourth:\n- a\n- b\n"
    )
    assert keys_of_text(text, "g") == [
        Key("g.first", "1", "beside"),
        Key("g.second", "'# no comment'", ""),
        Key("g.third.inner", "[1, 2]", "above"),
        Key("g.third.other", "???", "beside, and below"),
        Key("g.fourth", "[...]", ""),
    ]


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("perplexity", "mean token loss"),
        ("scorer.model_path", "scorer=kenlm\n  scorer.model_path=???"),
        ("training.max_tokens", "budget of predicted tokens"),
        ("keys", "store.verify"),
    ],
)
def test_an_option_or_a_key_is_found_by_its_name(word, shown):
    assert shown in help_text(CONF, [word], WIDE)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("scorr", "did you mean 'scorer'?"),
        ("perplexty", "did you mean 'perplexity'?"),
        ("scorer=kenml", "scorer has no option 'kenml', did you mean 'kenlm'?"),
        ("model.lr", "did you mean 'model.optimizer.lr'?"),
    ],
)
def test_a_wrong_word_after_help_names_the_nearest_right_one(word, message):
    with pytest.raises(ConfigError) as error:
        help_text(CONF, [word])
    assert message in str(error.value)
