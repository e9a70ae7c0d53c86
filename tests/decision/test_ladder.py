"""Tables of outcomes are read as they are, and refused with a cure where they decide nothing."""

import pytest

from delt_exp.decision.ladder import Columns, check_ladder, number, read_ladder
from delt_exp.errors import ConfigError, DataError


def table(folder, text, name="table.csv"):
    (folder / name).write_text(text)
    return str(folder / name)


def ladder(sizes, arms="abc"):
    return {"loss": {size: {arm: {"0": float(n)} for n, arm in enumerate(arms)} for size in sizes}}


@pytest.mark.parametrize(
    ("size", "expected"), [("60M", 6e7), ("0.4 M", 4e5), ("1b", 1e9), ("1e6", 1e6), ("512", 512), ("large", None)]
)
def test_a_size_is_a_number_where_it_says_one(size, expected):
    assert number(size) == expected


def test_rows_are_training_runs(tmp_path):
    path = table(tmp_path, "arm,size,seed,outcome,metric\na,1,0,2.5,news\na,1,1,2.6,news\na,2,0,1.5,code\n")
    found = read_ladder([path], Columns())
    assert found == {"news": {"1": {"a": {"0": 2.5, "1": 2.6}}}, "code": {"2": {"a": {"0": 1.5}}}}


def test_columns_may_have_other_names_and_sizes_a_file_each(tmp_path):
    small = table(tmp_path, "index,news,code\n1,5,6\n", "small.csv")
    large = table(tmp_path, "index,news,code\n1,3,4\n", "large.csv")
    found = read_ladder([f"1m={small}", f"60m={large}"], Columns(arm="index", is_wide=True))
    assert found == {
        "news": {"1m": {"1": {"0": 5.0}}, "60m": {"1": {"0": 3.0}}},
        "code": {"1m": {"1": {"0": 6.0}}, "60m": {"1": {"0": 4.0}}},
    }


def test_the_path_of_a_table_may_hold_an_equals_sign(tmp_path):
    (tmp_path / "lr=0.1").mkdir()
    path = table(tmp_path / "lr=0.1", "arm,outcome\na,2\n")
    sized = table(tmp_path / "lr=0.1", "arm,size,outcome\na,1m,2\n", "sized.csv")
    assert read_ladder([f"1m={path}"], Columns()) == read_ladder([sized], Columns())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe,size,outcome\na,1,2\n", "has the columns recipe, size, outcome, and arm is missing; name it by --arm"),
        ("arm,outcome\na,2\n", "size is missing; name it by .* SIZE=FILE"),
        ("arm,size,outcome\na,1,high\n", "row 1 holds 'high'; every outcome must be a finite number"),
        ("arm,size,outcome\na,1,\n", "row 1 holds None"),
        ("arm,size,outcome\na,,2\n", "column size has empty entries"),
        ("arm,size,outcome\na,1,2\na,1,3\n", "arm a, size 1, seed 0 has two outcomes of outcome; keep one"),
        ("arm,size,outcome\na,1,2024-01-01\n", "row 1 holds datetime.date.*; every outcome must be a finite number"),
        ("arm,size,outcome\n", "has the columns arm, size, outcome and no row below them"),
        ("arm,size,outcome,outcome\na,1,2,3\n", "has two columns outcome; rename one"),
    ],
)
def test_tables_that_say_too_little_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_ladder([table(tmp_path, text)], Columns())


@pytest.mark.parametrize("option", ["seed", "metric"])
def test_a_column_that_was_asked_for_and_is_not_there_is_told(tmp_path, option):
    path = table(tmp_path, "arm,size,outcome\na,1,2\n")
    with pytest.raises(DataError, match=f"has the columns arm, size, outcome, and --{option} other is none of them"):
        read_ladder([path], Columns(**{option: "other"}))


def test_a_size_before_a_table_that_has_sizes_is_refused(tmp_path):
    path = table(tmp_path, "arm,size,outcome\na,1,2\na,2,3\n")
    with pytest.raises(DataError, match=r"has a column size, and 1m= before its name says the size too; leave 1m= out"):
        read_ladder([f"1m={path}"], Columns())


def test_a_table_that_is_given_twice_is_refused(tmp_path):
    path = table(tmp_path, "arm,size,outcome\na,1,2\n")
    with pytest.raises(ConfigError, match="is given twice; give every table once"):
        read_ladder([path, path], Columns())


@pytest.mark.parametrize(("name", "wrong"), [(".", "is a folder"), ("notes.txt", "is no table")])
def test_what_is_no_table_is_called_so(tmp_path, name, wrong):
    table(tmp_path, "arm,size,outcome\na,1,2\n", "notes.txt")
    with pytest.raises(DataError, match=rf"{wrong}; give a table \(.csv, .jsonl, .parquet\)"):
        read_ladder([str(tmp_path / name)], Columns())


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.csv does not exist; give a table"):
        read_ladder([str(tmp_path / "nowhere.csv")], Columns())


@pytest.mark.parametrize(
    ("outcomes", "error", "message"),
    [
        (ladder(["1m"]), ConfigError, "--large '60m': loss has the sizes 1m; name one of them"),
        (ladder(["60m"]), DataError, "loss has the size 60m only; add outcomes of the same arms at a smaller one"),
        (ladder(["1m", "60m"], "ab"), DataError, "2 arms at 1m; decision accuracy needs 3 or more"),
        (
            {"loss": ladder(["1m"], "abc")["loss"] | ladder(["60m"], "abcdefg")["loss"]},
            DataError,
            r"4 of the 7 arms at 60m are missing at 1m \(d, e, f, ...\); decisions need the same arms",
        ),
        (
            {"loss": ladder(["1m"], "abcd")["loss"] | ladder(["60m"], "abc")["loss"]},
            DataError,
            r"1 of the 4 arms at 1m are missing at 60m \(d\)",
        ),
    ],
)
def test_ladders_without_a_decision_are_refused(outcomes, error, message):
    with pytest.raises(error, match=message):
        check_ladder(outcomes, "60m")
