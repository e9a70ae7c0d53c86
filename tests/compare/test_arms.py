"""What did not answer the same questions is refused, with the reason and the cure."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from delt_exp.compare.answers import Choice
from delt_exp.compare.arms import read_arms
from delt_exp.errors import ConfigError, DataError
from tests.compare.folders import DATE, accuracies, write_folder
from tests.runs import write_jsonl

HIGHER = Choice(better="higher")
LATER = "2026-01-02T04-05-06.789012"


def folders(tmp_path, first, second, **changed):
    """Two evaluations of one task; `changed` of the second."""
    write_folder(tmp_path / "A", {"quiz": first})
    write_folder(tmp_path / "B", {"quiz": second}, **changed)
    return [str(tmp_path / "A"), str(tmp_path / "B")]


def changed(rows, **values):
    return [{**rows[0], **values}, *rows[1:]]


ROWS = accuracies([1, 0, 1])


@pytest.mark.parametrize(
    ("second", "folder", "message"),
    [
        (
            accuracies([1, 0]),
            {},
            r"1 of 3 items are missing in the second, 0 of 2 in the first \(2\); evaluate both on the",
        ),
        (changed(ROWS, doc_hash="f"), {}, r"document differs in 1 of 3 items \(0\); evaluate both on one version"),
        (changed(ROWS, target_hash="f"), {}, r"target differs in 1 of 3 items"),
        (changed(ROWS, prompt_hash="f"), {}, r"prompt differs in 1 of 3 items .*--any-prompt"),
        (ROWS, {"shots": 5}, r"number of few-shot examples 0 against 5; evaluate both with the same"),
        (ROWS, {"version": 2.0}, r"version 1.0 against 2.0"),
        (accuracies([1, 0, 1], "exact_match"), {}, r"one has acc \[accuracy\], the other exact_match"),
    ],
)
def test_unlike_items_are_refused(tmp_path, second, folder, message):
    with pytest.raises(DataError, match=f"A and B cannot be compared on quiz: {message}"):
        read_arms(folders(tmp_path, ROWS, second, **folder), Choice())


def test_another_prompt_is_allowed_where_it_is_meant(tmp_path):
    words = folders(tmp_path, ROWS, changed(ROWS, prompt_hash="f"))
    assert len(read_arms(words, Choice(any_prompt=True)).arms) == 2


def test_other_tasks_are_refused_and_the_common_ones_named(tmp_path):
    write_folder(tmp_path / "A", {"quiz": ROWS, "more": ROWS})
    write_folder(tmp_path / "B", {"quiz": ROWS})
    words = [str(tmp_path / "A"), str(tmp_path / "B")]
    with pytest.raises(DataError, match=r"more is in one only; .* --tasks quiz"):
        read_arms(words, Choice())
    assert read_arms(words, Choice(tasks=["quiz"])).arms[0].tasks == ["quiz"]


def table(path, rows, **columns):
    """A table of (seed, item, value)."""
    write_jsonl(path, [{"seed": seed, "item": item, "value": value, **columns} for seed, item, value in rows])
    return str(path)


def test_the_format_of_a_table_does_not_matter(tmp_path):
    rows = [(0, "a", 1.0), (0, "b", 2.0), (1, "a", 3.0), (1, "b", 5.0)]
    columns = dict(zip(("seed", "item", "value"), zip(*rows, strict=True), strict=True))
    table(tmp_path / "t.jsonl", rows)
    pq.write_table(pa.table({name: list(column) for name, column in columns.items()}), tmp_path / "t.parquet")
    (tmp_path / "t.csv").write_text("seed,item,value\n" + "".join(f"{s},{i},{v}\n" for s, i, v in rows))
    arms = read_arms([f"{end}={tmp_path}/t.{end}" for end in ("jsonl", "parquet", "csv")], HIGHER).arms
    for arm in arms:
        assert arm.seeds == [0, 1]
        assert [one.sums_N.tolist() for one in arm.answers("items")] == [[1, 2], [3, 5]]


def test_a_weight_below_0_is_named_with_its_item(tmp_path):
    (tmp_path / "t.csv").write_text("item,value,weight\na,1,1\nb,1,-2\nc,1,-3\n")
    path = str(tmp_path / "t.csv")
    with pytest.raises(DataError, match="weight of item 'b' is -2; weights are 0 or more"):
        read_arms([f"x={path}", f"y={path}"], HIGHER)


def test_tasks_and_weights_of_a_table_are_read(tmp_path):
    path = table(tmp_path / "t.jsonl", [(0, "a", 1.0), (0, "b", 2.0)], task="law", weight=3)
    (answers,) = read_arms([f"x={path}", f"y={path}"], HIGHER).arms[0].answers("law")
    assert (answers.sums_N.tolist(), answers.sizes_N.tolist()) == ([3, 6], [3, 3])


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([(0, "a", 1), (1, "a", 2)], {}, r"has the seeds \[0\] and b has \[0, 1\]; the variation between seeds"),
        ([(0, "a", 1), (0, "b", None)], {}, "column value has 1 empty entries"),
        ([(0, "a", "x"), (0, "b", "y")], {}, "column value holds string; it must hold numbers"),
        ([(0, "a", 1), (0, "b", 1), (0, "b", 1)], {}, "items differ in their weight, tokens or number of rows"),
        ([(0, "a", 1), (0, "b", 1)], {"weight": -1}, "weight of item 'a' is -1"),
        ([(0, "a", 1), (0, "b", 1)], {"weight": "x"}, "column weight holds string; it must hold numbers"),
        ([(0, "", 1), (0, "b", 1)], {}, "column item has 1 empty entries"),
    ],
)
def test_tables_that_cannot_be_paired_are_refused(tmp_path, rows, columns, message):
    first = table(tmp_path / "a.jsonl", [(0, "a", 1), (0, "b", 2)])
    with pytest.raises(DataError, match=message):
        read_arms([first, table(tmp_path / "b.jsonl", rows, **columns)], HIGHER)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"item,item,value\na,b,1\n", "has two columns item; rename one"),
        ("item,value\ncaf\xe9,1\n".encode("latin1"), "column item is not UTF-8; convert the file"),
        (b"item,value\n", "has the columns item, value and no row below them"),
        (b"", "cannot be read: Empty CSV file"),
        (b"item,value\na,2024-01-01\n", "column value holds date32.* it must hold numbers"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_arms([f"x={tmp_path}/t.csv", f"y={tmp_path}/t.csv"], HIGHER)


def test_tasks_are_names_whatever_they_look_like(tmp_path):
    (tmp_path / "t.csv").write_text("item,value,task\n1,1,2024-01-01\n2,1,2024-01-01\n")
    words = [f"x={tmp_path}/t.csv", f"y={tmp_path}/t.csv"]
    assert read_arms(words, Choice(better="higher", tasks=["2024-01-01"])).arms[0].tasks == ["2024-01-01"]


@pytest.mark.parametrize(
    ("choice", "flag"),
    [({"metrics": ["acc"]}, "--metric"), ({"filter": "x"}, "--filter"), ({"any_prompt": True}, "--any")],
)
def test_options_of_lm_eval_are_refused_where_none_of_its_results_is_compared(tmp_path, choice, flag):
    path = table(tmp_path / "t.jsonl", [(0, "a", 1.0), (0, "b", 2.0)])
    with pytest.raises(ConfigError, match=f"{flag}.* is for results of lm-eval, and none of these are"):
        read_arms([f"x={path}", f"y={path}"], Choice(better="higher", **choice))


def test_seeds_have_the_same_items_or_each_its_own(tmp_path):
    crossed = table(tmp_path / "crossed.jsonl", [(0, "a", 1), (0, "b", 1), (1, "a", 1), (1, "b", 1)])
    nested = table(tmp_path / "nested.jsonl", [(0, "a", 1), (0, "b", 1), (1, "c", 1), (1, "d", 1)])
    mixed = table(tmp_path / "mixed.jsonl", [(0, "a", 1), (0, "b", 1), (1, "b", 1), (1, "c", 1)])
    arms = [read_arms([f"x={path}", f"y={path}"], HIGHER).arms[0] for path in (crossed, nested)]
    assert [arm.is_crossed("items") for arm in arms] == [True, False]
    with pytest.raises(DataError, match=r"seeds 0 and 1 share some items, and 2 are of one of them only \(a, c\)"):
        read_arms([f"x={mixed}", f"y={mixed}"], HIGHER)


def test_other_seeds_are_not_paired_and_need_the_same_items(tmp_path):
    def seeds(name, *numbers, own=False):
        rows = [(seed, f"{seed if own else ''}{item}", seed) for seed in numbers for item in "ab"]
        return table(tmp_path / f"{name}.jsonl", rows)

    read = read_arms([seeds("first", 0, 1), seeds("second", 1, 2, 3)], HIGHER)
    assert read.notes == ["second has the seeds [1, 2, 3] and first [0, 1]: only items are paired, not seeds."]
    with pytest.raises(DataError, match="each with items of its own, so nothing can be paired"):
        read_arms([seeds("first", 0, 1, own=True), seeds("second", 1, 2, 3, own=True)], HIGHER)


def test_items_of_one_name_are_the_same_in_every_seed(tmp_path):
    for name, rows, date in (("s0", ROWS, DATE), ("s1", changed(ROWS, doc_hash="f"), LATER)):
        write_folder(tmp_path / name, {"quiz": rows}, date=date)
    one = f"{tmp_path}/s0,{tmp_path}/s1"
    with pytest.raises(DataError, match=r"seeds 0 and 1 of x cannot be combined on quiz: document differs in 1 of 3"):
        read_arms([f"x={one}", f"y={one}"], Choice())
    heavy = [{"seed": s, "item": i, "value": 1.0, "weight": 1 + s} for s in (0, 1) for i in "ab"]
    write_jsonl(tmp_path / "heavy.jsonl", heavy)
    with pytest.raises(DataError, match="seeds 0 and 1 of x cannot be combined on items: items differ in their weight"):
        read_arms([f"x={tmp_path}/heavy.jsonl", f"y={tmp_path}/heavy.jsonl"], HIGHER)


def test_folders_of_seeds_are_paired_in_their_order_and_that_is_said(tmp_path):
    for name, date in (("s0", DATE), ("s1", LATER)):
        write_folder(tmp_path / name, {"quiz": ROWS}, date=date)
    read = read_arms([f"x={tmp_path}/s0,{tmp_path}/s1", f"y={tmp_path}/s1,{tmp_path}/s0"], Choice())
    assert [arm.seeds for arm in read.arms] == [[0, 1], [0, 1]]
    assert "x: its 2 folders are paired with the others in the order in which they are given." in read.notes


def test_items_that_were_asked_repeatedly_are_told(tmp_path):
    path = table(tmp_path / "a.jsonl", [(0, "a", 1), (0, "a", 0), (0, "b", 1), (0, "b", 1)])
    read = read_arms([f"x={path}", f"y={path}"], HIGHER)
    assert read.notes[0] == "x, items: 4 rows about 2 items; an item counts once."


def test_a_table_without_a_direction_asks_for_it(tmp_path):
    path = table(tmp_path / "a.jsonl", [(0, "a", 1), (0, "b", 2)])
    with pytest.raises(DataError, match="add --higher-is-better or --lower-is-better"):
        read_arms([f"x={path}", f"y={path}"], Choice())


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [{"item": "a", "score": 1}])
    with pytest.raises(DataError, match=r"has the columns item, score, and value is missing \(item: "):
        read_arms([f"x={tmp_path}/a.jsonl", f"y={tmp_path}/a.jsonl"], HIGHER)


def write_run(folder, seed, losses, tokens=10):
    """The files of a run that are read."""
    folder.mkdir(parents=True)
    results = [{"dataset": name} for name in ("law", "quiz")]
    (folder / "record.json").write_text(json.dumps({"seed": seed, "results": results}))
    columns = {
        "dataset": ["law"] * 3,
        "id": np.arange(3, dtype=np.uint64),
        "sum_nats": losses,
        "num_tokens": [tokens] * 3,
    }
    pq.write_table(pa.table(columns), folder / "losses.parquet")
    return str(folder)


def test_runs_are_read_with_their_seeds(tmp_path):
    runs = [write_run(tmp_path / f"r{n}", n % 2, [20.0 + n, 30.0, 40.0]) for n in range(4)]
    read = read_arms([f"a={runs[1]},{runs[0]}", f"b={runs[2]},{runs[3]}"], Choice())
    assert [arm.seeds for arm in read.arms] == [[0, 1], [0, 1]]
    assert read.arms[0].by_seed[0]["law"].mean == 3
    assert read.notes[0] == "r1: quiz left out: a run keeps one number of each, not one per item."
    other = write_run(tmp_path / "other", 0, [20.0, 30.0, 40.0], tokens=11)
    with pytest.raises(DataError, match=r"cannot be compared on law: items differ in their weight.* one tokenizer"):
        read_arms([runs[0], other], Choice())


def test_a_training_run_that_is_given_twice_is_refused_and_so_is_its_copy(tmp_path):
    folder = write_folder(tmp_path / "lm", {"quiz": ROWS})
    run = Path(write_run(tmp_path / "run", 3, [20.0, 30.0, 40.0]))
    (tmp_path / "t.csv").write_text("item,value\na,1\n")
    for one in (folder, run, tmp_path / "t.csv"):
        copy = tmp_path / f"copy_{one.name}"
        (shutil.copytree if one.is_dir() else shutil.copy)(one, copy)
        for other in (one, copy):
            with pytest.raises(DataError, match=rf"^x: {one} and {other} hold the same results, .*one training run"):
                read_arms([f"x={one},{other}", f"y={one}"], HIGHER)


def test_two_runs_of_one_seed_are_named(tmp_path):
    first, second = (write_run(tmp_path / f"r{n}", 3, [20.0 + n, 30.0, 40.0]) for n in range(2))
    (tmp_path / "r1" / "record.json").write_text(json.dumps({"seed": 3, "results": [], "id": "another"}))
    with pytest.raises(DataError, match=f"x has seed 3 twice, in {first} and in {second}; give every training run"):
        read_arms([f"x={first},{second}", f"y={first}"], Choice())


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["text-lqs-folding-s0-12ab", "text-lqs-shuffle-s0-34cd"], ["folding", "shuffle"]),
        (["text-lqs-folding-s0-12ab", "text-lqs-folding-s0-34cd"], ["12ab", "34cd"]),
        (["text-lqs-folding-s0-12ab", "mine-34cd"], ["text-lqs-folding-s0-12ab", "mine-34cd"]),
    ],
)
def test_runs_are_named_by_what_they_chose_differently(tmp_path, folders, names):
    runs = [write_run(tmp_path / folder, 0, [20.0, 30.0, 40.0]) for folder in folders]
    assert [arm.name for arm in read_arms(runs, Choice()).arms] == names
    with pytest.raises(ConfigError, match="two results are called"):
        read_arms([runs[0], runs[0]], Choice())


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["x.csv"], ConfigError, "give at least two results"),
        (["nowhere", "nothing"], DataError, "nowhere does not exist; give a folder of lm-eval"),
        (["empty", "empty2"], DataError, "empty holds no results that can be compared"),
    ],
)
def test_words_that_are_no_results_are_refused(tmp_path, monkeypatch, words, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=message):
        read_arms(words, Choice())


def test_models_of_one_name_are_told_apart_by_their_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        write_folder(tmp_path / name / "lm", {"quiz": ROWS})
    assert [arm.name for arm in read_arms(["one/lm", "two/lm"], Choice()).arms] == ["one/lm", "two/lm"]
