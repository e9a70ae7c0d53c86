"""`python -m delt_exp.store`: what the store holds, why a stage was not reused, and how to free space."""

import argparse
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from delt_exp.cli.reporting import reporting
from delt_exp.config.identity import differences
from delt_exp.errors import ConfigError, DataError
from delt_exp.files import disk_errors, read_json
from delt_exp.report.numbers import size
from delt_exp.store.store import ENTRY

UNITS = {"B": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Entry:
    """One stage; `used` is when a run last needed it, in seconds since the epoch.

    A key that ends in `.work` is unfinished, one that ends in `.damaged` has no readable entry.json.
    """

    stage: str
    key: str
    path: Path
    inputs: Mapping[str, Any]
    num_bytes: int
    build_seconds: float
    used: float


def entries(root: Path) -> list[Entry]:
    """Return all stages under a store's root, least recently used first."""
    found = []
    for folder in list(root.glob("*/*/")):
        with suppress(FileNotFoundError):  # finished, and with it renamed, or freed by another process since
            found.append(_entry(folder))
    return sorted(found, key=lambda entry: entry.used)


def _entry(path: Path) -> Entry:
    num_bytes = sum(file.stat().st_size for file in path.rglob("*") if file.is_file() and file.name != ENTRY)
    if path.suffix == ".work":
        return Entry(path.parent.name, path.name, path, {}, num_bytes, 0.0, path.stat().st_mtime)
    try:
        value = read_json(path / ENTRY)
        seconds, inputs = value["cost"]["build_seconds"], value["inputs"]
    except (OSError, DataError, KeyError):
        return Entry(path.parent.name, f"{path.name}.damaged", path, {}, num_bytes, 0.0, path.stat().st_mtime)
    return Entry(value["stage"], path.name, path, inputs, num_bytes, seconds, (path / ENTRY).stat().st_mtime)


def explain(root: Path, key: str) -> str:
    """Return how a stage differs from its nearest relatives: the reason why none of them was reused.

    Raises ConfigError when no stage, or more than one, begins with `key`.
    """
    everything = entries(root)
    chosen = [entry for entry in everything if entry.key.startswith(key)]
    if len(chosen) != 1:
        raise ConfigError(f"{len(chosen)} stages begin with {key!r}; `python -m delt_exp.store list` shows the keys")
    relatives = [e for e in everything if e.stage == chosen[0].stage and e.key != chosen[0].key]
    relatives.sort(key=lambda e: len(differences(e.inputs, chosen[0].inputs)))
    lines = [f"{chosen[0].stage}/{chosen[0].key}"]
    for relative in relatives[:3]:
        lines.append(f"\nnot {relative.key}, because these inputs differ ({relative.key} -> {chosen[0].key}):")
        lines += [f"  {line}" for line in differences(relative.inputs, chosen[0].inputs)]
    return "\n".join(lines if relatives else [*lines, f"there is no other {chosen[0].stage} stage"])


def free(root: Path, *, unused_days: float | None, max_bytes: float | None, dry_run: bool) -> list[Entry]:
    """Remove stages not used for `unused_days`, then the least recently used until the rest fits `max_bytes`.

    Returns what was removed, or would be, for a dry run; a stage that a process is computing stays.
    """
    everything = entries(root)
    oldest = time.time() - unused_days * DAY_SECONDS if unused_days is not None else float("-inf")
    total = sum(entry.num_bytes for entry in everything)
    removed = []
    for entry in everything:
        too_old, too_large = entry.used < oldest, max_bytes is not None and total > max_bytes
        if (too_old or too_large) and _remove(entry.path, dry_run):
            removed.append(entry)
            total -= entry.num_bytes
    return removed


def _remove(path: Path, dry_run: bool) -> bool:
    try:
        with FileLock(path.with_name(f"{path.name.removesuffix('.work')}.lock"), timeout=0):
            if dry_run:
                return True
            trash = path.with_name(f"{path.name}.trash")
            path.rename(trash)  # gone in one step for everyone who looks
            shutil.rmtree(trash)
    except (Timeout, FileNotFoundError):
        return False
    return True


def parse_bytes(text: str) -> float:
    """Return the number of bytes of a text such as 500MB or 2.5G (powers of ten)."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(B|[KMGT])B?", text.upper())
    if not match:
        wrong = "has no unit" if re.fullmatch(r"\d+(?:\.\d+)?", text) else "is not a size"
        raise argparse.ArgumentTypeError(f"{text!r} {wrong}; write 500MB or 2.5GB, or 0B for nothing")
    return float(match[1]) * UNITS[match[2]]


def _table(listed: Sequence[Entry]) -> str:
    now = time.time()
    rows = [("stage", "key", "size", "computed in", "last used")]
    rows += [
        (e.stage, e.key, size(e.num_bytes), f"{e.build_seconds:.1f} s", f"{(now - e.used) / DAY_SECONDS:.1f} d ago")
        for e in listed
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    forms = [f"{side}{width}" for side, width in zip("<<>>>", widths, strict=True)]
    lines = ["  ".join(map(format, row, forms)) for row in rows]
    return "\n".join([*lines, f"{len(listed)} stages, {size(sum(e.num_bytes for e in listed))}"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m delt_exp.store", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("outputs/store"), help="folder of the store (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="every stage with size, cost and last use")
    commands.add_parser("explain", help="which inputs distinguish a stage from similar ones").add_argument("key")
    freeing = commands.add_parser("free", help="remove stages unused for long, or those beyond a total size")
    freeing.add_argument("--unused-days", type=float, help="remove stages not used for this many days")
    freeing.add_argument("--max-size", type=parse_bytes, help="then remove the least recently used down to this: 20GB")
    freeing.add_argument("--dry-run", action="store_true", help="list what would be removed, and remove nothing")
    options = parser.parse_args(arguments)
    with reporting(), disk_errors(options.root):
        print(_run(options))


def _run(options: argparse.Namespace) -> str:
    if options.command == "list":
        return _table(entries(options.root))
    if options.command == "explain":
        return explain(options.root, options.key)
    if options.unused_days is None and options.max_size is None:
        raise ConfigError("say what to free: --unused-days DAYS, --max-size SIZE, or both")
    if options.unused_days is not None and not options.unused_days >= 0:
        raise ConfigError(f"--unused-days {options.unused_days:g}: give 0 or more")
    removed = free(options.root, unused_days=options.unused_days, max_bytes=options.max_size, dry_run=options.dry_run)
    return f"{'would be removed' if options.dry_run else 'removed'}:\n{_table(removed)}"
