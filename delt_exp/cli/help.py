"""The help page, read from the configuration itself: every group, every option, one line each."""

from pathlib import Path

import yaml

from delt_exp.config.identity import flat

USAGE = """\
python run.py [GROUP=OPTION ...] [KEY=VALUE ...]       one run
python run.py -m GROUP=OPTION,OPTION KEY=VALUE,VALUE   a sweep over all combinations
python run.py study=NAME [scale=paper] [...]           many runs that answer one question, with one report
python run.py -m [...] hydra/launcher=parallel         run these jobs in parallel (default: one after another)
python run.py --cfg job [...]                          show the configuration and stop

Below, * marks the default option of a group.
"""


def help_text(conf: Path) -> str:
    """Return the help page: usage, every config group with its options and defaults, and the other keys."""
    text = (conf / "config.yaml").read_text(encoding="utf-8")
    config = yaml.safe_load(text)
    defaults = dict(item for entry in config.pop("defaults") if isinstance(entry, dict) for item in entry.items())
    config.pop("hydra", None)
    parts = [
        "Which training data, in which order, makes a better language model?\n",
        USAGE,
        *(_group(conf, group, defaults.get(group)) for group in group_names(conf)),
        "Other keys and their defaults (KEY=VALUE):",
        *(f"  {key}={'null' if value is None else value}" for key, value in flat(config).items()),
    ]
    return "\n".join(parts)


def group_names(conf: Path) -> list[str]:
    """Return the config groups in the order of the data flow, and where the runs of a sweep are computed."""
    config = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    entries = [key for entry in config["defaults"] if isinstance(entry, dict) for key in entry]
    listed = [key for key in entries if not key.startswith("override ")]
    others = {folder.name for folder in conf.iterdir() if folder.is_dir() and folder.name != "hydra"} - set(listed)
    return [*listed, *sorted(others), "hydra/launcher"]


def options(conf: Path, group: str) -> list[str]:
    """Return the options of a config group; `study` has some in folders, `name/scale`."""
    files = (conf / group).rglob("*.yaml")
    return sorted(file.relative_to(conf / group).with_suffix("").as_posix() for file in files)


def description(file: Path) -> str:
    """Return the first comment of a YAML file that is not Hydra's package line."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").strip()
    return ""


def _group(conf: Path, group: str, default: str | None) -> str:
    names = options(conf, group)
    width = max((len(name) for name in names), default=0)
    lines = [f"  {'*' if n == default else ' '} {n:<{width}}  {description(conf / group / f'{n}.yaml')}" for n in names]
    return "\n".join([f"{group}=", *lines, ""])
