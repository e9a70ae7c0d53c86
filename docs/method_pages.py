"""Pages of methods: made from the YAML file and the docstring when the site is built.

Every option of a config group of methods has a page `methods/GROUP/OPTION.md`, a row in the table of its group and an
entry in the navigation. A file of that name in docs/ only adds to it: its front matter adds facts (`number`, `cost`,
`source` ...), its first paragraph replaces the docstring as introduction, and the rest stands before the settings.

`methods.md` says `<!-- methods: GROUP -->` where the table of a group belongs, `mkdocs.yml` says `methods/GROUP/` where
its pages belong; groups that are not placed there come last.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from mkdocs.utils.meta import get_data

from delt_exp.cli.help import NO_METHODS, description, group_names, options

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
FACTS = ("number", "cost", "source")  # shown in the table of a group, shortened


@dataclass(frozen=True)
class Method:
    """One option of a config group, as its YAML file and the code it names tell it."""

    group: str
    option: str

    @property
    def page(self) -> str:
        return f"methods/{self.group}/{self.option}.md"

    @property
    def file(self) -> Path:
        return CONF / self.group / f"{self.option}.yaml"

    @cached_property
    def settings(self) -> dict[str, Any]:
        return yaml.safe_load(self.file.read_text()) or {}

    @cached_property
    def parents(self) -> list[tuple[str, str]]:
        """Group and option of every file that this one continues or contains; a part that may be chosen is none."""
        entries = (entry for entry in self.settings.get("defaults", []) if entry != "_self_")
        return [_choice(entry, self.group) for entry in entries if isinstance(entry, str) or any(entry.values())]

    @property
    def target(self) -> str:
        """Return the dotted name of the class or function, that of the continued option where none is given here.

        Raises StopIteration for an option that names none, such as `none`.
        """
        own = _targets(self.settings)
        inherited = (Method(*parent).target for parent in self.parents if parent[0] == self.group)
        return next(own, None) or next(inherited)

    @property
    def code(self) -> str:
        return self.target.rpartition(".")[0].replace(".", "/") + ".py"

    @property
    def docstring(self) -> str:
        name = self.target.rpartition(".")[2]
        tree = ast.parse((ROOT / self.code).read_text())
        found = (node for node in tree.body if getattr(node, "name", "") == name)
        return ast.get_docstring(next(found)) or ""  # type: ignore[arg-type]

    def written(self) -> tuple[str, dict[str, Any]]:
        """Return what is written by hand: text and front matter, empty where there is no such file."""
        path = ROOT / "docs" / self.page
        return get_data(path.read_text()) if path.exists() else ("", {})


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "_target_" in node:
            yield node["_target_"]
        for value in node.values():
            yield from _targets(value)


def _choice(entry: str | dict[str, str], group: str) -> tuple[str, str]:
    """Return group and option of an entry of a defaults list: `lqs`, `/group/option@key` or `{/group@key: option}`."""
    name, option = next(iter(entry.items())) if isinstance(entry, dict) else (entry, "")
    name = name.partition("@")[0]
    if not option:
        name, _, option = name.rpartition("/")
    return name.strip("/") or group, option


def groups() -> list[str]:
    """Return the config groups whose options are methods, in the order of the data flow."""
    return [group for group in group_names(CONF) if group not in NO_METHODS]


def methods(group: str) -> list[Method]:
    """Return the options of a group that name code."""
    found = [Method(group, option) for option in options(CONF, group)]
    return [method for method in found if any(_targets(method.settings)) or method.parents]


def title(group: str) -> str:
    """Return the plural of a group's name: proxy, Proxies."""
    name = group.replace("_", " ").capitalize()
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name.removesuffix('s')}s"


def method_page(method: Method, text: str, facts: dict[str, Any]) -> str:
    """Return the page of a method: introduction, facts, what is written by hand, settings."""
    introduction, _, rest = text.strip().partition("\n\n")
    name = method.target.rpartition(".")[2]
    rows = {"option": f"`{choice(method)}`", **facts, "code": f"`{name}` in `{method.code}`"}
    table = "".join(f"| {key} | {_linked(str(value))} |\n" for key, value in rows.items())
    about_settings = f"\n\n`{name}`: {method.docstring}" if introduction else ""
    settings = f'```yaml title="{method.file.relative_to(ROOT)}"\n--8<-- "{method.file.relative_to(ROOT)}"\n```'
    continued = "\n".join(f"- {_link(*parent)}" for parent in method.parents)
    return "\n\n".join(
        part
        for part in (
            f"# {method.option}",
            introduction or method.docstring,
            f"| | |\n|---|---|\n{table}".strip(),
            rest.strip(),
            f"## Settings\n\n{settings}",
            f"Further keys come from\n\n{continued}" if continued else "",
            about_settings.strip(),
        )
        if part
    )


def choice(method: Method) -> str:
    """Return what chooses a method on the command line; a part of another component is chosen at its place there."""
    config = yaml.safe_load((CONF / "config.yaml").read_text())
    top = {key for entry in config["defaults"] if isinstance(entry, dict) for key in entry}
    key = next(_places(method.group), method.group) if method.group not in top else method.group
    return f"{key}={method.option}"


def _places(group: str) -> Iterator[str]:
    """Yield `group@place.key` for every option of another group that has a part of this one."""
    for other in group_names(CONF):
        for option in options(CONF, other):
            for entry in Method(other, option).settings.get("defaults", []):
                for name in entry if isinstance(entry, dict) else ():
                    if name.startswith(f"/{group}@"):
                        yield name[1:].replace("@", f"@{other}.")


def _link(group: str, option: str) -> str:
    name = f"`{group}={option}`"
    return (
        f"[{name}](../{group}/{option}.md#settings)" if group in groups() else f"{name} (`conf/{group}/{option}.yaml`)"
    )


def _linked(text: str) -> str:
    """Return the text with every arXiv number as a link."""
    return re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def group_table(group: str) -> str:
    """Return the table of a group: one row for each method, with the facts that any of them has."""
    written = {method: method.written()[1] for method in methods(group)}
    columns = [fact for fact in FACTS if any(fact in facts for facts in written.values())]
    rows = [["option", "", *columns], ["---"] * (2 + len(columns))]
    for method, facts in written.items():
        link = f"[`{method.option}`]({method.page})"
        rows.append([link, description(method.file), *(_short(facts.get(fact, "")) for fact in columns)])
    return "\n".join(f"| {' | '.join(_linked(cell).replace('|', '&#124;') for cell in row)} |" for row in rows)


def _short(fact: str) -> str:
    """Return a fact up to the first colon or semicolon, without links to other pages."""
    return re.split(r"[:;](?= |$)", re.sub(r"\[(.+?)\]\([^)]*\)", r"\1", str(fact)))[0]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of every group into the navigation."""
    nav: list[Any] = config.nav or []
    left = {group: [method.page for method in methods(group)] for group in groups()}
    config.nav = _filled(nav, left)
    section = next(item["Methods"] for item in config.nav if "Methods" in item)
    section += [{title(group): pages} for group, pages in left.items() if pages]
    return config


def _filled(item: Any, left: dict[str, list[str]]) -> Any:
    """Return a part of the navigation with `methods/GROUP/` replaced by pages, which are taken out of `left`."""
    if isinstance(item, dict):
        return {key: _filled(value, left) for key, value in item.items()}
    if isinstance(item, list):
        parts = [_filled(part, left) for part in item]
        return [page for part in parts for page in (part if isinstance(part, list) else [part])]
    return left.pop(item.split("/")[1]) if re.fullmatch(r"methods/\w+/", item) else item


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of which nothing is written by hand."""
    for method in (method for group in groups() for method in methods(group)):
        if files.get_file_from_path(method.page) is None:
            files.append(File.generated(config, method.page, content=""))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make the page of a method, or the tables of the overview; other pages stay as they are."""
    source = page.file.src_uri
    if found := re.fullmatch(r"methods/(\w+)/(\w+)\.md", source):
        return method_page(Method(*found.groups()), markdown, dict(page.meta))
    return _overview(markdown) if source == "methods.md" else markdown


def _overview(markdown: str) -> str:
    placed = re.findall(r"<!-- methods: (\w+) -->", markdown)
    rest = [f"## {title(group)}\n\n<!-- methods: {group} -->" for group in groups() if group not in placed]
    whole = "\n\n".join([markdown, *rest])
    return re.sub(r"<!-- methods: (\w+) -->", lambda found: group_table(found[1]), whole)
