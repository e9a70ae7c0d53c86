"""Listing, explaining and freeing what the store holds."""

import os
import time
from pathlib import Path

import pytest

from delt_exp.cli import store as store_module
from delt_exp.cli.store import _entry, entries, explain, free, main, parse_bytes
from delt_exp.errors import ConfigError
from delt_exp.store.store import ENTRY, Store


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "store", "hash")
    for age_days, (stage, inputs, size) in enumerate(
        [("model", {"recipe": {"lr": 0.1}}, 100), ("model", {"recipe": {"lr": 0.2}}, 200), ("tokens", {"c": 1}, 400)]
    ):
        use = store.get(stage, inputs, lambda folder, size=size: (folder / "x").write_bytes(bytes(size)))
        then = time.time() - (10 - age_days) * 86_400
        os.utime(use.path / ENTRY, (then, then))
    return store


def test_the_list_is_complete_and_sorted_by_last_use(store, capsys):
    main(["--root", str(store.root), "list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["model", "model", "tokens"]
    assert lines[-1] == "3 stages, 700 B"


def test_explain_names_the_input_that_differs(store):
    key = entries(store.root)[1].key
    assert "recipe.lr: 0.1 -> 0.2" in explain(store.root, key)


def test_explain_refuses_an_unknown_key(store):
    with pytest.raises(ConfigError, match="0 stages begin with 'zz'"):
        explain(store.root, "zz")


def test_old_stages_are_freed_first(store):
    assert [e.num_bytes for e in free(store.root, unused_days=8.5, max_bytes=None, dry_run=False)] == [100, 200]
    assert [e.num_bytes for e in entries(store.root)] == [400]


def test_the_least_recently_used_go_until_the_rest_fits(store):
    assert [e.num_bytes for e in free(store.root, unused_days=None, max_bytes=600, dry_run=False)] == [100]
    assert sum(e.num_bytes for e in entries(store.root)) == 600


def test_zero_bytes_means_nothing_stays(store):
    assert len(free(store.root, unused_days=None, max_bytes=0, dry_run=False)) == 3


def test_freeing_without_a_limit_removes_nothing(store, capsys):
    with pytest.raises(SystemExit):
        main(["--root", str(store.root), "free"])
    assert "--max-size" in capsys.readouterr().err
    assert len(entries(store.root)) == 3


def test_a_freed_stage_is_computed_again(store):
    free(store.root, unused_days=None, max_bytes=0, dry_run=False)
    assert store.get("tokens", {"c": 1}, lambda folder: None).cached is False


@pytest.mark.parametrize(
    ("text", "value"), [("500M", 5e8), ("2.5G", 2.5e9), ("12B", 12), ("1kB", 1e3), ("20 GB", 2e10)]
)
def test_sizes_are_read(text, value):
    assert parse_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "message"), [("20", "'20' has no unit; write 500MB"), ("20X", "'20X' is not a size"), ("BB", "is not a")]
)
def test_a_size_without_a_unit_is_refused_and_nothing_freed(text, message, store, capsys):
    with pytest.raises(SystemExit):
        main(["--root", str(store.root), "free", "--max-size", text])
    assert message in capsys.readouterr().err
    assert len(entries(store.root)) == 3


@pytest.mark.parametrize("days", ["-1", "nan"])
def test_days_below_0_are_refused_and_nothing_freed(days, store, capsys):
    with pytest.raises(SystemExit):
        main(["--root", str(store.root), "free", "--unused-days", days])
    assert f"--unused-days {days}: give 0 or more" in capsys.readouterr().err
    assert len(entries(store.root)) == 3


def test_a_dry_run_lists_what_would_go_and_leaves_it(store, capsys):
    first, *_ = entries(store.root)
    main(["--root", str(store.root), "free", "--max-size", "600B", "--dry-run"])
    head, _, row, total = capsys.readouterr().out.splitlines()
    assert (head, row.split()[1], total) == ("would be removed:", first.key, "1 stages, 100 B")
    assert len(entries(store.root)) == 3


def test_columns_are_as_wide_as_what_stands_in_them(store, capsys):
    store.get("document values", {}, lambda folder: None)
    main(["--root", str(store.root), "list"])
    *rows, _ = capsys.readouterr().out.splitlines()
    keys = [entry.key for entry in entries(store.root)]
    assert {row.index(key) for row, key in zip(rows[1:], keys, strict=True)} == {rows[0].index("key")}
    assert {len(row) for row in rows} == {len(rows[0])}
    assert rows[-1].startswith(f"document values  {keys[-1]}  ")


def test_stages_that_are_finished_or_freed_meanwhile_are_no_error(store, monkeypatch):
    first = min(store.root.glob("*/*/"))
    found = entries(store.root)

    def gone(self, *_):
        raise FileNotFoundError

    monkeypatch.setattr(store_module, "_entry", lambda path: gone(path) if path == first else _entry(path))
    assert [entry.path for entry in entries(store.root)] == [entry.path for entry in found if entry.path != first]
    monkeypatch.setattr(Path, "rename", gone)
    assert free(store.root, unused_days=None, max_bytes=0, dry_run=False) == []
