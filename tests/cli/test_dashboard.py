"""The W&B workspace of a study: what it shows is what the runs log, and one command creates or updates it."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("wandb_workspaces", reason="the extra dashboard is not installed")

import wandb

from delt_exp.cli.dashboard import PLACE, create, main, outline, planned
from delt_exp.errors import ConfigError, DependencyError
from delt_exp.files import read_json, write_json
from delt_exp.logger.wandb.logger import WandbLogger
from delt_exp.quantity import Ranged
from delt_exp.report.findings import Figure, Findings, Table
from delt_exp.study.dashboard.layout import layout
from delt_exp.study.logged import study_info
from delt_exp.study.page import read_findings, write_findings
from delt_exp.study.record import PlannedRun, StudyRecord
from tests.logger.run_folder import RECORD, ROWS, make_run
from tests.logger.wandb.reader import read_offline_run
from tests.logger.wandb.test_logger import SECRET, SETTINGS, isolate
from tests.study.comparison.studies import BASE, Planted, arm, write_study

TABLE = Table("board", "Board", "", ["arm", "loss"], [["lqs", Ranged(1.0, 0.5, 1.5)]])
LOGGER = {"wandb": {"project": "delt-exp", "entity": None}}
ALIGNMENT = [{"evaluation": "quiz", "metric": metric, "trained": {"value": 0.5}} for metric in ("task2vec", "ncd")]


def logged(record):
    record["config"]["logger"] = LOGGER
    record |= {"alignment": [], "evidence": {"numbers": {}}}
    record["results"] = [{**row, "stderr": None} for row in record["results"]]


def spec(workspace):
    """What is sent to W&B."""
    return json.loads(workspace._to_model().spec.model_dump_json(by_alias=True, exclude_none=True))["section"]


def panels(workspace):
    """Section -> the panels in it, as they are sent."""
    sections = spec(workspace)["panelBankConfig"]["sections"]
    return {section["name"]: [(p["viewType"], p["config"]) for p in section["panels"]] for section in sections}


def keys(workspace):
    """Every logged key that a panel reads, or a column shows."""
    found = set()
    for view, config in [panel for shown in panels(workspace).values() for panel in shown]:
        names = [*config.get("metrics", []), *config.get("mediaKeys", [])]
        names += [config[axis] for axis in ("xAxis", "yAxis") if axis in config]
        if view == "Weave":
            names.append(config["panel2Config"]["exp"]["fromOp"]["inputs"]["key"]["val"])
        assert names or view == "Markdown Panel", view
        found |= {name.removeprefix("summary:") for name in names}
    columns = spec(workspace)["runSets"][0]["runFeed"]["columnPinned"]
    return found | {name.removeprefix("summary:") for name in columns if name.startswith("summary:")}


def groups(workspace):
    """Config keys that runs or panels are grouped by, as paths."""
    found = {key["name"] for key in spec(workspace)["runSets"][0]["grouping"]}
    for shown in panels(workspace).values():
        found |= {config["groupBy"] for _, config in shown if "groupBy" in config}
    return {name.replace(".value", "", 1) for name in found}


@pytest.fixture(scope="module")
def sent(tmp_path_factory):
    """Two runs and their study as W&B is told of them, and the workspace."""
    folder = tmp_path_factory.mktemp("study")
    findings = Findings("Yes.", [Figure("board", "Board", "", {"data": [], "layout": {}})], [TABLE])
    with pytest.MonkeyPatch.context() as patch:
        isolate(patch, folder)
        wandb.teardown()
        logger, runs = WandbLogger(**SETTINGS), []
        for scorer in ("lqs", "random"):
            info = replace(make_run(folder, scorer, scorer), arm={"scorer": scorer, "selector.ratio": "0.5"})
            logger.start(info)
            logger.metrics(ROWS[0])
            logger.finish(RECORD)
            runs.append(PlannedRun(dict(info.arm), 3, [], ["all"], str(info.folder), None))
        study = StudyRecord(folder / "study", "study", "Why?", {}, runs, [])
        study.write({"report": {}})
        write_findings(study, findings)
        logger.log_study(study_info(study, {}, findings))
        wandb.teardown()
    told = [read_offline_run(Path(place)) for place in (*(run.folder for run in runs), study.folder)]
    return SimpleNamespace(runs=told, workspace=layout(study, {}, findings, "p", "e"))


@pytest.mark.slow
def test_no_panel_shows_a_key_that_nobody_logs(sent):
    values = {key for run in sent.runs for row in (*run.history, run.summary) for key in row}
    values |= {key.rsplit(".", 1)[0] for key in values if key.endswith("._type")}  # tables, figures and pages
    shown = keys(sent.workspace)
    assert shown <= values
    assert {"train/loss", "train/tokens", "eval/prose/loss", "alignment/prose/ncd"} <= shown
    assert {"cost/scoring_seconds", "tables/board", "figures/board", "study_report"} <= shown


@pytest.mark.slow
def test_runs_are_those_of_the_group_and_grouped_by_what_they_log_of_their_arm(sent):
    (filtered,) = spec(sent.workspace)["runSets"][0]["filters"]["filters"]
    assert (filtered["key"]["name"], filtered["op"]) == ("group", "=")
    assert {run.run.run_group for run in sent.runs} == {filtered["value"]}
    arms = {f"arm.{key}" for run in sent.runs for key in run.config.get("arm", {})}
    assert groups(sent.workspace) == arms == {"arm.scorer", "arm.selector_ratio"}


def planted(tmp_path, change=logged, **report):
    arms = [Planted(BASE, change=change), arm("lqs", "1.0", "folding", -0.1, change=change)]
    return write_study(tmp_path, arms, placebos=[], **report)


def test_arms_are_compared_by_the_metric_of_the_report(tmp_path):
    shown = panels(planned(planted(tmp_path, metric="acc"), None, None))["Leaderboard"]
    assert {metric for _, config in shown for metric in config["metrics"]} == {"eval/quiz/acc"}
    assert [config.get("groupBy") for _, config in shown] == [
        None, "arm.value.scorer", "arm.value.ratio", "arm.value.orderer",
    ]  # fmt: skip
    assert {(config["groupAgg"], config["groupArea"]) for _, config in shown} == {("mean", "stderr")}


@pytest.mark.slow
def test_loss_is_drawn_over_alignment_with_a_line_for_the_primary_metric(tmp_path):
    def change(record):
        logged(record)
        record["alignment"] = ALIGNMENT
        record["results"].append({**record["results"][0], "metric": "loss"})

    folder = planted(tmp_path, change)
    both = panels(planned(folder, None, None))["Alignment and loss"]
    assert [config["xAxis"] for _, config in both] == ["summary:alignment/quiz/task2vec", "summary:alignment/quiz/ncd"]
    study, findings = read_findings(folder)
    ((_, config),) = panels(layout(study, {"primary": "ncd"}, findings, "p", "e"))["Alignment and loss"]
    assert (config["xAxis"], config["yAxis"]) == ("summary:alignment/quiz/ncd", "summary:eval/quiz/loss")
    assert config["showLinearRegression"] is True


@pytest.mark.slow
def test_project_and_entity_are_those_of_the_runs_unless_given(tmp_path):
    def change(record):
        logged(record)
        record["config"]["logger"] = {"wandb": {"project": "nights", "entity": "owls"}}

    folder = planted(tmp_path, change)
    for given, expected in (((None, None), ("nights", "owls")), (("days", "larks"), ("days", "larks"))):
        workspace = planned(folder, *given)
        assert (workspace.project, workspace.entity) == expected


def test_sections_without_anything_to_show_are_left_out(tmp_path):
    def change(record):
        logged(record)
        record["results"] = []

    assert list(panels(planned(planted(tmp_path, change), None, None))) == ["Study", "Training"]


def test_a_study_that_was_not_logged_to_wandb_is_refused(tmp_path):
    def change(record):
        record["config"]["logger"] = {}

    with pytest.raises(ConfigError, match="repeat the study's command with logger=wandb"):
        planned(planted(tmp_path, change), None, None)


def test_a_missing_package_is_named_with_the_cure(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    monkeypatch.delitem(sys.modules, "delt_exp.study.dashboard.layout", raising=False)
    with pytest.raises(DependencyError, match=r'pip install "delt-exp\[dashboard\]"'):
        planned(planted(tmp_path), None, None)


class Server:
    """Plays the part of W&B that keeps views."""

    app_url = "https://wandb.test"

    def __init__(self):
        self.views = {}

    def execute_graphql(self, query, variables):
        if "upsertView" in query:
            self.views[variables["name"]] = {**variables, "id": variables.get("id", f"id-{len(self.views)}")}
            return {"upsertView": {"view": self.views[variables["name"]], "inserted": True}}
        found = [view for name, view in self.views.items() if name == variables["viewName"]]
        return {"project": {"allViews": {"edges": [{"node": view} for view in found]}}}


@pytest.fixture
def server(tmp_path, monkeypatch):
    isolate(monkeypatch, tmp_path)
    service = Server()
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(_service_api=service, default_entity="owls"))
    return service


@pytest.mark.slow
def test_the_workspace_is_created_once_and_updated_then(tmp_path, server):
    folder = planted(tmp_path)
    url = create(folder, None, None)
    ((name, view),) = server.views.items()
    assert url == f"https://wandb.test/owls/delt-exp?nw={name.removeprefix('nw-').removesuffix('-v')}"
    assert (view["entityName"], view["projectName"], view["displayName"]) == ("owls", "delt-exp", "planted")
    content = read_json(folder / "study.json")
    write_json(folder / "study.json", {**content, "question": "Asked again?"})
    assert create(folder, None, None) == url
    ((_, updated),) = server.views.items()
    assert updated["id"] == view["id"]
    assert "Asked again?" in updated["spec"]


@pytest.mark.slow
@pytest.mark.parametrize("lost", ["deleted in W&B", "of another project"])
def test_a_workspace_that_cannot_be_updated_is_created_again(tmp_path, server, lost):
    folder = planted(tmp_path)
    first = create(folder, None, None)
    if lost == "deleted in W&B":
        server.views.clear()
    second = create(folder, None if lost == "deleted in W&B" else "another", None)
    assert second != first
    assert read_json(folder / PLACE)["url"] == second


def test_without_a_key_the_command_says_what_to_do(tmp_path, monkeypatch, capsys):
    isolate(monkeypatch, tmp_path)
    wandb.teardown()
    monkeypatch.setattr(sys, "argv", ["dashboard", str(planted(tmp_path))])
    with pytest.raises(SystemExit) as status:
        main()
    assert status.value.code == 1
    assert re.search(r"error: no W&B API key.*`wandb login`.*--dry-run", capsys.readouterr().err)


def test_a_server_that_refuses_is_one_message(tmp_path, server, monkeypatch):
    def refuse(*_, **__):
        raise wandb.errors.CommError("permission denied")

    monkeypatch.setattr(server, "execute_graphql", refuse)
    folder = planted(tmp_path)
    with pytest.raises(DependencyError, match="cannot be reached: permission denied; check the network and the key"):
        create(folder, None, None)
    assert not (folder / PLACE).exists()


@pytest.mark.slow
def test_a_dry_run_shows_the_layout_without_key_and_network(tmp_path, monkeypatch, capsys):
    isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    folder = planted(tmp_path)
    monkeypatch.setattr(sys, "argv", ["dashboard", str(folder), "--dry-run", "--project", "mine"])
    main()
    shown = capsys.readouterr().out.splitlines()
    assert shown == list(outline(planned(folder, "mine", None)))
    assert shown[0] == "workspace planted in your default team/mine"
    assert "grouped by: arm.scorer, arm.ratio, arm.orderer" in shown
    assert "  LinePlot: Training loss by scorer" in shown
