"""The command line: help, nearest words, exit status, speed of the answers."""

import subprocess
import sys
from pathlib import Path

import pytest

from delt_exp.cli import CONF, main
from delt_exp.cli_check import check_command
from delt_exp.cli_help import description, group_names, help_text, options
from delt_exp.errors import ConfigError, StoreError
from tests.runs import FAST, write_texts

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
    command = [sys.executable, str(ROOT / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


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
        "from delt_exp.cli import main\n"
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
