"""Text and graphics of all pages stand out from what is behind them, in light and dark (WCAG 2.2: 4.5 and 3 to 1)."""

import re
from pathlib import Path

import pytest

import delt_exp.report
import delt_exp.study
from delt_exp.report import evidence_plot, style
from delt_exp.study import figures

REPORT, STUDY = Path(delt_exp.report.__file__).parent, Path(delt_exp.study.__file__).parent
SHEETS = [REPORT / "shared.css.j2", REPORT / "run.css.j2", STUDY / "study.css.j2"]
TEXT, GRAPHIC = 4.5, 3.0
HAIRLINES = {"line", "grid"}  # borders between cells and grids, which say nothing that the text does not
MARK = "mark"  # stands for one of the colours that it is set to
WHITE = "#ffffff"


def contrast(first, second):
    low, high = sorted(map(luminance, (first, second)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def on_white(colour, opacity):
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(opacity * part + (1 - opacity) * 255):02x}" for part in parts)


def modes():
    blocks = re.findall(r":root[^{]*{([^}]*)}", SHEETS[0].read_text())
    light, dark = (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks[:2])
    return {"light": light, "dark": {**light, **dark}}


def rules():
    """Yield the colours of every rule: (text, background, lines), None or empty where it sets none."""
    for sheet in SHEETS:
        for body in re.findall(r"{([^{}]*)}", sheet.read_text()):
            text = re.search(r"(?:^|[;\s])color: var\(--([\w-]+)\)", body)
            back = re.search(r"background: var\(--([\w-]+)\)", body)
            lines = re.findall(r"(?:border[\w-]*|outline|--mark): [^;]*?var\(--([\w-]+)\)", body)
            yield text and text[1], back and back[1], lines


def pairs():
    """Return (text, background): both of one rule; text alone on the page; a background alone under usual text."""
    found = {("ink", "page"), ("muted", "page")}
    for text, back, _ in rules():
        if text:
            found.add((text, back or "page"))
        elif back and back not in {*HAIRLINES, MARK}:
            found |= {("ink", back), ("muted", back)}
    return found


def test_a_ratio_is_that_of_the_standard():
    assert contrast("#000000", WHITE) == pytest.approx(21)
    assert contrast("#767676", WHITE) == pytest.approx(4.54, abs=0.005)  # known as the palest grey that passes on white


def test_the_style_sheets_are_read():
    assert {("note", "page"), ("good", "good-soft"), ("ink", "line"), ("muted", "bad-soft")} <= pairs()
    assert {"blue", "muted", "note", "bad"} <= {line for _, _, lines in rules() for line in lines}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_can_be_read(mode):
    colours = modes()[mode]
    assert {pair: ratio for pair in pairs() if (ratio := contrast(*(colours[one] for one in pair))) < TEXT} == {}


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_lines_and_marks_can_be_seen(mode):
    colours = modes()[mode]
    used = {line for _, _, lines in rules() for line in lines} | {"zero"}
    assert {one for one in used - HAIRLINES - {MARK} if contrast(colours[one], colours["page"]) < GRAPHIC} == set()


def test_colours_of_interactive_figures_stand_out_in_both_modes():
    dark = modes()["dark"]["page"]
    drawn = (*figures.COLOURS, figures.LINE)
    assert [one for one in drawn if contrast(one, WHITE) < GRAPHIC] == []
    assert [one for one in drawn if contrast(figures.DARK[one], dark) < GRAPHIC] == []
    assert contrast(figures.LINE, WHITE) >= TEXT  # it also writes
    assert contrast(figures.DARK[figures.LINE], dark) >= TEXT


def test_numbers_on_heat_maps_can_be_read():
    assert figures.LOOK.data.heatmap[0].textfont.color == figures.INK
    assert min(contrast(figures.INK, one) for one in (figures.BLUE, figures.WHITE, figures.RED)) >= TEXT


def test_colours_of_pictures_stand_out_on_white():
    assert min(contrast(one, WHITE) for one in (style.INK, style.MUTED)) >= TEXT
    assert min(contrast(one, WHITE) for one in (style.KEPT, style.DROPPED, style.LINE)) >= GRAPHIC
    assert contrast(on_white(style.KEPT, style.FAINT), WHITE) >= GRAPHIC
    assert min(contrast(on_white(one, evidence_plot.OPACITY), WHITE) for one in evidence_plot.COLOURS) >= GRAPHIC


def test_no_picture_writes_a_colour_of_its_own():
    palettes = {Path(module.__file__) for module in (style, figures, evidence_plot)}
    files = {file for folder in (REPORT, STUDY) for file in folder.rglob("*.py")} - palettes
    assert [file.name for file in files if re.search(r"#[0-9a-fA-F]{6}\b", file.read_text())] == []
