"""The objects of a JSON file: one a line, or the elements of one array; read as a stream either way."""

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import chain
from json.decoder import WHITESPACE  # type: ignore[attr-defined]
from pathlib import Path

from delt_exp.dataset.files import lines
from delt_exp.dataset.template import Repeated
from delt_exp.errors import DataError

Record = dict[str, object]
_CHUNK_CHARS = 1 << 20


def json_records(file: Path) -> Iterator[tuple[Record, str]]:
    """Yield (object, its place) of a file that has an object a line, blank lines aside, or one array of objects.

    A number with more digits than Python turns into an integer comes as a Decimal, the value of a key that an object
    has several times as Repeated. Raises DataError with the place of the first thing that is neither.
    """
    numbered = lines(file)
    first = next(((number, line) for number, line in numbered if line.strip()), None)
    if first is None:
        return
    numbered = chain([first], numbered)
    if first[1].lstrip().startswith("["):
        yield from _elements((line for _, line in numbered), file)
        return
    name = str(file)
    for number, line in numbered:
        if line.strip():
            place = f"{name}:{number}"
            yield _object(line.rstrip("\r\n"), place), place


def _object(line: str, place: str) -> Record:
    try:
        start = 0 if line[0] == "{" else WHITESPACE.match(line, 0).end()
        record, end = _raw_decode(line, start, place)
        if end < len(line) and WHITESPACE.match(line, end).end() < len(line):
            raise json.JSONDecodeError("Extra data", line, end)
    except json.JSONDecodeError as error:
        raise DataError(
            f"{place}:{error.colno}: not JSON: {error.msg}. Correct or remove the line; a file has one object per line "
            "('jq -c .' writes it so), or is one array of objects."
        ) from error
    return _checked(record, place, "the line")


def _raw_decode(text: str, position: int, place: str) -> tuple[object, int]:
    """Return (value, position after it) of the JSON text that begins at `position`."""
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python limits the digits of an integer
        return _DECODER_OF_LONG_NUMBERS.raw_decode(text, position)
    except RecursionError as error:
        raise DataError(f"{place}: nested too deeply to be read. Remove the record.") from error


def _mapping(pairs: list[tuple[str, object]]) -> Record:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        record.update({key: Repeated(keys.count(key)) for key in record if keys.count(key) > 1})
    return record


def _whole(digits: str) -> int | Decimal:
    try:
        return int(digits)
    except ValueError:
        return Decimal(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_mapping)
_DECODER_OF_LONG_NUMBERS = json.JSONDecoder(object_pairs_hook=_mapping, parse_int=_whole)


def _checked(record: object, place: str, what: str) -> Record:
    if not isinstance(record, dict):
        raise DataError(f"{place}: {what} is a JSON {type(record).__name__}, not an object. Use {{...}}.")
    return record


def _elements(stream: Iterator[str], file: Path) -> Iterator[tuple[Record, str]]:
    """Yield the elements of one array; memory holds its longest line, which may be all of the file."""
    text, position, number = next(stream).lstrip(), 1, 0
    while True:
        text, position = _at_the_next(text, position, stream)
        if text[position : position + 1] == "]":
            if text[position + 1 :].strip() or any(not rest.isspace() for rest in stream):
                raise DataError(f"{file}: text after the end of the array. Use one array, or one object per line.")
            return
        number += 1
        place = f"{file}: element {number}"
        if number > 1:
            if text[position : position + 1] != ",":
                raise DataError(f"{place}: not JSON: ',' or ']' expected. Correct the file or write it again.")
            text, position = _at_the_next(text, position + 1, stream)
        record, text, position = _element(text, position, stream, place)
        yield _checked(record, place, "it"), place


def _at_the_next(text: str, position: int, stream: Iterator[str]) -> tuple[str, int]:
    """Return (text, position) of the next character that is no white space, reading on where it takes that."""
    position = WHITESPACE.match(text, position).end()
    while position == len(text):
        more = _chunk(stream)
        if not more:
            break
        text, position = more, WHITESPACE.match(more, 0).end()
    return text, position


def _element(text: str, position: int, stream: Iterator[str], place: str) -> tuple[object, str, int]:
    """Return (element, text, position after it), reading on while it is not whole."""
    while True:
        try:
            record, end = _raw_decode(text, position, place)
            return record, text, end
        except json.JSONDecodeError as error:
            more = _chunk(stream, len(text) - position)
            if not more:
                raise DataError(f"{place}: not JSON: {error.msg}. Correct the file or write it again.") from error
        text, position = text[position:] + more, 0


def _chunk(stream: Iterator[str], at_least: int = 0) -> str:
    """Return some more lines: `at_least` as many characters, so that a long element is not tried for every line."""
    found: list[str] = []
    size = 0
    for line in stream:
        found.append(line)
        size += len(line)
        if size >= max(at_least, _CHUNK_CHARS):
            break
    return "".join(found)
