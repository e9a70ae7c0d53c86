"""Decision accuracies in the store, and the sentence by which pages cite them: of the nearest lower size."""

from dataclasses import replace

import pytest

from delt_exp.cli.decision import main
from delt_exp.config.build import build
from delt_exp.errors import DataError
from delt_exp.report.findings import Findings
from delt_exp.study.page import write_page
from delt_exp.study.record import read_study
from delt_exp.study.trust import Known, nearest, read_known, trust, write_known
from tests.study.comparison.studies import Planted, arm, write_study

AT = Known(400_000, 6_000_000, "bits_per_byte", "news", "fixed", 0.8, 0.7, 0.88, 16, "study decision over scorer")


def sized(folder, parameters, protocol="fixed"):
    """A finished study of models of this size, whose runs used the store in `folder`."""

    def change(record):
        record["training"] |= {"parameters": parameters, "protocol": {"name": protocol, "lr": 0.003}}
        for stage in record["stages"]:
            stage["path"] = str(folder / "store" / stage["stage"] / "0123")

    arms = [arm("random", "1.0", "shuffle", change=change), arm("lqs", "1.0", "folding", -0.1, change=change)]
    return write_study(folder, arms)


def test_what_is_written_is_read_again_and_a_source_replaces_only_what_it_said_before(tmp_path):
    write_known(tmp_path, "a", [AT, AT])
    write_known(tmp_path, "b", [replace(AT, source='tables "x", y')])
    write_known(tmp_path, "a", [replace(AT, small=1)])
    assert read_known(tmp_path) == [replace(AT, small=1), replace(AT, source='tables "x", y')]
    (tmp_path / "decision_accuracy" / "c.csv").write_text("small,large\n1,x\n")
    with pytest.raises(DataError, match=r"c.csv is not a table of decision accuracies"):
        read_known(tmp_path)


def test_the_nearest_size_that_is_not_larger_counts_by_the_same_metric_and_protocol():
    rows = [
        AT, replace(AT, small=1_000_000), replace(AT, small=3_000_000),
        replace(AT, small=1_500_000, metric="acc"), replace(AT, small=1_600_000, protocol="tiny_rate"),
    ]  # fmt: skip
    assert [row.small for row in nearest(rows, 2_000_000, "loss", "fixed")] == [1_000_000]
    assert [row.small for row in nearest(rows, 2_000_000, "loss", "tiny_rate")] == [1_600_000]
    assert nearest(rows, 2_000_000, "acc", "fixed")[0].small == 1_500_000
    assert nearest(rows, 399_999, "loss", "fixed") == []
    assert nearest(rows, 400_000, "loss", "fixed") == [AT]


def test_of_two_larger_sizes_the_larger_counts_and_sources_are_not_mixed():
    rows = [AT, replace(AT, large=15_000_000), replace(AT, large=15_000_000, dataset="law")]
    other = replace(AT, large=15_000_000, source="tables", num_arms=3)
    assert nearest([*rows, other], 400_000, "loss", "fixed") == rows[1:]


def test_a_page_cites_what_is_known_at_its_size_and_is_safe_from_what_a_source_is_called(tmp_path):
    folder = sized(tmp_path, 500_000)
    write_known(tmp_path / "store", "x", [replace(AT, source="<script>alert(1)</script>")])
    sentence = trust(read_study(folder)[0], "loss")
    assert sentence.startswith(
        "How far to trust this size: models of 400 k parameters order two arms as those of 6 M do in news "
        "80 % [70, 88] of pairs (<script>"
    )
    page = write_page(folder).read_text()
    assert "&lt;script&gt;alert(1)&lt;/script&gt;, 16 arms" in page
    assert "<script>alert(1)" not in page


@pytest.mark.parametrize(("parameters", "protocol"), [(300_000, "fixed"), (500_000, "tiny_rate")])
def test_what_is_not_known_is_said_with_the_command_and_nothing_is_guessed(tmp_path, parameters, protocol):
    folder = sized(tmp_path, parameters, protocol)
    write_known(tmp_path / "store", "x", [AT])
    said = trust(read_study(folder)[0], "loss")
    assert said == (
        f"How often models of {parameters // 1000} k parameters give the verdict of larger ones is not known; "
        "python run.py study=decision measures it."
    )
    assert said in build(read_study(folder)[1]["report"], "study.report").findings(read_study(folder)[0]).answer


def test_records_that_do_not_tell_the_size_say_nothing(tmp_path):
    folder = write_study(tmp_path, [arm("random", "1.0", "shuffle"), arm("lqs", "1.0", "folding", -0.1)])
    assert trust(read_study(folder)[0], "loss") == ""


SIZES = {"0.4 M": 400_123, "6 M": 6_000_456}
LOSSES = (0.0, 0.1, 0.2, 0.3, 0.4)


def ladder_arm(folder, size, protocol, name, loss):
    def change(record):
        record["training"]["parameters"] = SIZES[size]
        for stage in record["stages"]:
            stage["path"] = str(folder / "store" / stage["stage"] / "0123")

    return Planted({"model": size, "protocol": protocol, "scorer": name}, loss, change=change)


def decided(folder, tiny=LOSSES[::-1]) -> Findings:
    arms = []
    for size, protocol, losses in (("0.4 M", "fixed", LOSSES), ("0.4 M", "tiny_rate", tiny), ("6 M", "fixed", LOSSES)):
        arms += [ladder_arm(folder, size, protocol, *pair) for pair in zip("abcde", losses, strict=True)]
    report = {"size": "model", "protocol": "protocol", "large": "6 M", "metric": "acc", "alpha": 0.05}
    target = {"_target_": "delt_exp.decision.study_report.DecisionReport"}
    study, config = read_study(write_study(folder, arms, **report, **target))
    return build(config["report"], "study.report").findings(study)


@pytest.mark.slow
def test_every_protocol_of_a_small_size_is_held_against_the_same_verdicts_and_kept(tmp_path):
    """At a tiny rate the planted order is the reverse one."""
    found = decided(tmp_path)
    table = next(table for table in found.tables if table.name == "decisions")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(row["size"], row["protocol"], row["decision accuracy"].value) for row in rows] == [
        ("0.4 M", "fixed", 1), ("0.4 M", "tiny_rate", 0),
    ]  # fmt: skip
    assert "0.4 M · fixed orders 100 % [" in found.answer
    assert "0.4 M · tiny_rate orders 0 % [" in found.answer
    assert [trace["name"] for trace in found.figures[0].spec["data"]] == ["quiz · fixed", "quiz · tiny_rate"]
    kept = read_known(tmp_path / "store")
    assert [(one.small, one.large, one.metric, one.dataset, one.protocol, one.accuracy) for one in kept] == [
        (400_123, 6_000_456, "acc", "quiz", "fixed", 1), (400_123, 6_000_456, "acc", "quiz", "tiny_rate", 0),
    ]  # fmt: skip
    assert {one.source for one in kept} == {"study planted over scorer"}
    signals = next(table for table in found.tables if table.name == "signal_to_noise")
    assert sorted(row[0] for row in signals.rows) == ["0.4 M · fixed", "0.4 M · tiny_rate", "6 M"]


def test_the_command_keeps_what_tables_say_where_pages_look_for_it(tmp_path, capsys):
    for size, values in (("1M", "0123456789"), ("60M", "1023456789")):
        lines = [f"{arm},{value}" for arm, value in zip("abcdefghij", values, strict=True)]
        (tmp_path / f"{size}.csv").write_text("\n".join(["arm,outcome", *lines]))
    tables = [f"{size}={tmp_path / size}.csv" for size in ("1M", "60M")]
    options = ["--large", "60M", "--out", str(tmp_path / "out"), "--store", str(tmp_path / "store")]
    main([*tables, *options])
    assert "kept for the pages of studies: " in capsys.readouterr().out
    (known,) = read_known(tmp_path / "store")
    assert (known.small, known.large, known.metric, known.source) == (10**6, 6 * 10**7, "loss", "1M.csv and 60M.csv")
    assert known.accuracy == pytest.approx(44 / 45)
    main([*tables, *options])
    assert len(read_known(tmp_path / "store")) == 1
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for size in ("1M", "60M"):
        (elsewhere / f"{size}.csv").write_text((tmp_path / f"{size}.csv").read_text())
    main([*(f"{size}={elsewhere / size}.csv" for size in ("1M", "60M")), *options])
    assert len(read_known(tmp_path / "store")) == 2
    named = [f"small={tmp_path / '1M'}.csv", tables[1]]
    with pytest.raises(SystemExit):
        main([*named, *options])
    assert "size 'small' is not a number of parameters" in capsys.readouterr().err
