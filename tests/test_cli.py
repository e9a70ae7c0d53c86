"""The command line: help, nearest words, exit status, speed of the answers."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from delt_exp.cli import CONF, at_home, main
from delt_exp.cli_check import check_command
from delt_exp.cli_help import description, group_names, help_text, options
from delt_exp.config import check_keys, plain
from delt_exp.errors import ConfigError, StoreError
from delt_exp.run_name import check_name
from tests.runs import FAST, command, write_texts

ROOT = Path(__file__).parents[1]
NAMED_IN_THE_ISSUE = [
    "train_dataset", "target_dataset", "tokenizer", "scorer", "selector", "orderer", "model", "trainer",
    "eval_dataset", "logger", "experiment",
]  # fmt: skip


def test_help_lists_every_group_and_every_option_with_one_line_each():
    text = help_text(CONF)
    for group in group_names(CONF):
        assert f"\n{group}=" in text
        for option in options(CONF, group):
            line = description(CONF / group / f"{option}.yaml")
            assert line, f"conf/{group}/{option}.yaml has no describing comment"
            assert f" {option} " in text
            assert line in text


def test_the_promised_groups_are_there():
    assert set(NAMED_IN_THE_ISSUE) <= set(group_names(CONF))


def test_help_shows_the_defaults():
    assert "* folding" in help_text(CONF)
    assert "training.epochs=1" in help_text(CONF)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("scorer=perplexty", "scorer has no option 'perplexty', did you mean 'perplexity'?"),
        ("orderer=fold", "did you mean 'folding'?"),
        ("scorr=random", "there is no key or group 'scorr', did you mean 'scorer'?"),
        ("selector.rati=0.5", "there is no key or group 'selector.rati', did you mean 'selector.ratio'?"),
        ("trianing.epochs=2", "did you mean 'training.epochs'?"),
        ("ratio=0.5", "did you mean 'selector.ratio'?"),
        ("scorer=random,perplexty", "scorer has no option 'perplexty'"),
        ("scorer.seed=[1", "cannot read the command line"),
        ("--mutlirun", "there is no option '--mutlirun', did you mean '--multirun'?"),
        ("scorer=kenlm", "a value is missing: scorer.model_path; give it as scorer.model_path=VALUE"),
    ],
)
def test_a_wrong_word_names_the_nearest_right_one(argument, message):
    with pytest.raises(ConfigError) as error:
        check_command(CONF, [argument])
    assert message in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["scorer=perplexity", "orderer=folding", "selector.ratio=0.5", "model=tiny"],
        ["-m", "scorer=random,length", "seed=0,1,2", "selector.ratio=range(0.2,1.0,0.4)"],
        ["+train_dataset@train_dataset.parts.news=news_agnews", "train_dataset=mixture"],
        ["eval_dataset=[stdlib,local_bench]", "logger=[csv,wandb]"],
        ["orderer=jitter", "orderer.window=8", "orderer@orderer.base=folding"],
        ["experiment=smoke"],
        ["-m", "scorer=glob(l*)"],
        ["proxy=sample", "train_dataset=patents", "target_dataset=lima"],
    ],
)
def test_documented_ways_to_say_things_compose(arguments, tmp_path):
    check_command(CONF, [*arguments, f"output_dir={tmp_path}/out"])


def test_an_output_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(StoreError, match=r"output_dir=FOLDER|choose another"):
        check_command(CONF, [f"output_dir={tmp_path}/taken"])


def run(*arguments, **options):
    words = [sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.run(words, capture_output=True, text=True, **options)


def test_a_user_error_is_one_message_with_status_1_and_no_stack_trace(tmp_path):
    write_texts(tmp_path)
    result = run(*FAST, "selector.ratio=1.5", cwd=tmp_path)
    assert result.returncode == 1
    assert "selector.ratio=1.5" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("outputs/runs/*/record.json"))


def test_the_stack_trace_is_there_for_who_asks(tmp_path):
    result = run("scorer=perplexty", cwd=tmp_path, env={"HYDRA_FULL_ERROR": "1", "PATH": ""})
    assert result.returncode == 1
    assert "Traceback" in result.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_quick_answers_import_nothing_heavy(arguments, monkeypatch, capsys):
    code = (
        f"import sys; sys.argv = ['run.py', *{arguments!r}]\n"
        "from delt_exp.cli import at_home, main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pytorch_lightning', 'transformers', 'datasets', 'wandb', 'pyarrow'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert "HEAVY []" in result.stdout, result.stderr


def test_main_prints_help_without_running(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["run.py", "--help"])
    main()
    assert "python run.py -m" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "value",
    ["köln daten(1).jsonl", "a(1).jsonl", "x=1.jsonl", "run[2].jsonl", "it's.jsonl", "{title}. {body}", 'a"b(.jsonl'],
)
def test_a_value_that_hydra_cannot_read_is_shown_with_the_quotes_it_needs(value):
    with pytest.raises(ConfigError) as error:
        check_command(CONF, ["train_dataset=jsonl", f"train_dataset.path={value}"])
    cure = shlex.split(str(error.value).split("for Hydra: ")[1])  # what a shell makes of it
    assert [override.value() for override in OverridesParser.create().parse_overrides(cure)] == [value]


@pytest.mark.parametrize("key", ["output_dir", "data_dir", "store.root", "model.network.name", "train_dataset.path"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_a_tilde_is_the_home_folder_whatever_the_key(key, quote, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert at_home(f"{key}={quote}~/x{quote}") == f"{key}={quote}/home/me/x{quote}"
    assert at_home(f"{key}=[~/x,{quote}~/y{quote}]") == f"{key}=[/home/me/x,{quote}/home/me/y{quote}]"
    assert at_home("~selector.ratio") == "~selector.ratio"  # Hydra's way to leave a key out
    assert plain(OmegaConf.create({"a": ["~/x"], "b": "x~/y"})) == {"a": ["/home/me/x"], "b": "x~/y"}


def test_a_folder_in_the_home_folder_is_used_in_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length", 'output_dir="~/out"')
    assert len(list((tmp_path / "home" / "out" / "runs").glob("*/record.json"))) == 1
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("name", ["../../x", "a/b", "/tmp/x", "..", ".", "", " ", "x" * 250, "ü" * 150, "a\nb"])
def test_a_name_stays_inside_the_output_folder(name):
    with pytest.raises(ConfigError, match=r"cannot name a folder in output_dir; give 1 to 200 bytes"):
        check_name(name)


@pytest.mark.parametrize("name", [None, "mine", 0, 1.5, "ü", "a b"])
def test_other_names_are_taken(name):
    check_name(name)


NEEDED = {  # names that others of the option refer to
    "train_dataset=hub": ["train_dataset.repo=owner/name"],
    "train_dataset=local": ["train_dataset.name=mine"],
}
PRESETS = sorted(f"experiment={path.stem}" for path in (CONF / "experiment").glob("*.yaml"))
PAIRS = [
    (preset, f"{group}={option}")
    for preset in PRESETS
    for group in ("scorer", "selector", "orderer", "model", "trainer", "train_dataset", "proxy", "eval_dataset")
    for option in options(CONF, group)
]


@pytest.mark.parametrize(("preset", "option"), PAIRS)
def test_every_option_fits_every_preset_or_the_key_that_does_not_is_named(preset, option):
    """Composed and checked without being built: neither files nor networks are asked for."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", [preset, option, *NEEDED.get(option, [])])
    group = option.split("=")[0]
    settings = OmegaConf.to_container(cfg[group], resolve=True)
    complaint = complaint_about(settings, group)
    if complaint:
        of_the_preset = OmegaConf.load(CONF / "experiment" / f"{preset.split('=')[1]}.yaml")[group]
        assert "does not fit" in complaint
        assert complaint.split("=")[0].removeprefix(f"{group}.") in of_the_preset


def complaint_about(settings, group):
    try:
        check_keys(settings, group)
    except ConfigError as error:
        return str(error)
    return ""


def test_a_key_of_another_component_is_one_message(tmp_path):
    write_texts(tmp_path)
    result = run("experiment=smoke", "scorer=length", cwd=tmp_path)
    assert result.returncode == 1
    assert "scorer.num_steps=4 does not fit LengthScorer" in result.stderr
    assert "Traceback" not in result.stderr
