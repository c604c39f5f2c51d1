"""A door: a path by which a foreign protocol comes in, its decoder, and its dialect."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from ingest.body import INFLATERS, Inflaters
from ingest.foreign.dialect import Dialect
from ingest.formats.mapping import Mapping
from ingest.formats.names import Names
from ingest.formats.terms import Decode
from schemas.errors import Malformed

MAX_FIELDS = 50  # of a query string


@dataclass(frozen=True, slots=True)
class Head:
    """What a request says before its body."""

    query: bytes = b""
    """Percent-encoded, without the question mark."""
    kind: str = ""
    """Content-Type."""

    def parameters(self) -> dict[str, str]:
        """The query's parameters; of one that stands twice, the last. Raises Malformed where there are too many."""
        try:
            return dict(parse_qsl(self.query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
        except ValueError:
            raise Malformed(f"a URL, or a form, has at most {MAX_FIELDS} parameters") from None


@dataclass(frozen=True, slots=True)
class Door:
    """One protocol, as far as writing goes. Adding one: a decoder, a dialect, a door, a line in `table.py`."""

    format: str
    """What the protocol is called: in the metrics, and by `/v1/dry-run?format=`."""
    decoder: Callable[[Head], Decode]
    """Reads the head. Raises Malformed or UnsupportedMediaType, before the body is read."""
    dialect: Dialect
    encodings: Inflaters = field(default_factory=lambda: INFLATERS)
    """By Content-Encoding."""
    partial: bool = True
    """Whether what is good of a request is stored where something else of it is not."""
    names: Names[Any] | None = None
    """What the decoder remembers of names, for the metrics."""
    describe: Callable[[Mapping, str], str] = Mapping.describe
    """One line that says how a mapping reads the names of formats with these names."""
