"""Text in the form that the n-gram models of cc_net were trained on (Wenzek et al. 2020, arXiv:1911.00359)."""

import re
import unicodedata
from dataclasses import dataclass

DIGIT = re.compile(r"\d")
TABLE: dict[int, int | str | None] = {
    **str.maketrans(
        "„”“«»「」《》´’，、。；∶：？！～％–━►（）【】〈〉",
        '"""""""""\'\',,.;::?!~%---()[]<>',
    ),
    **{ord(mark): replacement for mark, replacement in {"．": ". ", "…": "...", "—": " - "}.items()},
    **dict.fromkeys((*range(32), *range(127, 160))),  # control characters go
}
DELT_TABLE = {**TABLE, ord("１"): '"'}


@dataclass(frozen=True)
class CcNetText:
    """The normalisation of cc_net; the first three fields must be those that the model was trained with.

    delt: repeat what DELT's code does: the whole document is normalised at once, which deletes its newlines and joins
    the words around them, and a full-width one becomes a quote (where `zero_digits` has not made it a zero before).
    """

    lower_case: bool
    strip_accents: bool
    zero_digits: bool
    delt: bool

    def normalize(self, line: str) -> str:
        """Return a line stripped, with ASCII punctuation and without control characters."""
        line = line.strip()
        if self.lower_case:
            line = line.lower()
        if self.strip_accents:
            line = "".join(c for c in unicodedata.normalize("NFD", line) if unicodedata.category(c) != "Mn")
        if self.zero_digits:
            line = DIGIT.sub("0", line)
        return line.translate(DELT_TABLE if self.delt else TABLE)

    def sentences(self, text: str) -> list[str]:
        """Return what is scored as one sentence each: every line with text, or one empty sentence where none has."""
        if self.delt:
            return [self.normalize(text)]
        lines = (self.normalize(line) for line in text.split("\n"))
        return [line for line in lines if line.strip()] or [""]
