"""What a corpus is called when nobody named it: after its files."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def file_label(settings: Mapping[str, Any]) -> str:
    """Return a label for a dataset with these settings: its file without endings, its folder, or its repository.

    Of several paths, the first and how many more; of a dataset without any, its `name`.
    """
    path = settings.get("path") or settings.get("repo")
    if path is None:
        return str(settings.get("name", "own"))
    first, *others = [path] if isinstance(path, str) else list(path)
    parts = [part for part in Path(first.replace("{split}", "")).parts if not re.search(r"[*?\[]", part)]
    label = re.sub(r"[^\w-]+", "_", (parts or [""])[-1].lstrip(".").split(".")[0]).strip("_")
    return f"{label or 'own'}{f'_and_{len(others)}_more' if others else ''}"
