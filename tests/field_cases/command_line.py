"""What people type."""

from tests.field_cases.case import Case

QUOTED = """'train_dataset.text="{text}"'"""
CASES = [
    Case("19 a space in a path", ("train_dataset.path=köln daten(1).jsonl",), True, ('"köln daten(1).jsonl"',)),
    Case("19 forgotten quotes of a template", ("train_dataset.text={text}",), True, (QUOTED,)),
    Case("32 a name that leaves the folder", ("name='../../x'",), True, ("name='../../x'",)),
    Case("32 a name of 250 characters", (f"name={'x' * 250}",), True, ("1 to 200 bytes",)),
    Case("32 a name of 0", ("name=0",), holds=lambda record: _named(record, "0-")),
    Case("18 a long tag", ("logger=wandb", f"logger.wandb.tags=[{'x' * 70}]"), True, ("70 characters", "1 to 64")),
    Case("18 a project with a team", ("logger=wandb", "logger.wandb.project=team/proj"), True, ("entity=TEAM",)),
]  # fmt: skip


def _named(record, beginning):
    assert record["name"].startswith(beginning)
