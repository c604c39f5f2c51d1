"""SenML packs (RFC 8428) as their records: JSON or CBOR, the same to whoever reads them."""

import io
from collections.abc import Callable
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import cbor2

from ingest.formats.tree import parsed_within
from schemas.errors import Fault, Invalid, Malformed, TooLarge

LABELS = {
    -1: "bver", -2: "bn", -3: "bt", -4: "bu", -5: "bv", -6: "bs",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""What fields are called in CBOR. There will be no more, says the RFC: further ones are texts."""

_PARTS_TO_RECORDS = 20  # of the JSON
_BYTES_TO_RECORDS = 100  # of the CBOR: a byte can become an object, and no byte says so beforehand
_DEPTH = 4  # a pack, a record, a decimal fraction and its parts
_MOST_DIGITS = 400  # of a decimal fraction's exponent: beyond those of any float64
_NOT_THIS = "the body is not one array in CBOR"


def read_json(body: bytes, most: int) -> list[Any]:
    """The records of a pack in JSON. Raises Malformed, TooLarge and Invalid."""
    return _checked(parsed_within(body, _PARTS_TO_RECORDS * most), most)


def read_cbor(body: bytes, most: int) -> list[Any]:
    """The same in CBOR, with fields by the names that they have in JSON. Raises Malformed, TooLarge and Invalid."""
    if len(body) > _BYTES_TO_RECORDS * most:
        raise TooLarge("cbor_bytes", _BYTES_TO_RECORDS * most)
    decoder = cbor2.CBORDecoder(
        io.BytesIO(body),
        max_depth=_DEPTH,
        allow_duplicate_keys=False,
        semantic_decoders=_TAGS,
        tag_hook=_refuse_any,
    )
    try:
        pack = decoder.decode()
    except (cbor2.CBORError, ValueError, TypeError, OverflowError) as error:
        raise Malformed(f"{_NOT_THIS}: {_said(error)}") from None
    try:
        decoder.read(1)
    except cbor2.CBORDecodeEOF:
        return [_with_names(record) for record in _checked(pack, most)]
    raise Malformed(f"{_NOT_THIS}: something stands behind it")


def _checked(pack: Any, most: int) -> list[Any]:
    if not isinstance(pack, list):
        raise Invalid([Fault((), "layout", "a pack is an array of records (RFC 8428)")])
    if len(pack) > most:
        raise TooLarge("readings", most)
    return pack


def _with_names(record: Any) -> Any:
    """A record whose fields are called as in JSON. Raises Malformed where one stands twice."""
    if not isinstance(record, dict):
        return record
    named = {LABELS.get(label, label) if type(label) is int else label: value for label, value in record.items()}
    if len(named) != len(record):
        raise Malformed("a field of a record stands twice: by its number and by its name")
    return named


def _said(error: Exception) -> str:
    """What a reader says is wrong: its first line, and nothing that it read."""
    return str(error).partition("\n")[0].partition(": ")[0][:100]


def _decimal(parts: Any, _: bool) -> float:
    """A decimal fraction (tag 4), as the nearest float64."""
    exponent, mantissa = parts
    if type(exponent) is not int or type(mantissa) is not int or abs(exponent) > _MOST_DIGITS:
        raise ValueError
    try:
        return float(Decimal(mantissa).scaleb(exponent))
    except InvalidOperation:
        raise ValueError from None


def _refuse(_: Any, __: bool, *, tag: int) -> Any:
    raise ValueError(tag)


def _refuse_any(tag: cbor2.CBORTag, _: bool) -> Any:
    raise ValueError(tag.tag)


_OTHERS = (0, 1, 2, 3, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 261, 1004, 43000, 55799)
"""Tags that the library would make objects of (regular expressions, cycles, integers of megabytes): all it knows."""

_TAGS: dict[int, Callable[[Any, bool], Any]] = {tag: partial(_refuse, tag=tag) for tag in _OTHERS} | {4: _decimal}
