"""The command line: help, nearest words, exit status, speed of the answers."""

import re
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from delt_exp.cli.check import check_command, missing_keys
from delt_exp.cli.help import group_names, options
from delt_exp.cli.main import at_home, main
from delt_exp.config.build import CONF, check_keys, plain
from delt_exp.config.compose import composed
from delt_exp.config.run_name import check_name
from delt_exp.errors import ConfigError, StoreError
from tests.runs import FAST, command, write_texts

ROOT = Path(__file__).parents[2]
PROMISED = [
    "train_dataset", "target_dataset", "tokenizer", "scorer", "selector", "orderer", "model", "trainer",
    "eval_dataset", "logger", "experiment",
]  # fmt: skip


def test_the_promised_groups_are_there():
    assert set(PROMISED) <= set(group_names(CONF))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("scorer=perplexty", "scorer has no option 'perplexty', did you mean 'perplexity'?"),
        ("orderer=fold", "did you mean 'folding'?"),
        ("scorr=random", "there is no key or group 'scorr', did you mean 'scorer'?"),
        ("selector.rati=0.5", "there is no key or group 'selector.rati', did you mean 'selector.ratio'?"),
        ("trianing.epochs=2", "did you mean 'training.epochs'?"),
        ("ratio=0.5", "did you mean 'selector.ratio'?"),
        ("model.lr=0.1", "did you mean 'model.optimizer.lr'?"),
        ("scorer=LQS", "did you mean 'lqs'?"),
        (
            "scorer=random,length",
            "scorer=random,length gives several values, but a single run takes one; to run each, add -m",
        ),
        ("scorer=lqs,", "ends with a comma; leave it out"),
        (
            """study.slices.arms.model=[{"6 M":[model.context_tokens=64]},{small:[]}]""",
            """take none: 'study.slices.arms.model=[{6 M:["model.context_tokens=64"]},{small:[]}]'""",
        ),
        ("study.seeds=[0,1", "cannot read the command line: 'study.seeds=[0,1'"),
        ("random", "'random' has no '='; write scorer=random or selector=random"),
        ("scorer", "write scorer=OPTION, without spaces"),
        ("wandb=true", "there is no key or group 'wandb'; write logger=wandb"),
        ("--seed=3", "groups and keys have no dashes; write seed=3"),
        ("--dry-run", "groups and keys have no dashes; write dry_run=VALUE"),
        ("train_dataset=my/articles.jsonl.gz", "write train_dataset=jsonl train_dataset.path=my/articles.jsonl.gz"),
        (
            "target_dataset.path=x",
            "target_dataset.path is a key of target_dataset=documents, jsonl, parquet, text, which is not",
        ),
        ("scorer=random,perplexty", "scorer has no option 'perplexty'"),
        ("scorer.seed=[1", "cannot read the command line"),
        ("--mutlirun", "there is no option '--mutlirun', did you mean '--multirun'?"),
        ("target_dataset=null", "target_dataset=null chooses nothing; options: "),
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
        ["eval_dataset=[stdlib,local_bench]", "logger=[tensorboard,wandb]"],
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


@pytest.mark.slow
def test_a_user_error_is_one_message_with_status_1_and_no_stack_trace(tmp_path):
    write_texts(tmp_path)
    result = run(*FAST, "selector.ratio=1.5", cwd=tmp_path)
    assert result.returncode == 1
    assert "selector.ratio=1.5" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.glob("outputs/runs/*/record.json"))


@pytest.mark.slow
def test_the_stack_trace_is_there_for_who_asks(tmp_path):
    result = run("scorer=perplexty", cwd=tmp_path, env={"HYDRA_FULL_ERROR": "1", "PATH": ""})
    assert result.returncode == 1
    assert "Traceback" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_quick_answers_import_nothing_heavy(arguments, monkeypatch, capsys):
    code = (
        f"import sys; sys.argv = ['run.py', *{arguments!r}]\n"
        "from delt_exp.cli.main import at_home, main\n"
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
    assert at_home(f"{key}={quote}~{quote}") == f"{key}={quote}/home/me{quote}"
    template = f'{key}="~/bin$ {{question}}"'
    assert at_home(template) == template
    assert at_home('train_dataset.path="~/{split}.jsonl"') == 'train_dataset.path="/home/me/{split}.jsonl"'
    assert plain(OmegaConf.create({"prompt": "~/bin$ {q}"})) == {"prompt": "~/bin$ {q}"}
    for text in ("train_dataset.name=\"a, '~/x' =~/y\"", "name=a~/b", "name=a=~/b"):
        assert at_home(text) == text
    assert at_home("~selector.ratio") == "~selector.ratio"  # Hydra's way to leave a key out
    assert plain(OmegaConf.create({"a": ["~/x"], "b": "x~/y"})) == {"a": ["/home/me/x"], "b": "x~/y"}


@pytest.mark.slow
def test_a_folder_in_the_home_folder_is_used_in_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    write_texts(tmp_path)
    command(monkeypatch, "scorer=length", 'output_dir="~/out"')
    assert len(list((tmp_path / "home" / "out" / "runs").glob("*/record.json"))) == 1
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "/tmp/x", "..", ".", "", " ", "x" * 250, "ü" * 150, "a\nb", "${seed}"]
)
def test_a_name_stays_inside_the_output_folder(name):
    with pytest.raises(ConfigError, match=r"cannot name a folder in output_dir; give 1 to 200 bytes"):
        check_name(name)


@pytest.mark.parametrize("name", [None, "mine", 0, 1.5, "ü", "a b"])
def test_other_names_are_taken(name):
    check_name(name)


@pytest.mark.parametrize("option", ["hub", "local", "jsonl"])
def test_a_value_that_must_be_given_is_named_although_others_are_made_of_it(option):
    with pytest.raises(ConfigError, match=r"a value is missing: (train_dataset\.\w+); give it as \1=VALUE"):
        check_command(CONF, [f"train_dataset={option}"])


@cache
def said_by(group, option):
    """Return what an option's file says, references as they are written."""
    return yaml.safe_load((CONF / group / f"{option}.yaml").read_text()) or {}


def set_keys(preset):
    """Return the keys of components that a preset and those it continues set, as {group: keys}."""
    folder, option = preset.split("=")
    settings = said_by(folder, option)
    found = {group: set(settings[group]) for group in settings if group in GROUPS}
    defaults = [entry for entry in settings.get("defaults", []) if isinstance(entry, str)]
    for group, key in re.findall(r"@(\w+)\.(\w+)", " ".join(defaults)):
        found[group] = found.get(group, set()) | {key}
    for parent in parents(folder, option):
        for group, keys in set_keys(f"{folder}={parent}").items():
            found[group] = found.get(group, set()) | keys
    return found


def parents(group, option):
    """Return the options of the same group that an option continues."""
    entries = said_by(group, option).get("defaults", [])
    names = [entry.removeprefix(f"/{group}/") for entry in entries if isinstance(entry, str)]
    return [name for name in names if (CONF / group / f"{name}.yaml").exists()]


@cache
def component(group, option):
    """Return the class of an option; one of each class stands for all."""
    settings = said_by(group, option)
    return settings.get("_target_") or next((component(group, parent) for parent in parents(group, option)), option)


GROUPS = [group for group in group_names(CONF) if group not in ("experiment", "study", "alignment", "eval_dataset")]
PRESETS = [f"{group}={option}" for group in ("experiment", "study") for option in options(CONF, group)]


def is_another_study_alone(preset):
    """Whether a preset changes only the study of those that it continues: an option fits it as it fits them."""
    group, option = preset.split("=")
    settings = said_by(group, option)
    continued = parents(group, option)
    return set(settings) <= {"defaults", "study", "hydra"} and bool(continued) and settings["defaults"] == continued


QUICK = ("experiment=smoke", "selector"), ("experiment=smoke", "scorer")


def said_about(preset, group):
    """Return all that a preset and those that it continues say about a group, in text."""
    folder, option = preset.split("=")
    settings = said_by(folder, option)
    choices = [entry for entry in settings.get("defaults", []) if group in str(entry)]
    before = "".join(said_about(f"{folder}={parent}", group) for parent in parents(folder, option))
    return before + (f"{choices} {settings.get(group)}\n" if choices or group in settings else "")


# Presets that say the same about a group have the same keys in it, whatever is chosen: the first stands for them.
PAIRS = {
    (group, option, said_about(preset, group)): preset
    for preset in reversed(PRESETS)
    if not is_another_study_alone(preset)
    for group in set_keys(preset)
    for option in {component(group, option): option for option in options(CONF, group)}.values()
    if "${train_dataset" not in (CONF / group / f"{option}.yaml").read_text()  # the rest of a split needs a split
}
PAIRS = [
    pytest.param(preset, group, option, marks=() if (preset, group) in QUICK else pytest.mark.slow)
    for (group, option, _), preset in reversed(PAIRS.items())
]


@pytest.mark.parametrize(("preset", "group", "option"), PAIRS)
def test_every_option_fits_every_preset_or_the_keys_that_do_not_are_named_with_a_cure(preset, group, option):
    """Composed and checked without being built: neither files nor networks are asked for."""
    complaint = complaint_about(group, preset, f"{group}={option}")
    if complaint:
        named, cure = complaint.partition(": ")[0], complaint.partition("take it out: ")[2]
        assert {key.split(".")[1] for key in named.split(", ")} <= set_keys(preset)[group]
        again = cure and complaint_about(group, preset, f"{group}={option}", *shlex.split(cure))
        assert not again or "set it to one of" in again  # a key of the same name that means another thing


def complaint_about(group, *overrides):
    """Return the message on what does not fit the chosen component; values that are still to be given have any."""
    try:
        cfg = composed(CONF, overrides)
        for key in missing_keys(OmegaConf.to_container(cfg)):
            OmegaConf.update(cfg, key, "given")
        check_keys(plain(cfg[group]), group)
    except ConfigError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("overrides", "message"),
    {
        "of another component": (
            ["proxy=pretrained", "proxy.name=x", "model@proxy.recipe=tiny"],
            "model@proxy.recipe=tiny: Could not override 'model@proxy.recipe'; "
            "leave it out, or override model or model@probe.recipe",
        ),
        "of a preset": (
            ["experiment=smoke", "scorer=length", "data_scorer@scorer.data_scorer=regression"],
            "Could not override 'data_scorer@scorer.data_scorer'. No match in the defaults list; leave it out",
        ),
    }.values(),
)
def test_a_part_that_the_chosen_component_does_not_have_is_one_message_with_a_cure(overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message) + "$"):
        check_command(CONF, overrides)


@pytest.mark.slow
@pytest.mark.parametrize("sweep", [[], ["-m"], ["-m", "seed=0,1"]])
def test_keys_of_another_component_are_one_message_before_any_run(sweep, tmp_path):
    write_texts(tmp_path)
    result = run(*sweep, "experiment=smoke", "scorer=length", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.count("scorer.num_annotated, scorer.base: LengthScorer") == 1
    assert "Traceback" not in result.stderr
    assert not list((tmp_path / "outputs").rglob("record.json"))
