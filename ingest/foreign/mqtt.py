"""What MQTT's messages would become, for `POST /v1/dry-run?format=mqtt&topic=…`. They come in by `sluice mqtt`."""

from dataclasses import replace
from functools import partial

from ingest.foreign.dialect import Answer, Dialect
from ingest.foreign.door import Door, Head
from ingest.formats import mqtt
from ingest.formats.terms import Decode, Terms
from ingest.formats.topics import TemplateError, read_templates
from schemas.columns import Columns
from schemas.errors import Malformed


def _decoder(head: Head) -> Decode:
    """By `topic`, and by `template` where another one is to be tried than those of the settings. Raises Malformed."""
    said = head.parameters()
    if not said.get("topic"):
        raise Malformed("say by which topic the payload comes: ?format=mqtt&topic=sensors/pump-7/temperature")
    if "template" not in said:
        return partial(mqtt.decode, topic=said["topic"])
    try:
        templates = read_templates([said["template"]])
    except TemplateError as error:
        raise Malformed(str(error)) from None

    def decode(body: bytes, terms: Terms) -> Columns:
        topics = replace(terms.mapping.topics, templates=templates)
        return mqtt.decode(body, replace(terms, mapping=replace(terms.mapping, topics=topics)), said["topic"])

    return decode


TRIED = Door("mqtt", _decoder, Dialect(lambda *_: Answer(204)))
"""For trying only: no path leads to it, so nobody is answered in a dialect."""
