"""Training metrics: complete lines, further columns, and what a restart keeps."""

from delt_exp.trainer.metrics_file import MetricsFile

ROW = dict(zip(MetricsFile.FIELDS, (1, 10, 0.5, 2.0, 0.1, 1.0), strict=True))


def test_further_columns_come_back_by_their_names(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.append(ROW | {"train/effective_samples": 3.5})
    assert file.rows() == [ROW | {"train/effective_samples": 3.5}]
    assert list(file.rows()[0]) == [*MetricsFile.FIELDS, "train/effective_samples"]


def test_a_reader_gets_every_complete_line_once(tmp_path):
    writer, reader = MetricsFile(tmp_path / "metrics.csv"), MetricsFile(tmp_path / "metrics.csv")
    assert reader.new_rows() == []
    writer.append(ROW)
    assert [row["step"] for row in reader.new_rows()] == [1]
    with writer.path.open("a") as file:
        file.write("2,20")
    assert reader.new_rows() == []
    with writer.path.open("a") as file:
        file.write(",1.0,1.9,0.1,1.0\n")
    assert [row["step"] for row in reader.new_rows()] == [2]


def test_a_restart_keeps_the_lines_before_it_and_their_columns(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    for step in (1, 2, 3):
        file.append(ROW | {"step": step, "train/effective_samples": 3.5})
    file.keep_up_to(2)
    assert [row["step"] for row in file.rows()] == [1, 2]
    assert file.rows()[0]["train/effective_samples"] == 3.5
    file.keep_up_to(0)
    assert file.rows() == []
    file.append(ROW)
    assert file.rows() == [ROW]
