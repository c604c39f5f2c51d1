"""A file of rules: a YAML list of them as the API takes them. Every fault has its line, and says what to do."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from schemas.conditions import Absent, Level, Range, Rate, Threshold
from schemas.rules import RuleRequest

HEADER = "# The rules of a server: `sluice rules apply FILE` makes them these again.\n"
MAX_FAULTS = 20
_CONDITIONS: dict[str, type[BaseModel]] = {"threshold": Threshold, "rate": Rate, "range": Range, "absent": Absent}


class RulesFileError(ValueError):
    """The file is not a list of good rules; the message is a line for each fault."""


def read_rules(path: Path) -> list[RuleRequest]:
    """The rules in a file. Raises RulesFileError."""
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise RulesFileError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise RulesFileError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    return parse_rules(text, str(path))


def parse_rules(text: str, source: str) -> list[RuleRequest]:
    """The rules in a text. Raises RulesFileError, whose lines begin with the source."""
    root, items = _load(text, source)
    faults = [f"{source}:{line}: the key '{key}' is there twice: remove one" for line, key in _twice(root)]
    rules: dict[str, int] = {}
    found = []
    for node, item in zip(root.value, items, strict=True):
        try:
            rule = RuleRequest.model_validate(item)
        except ValidationError as error:
            faults += [f"{source}:{line}: {fault}" for line, fault in _faults(node, item, error)]
            continue
        line = rules.setdefault(rule.name, _line(node))
        if line != _line(node):
            faults.append(f"{source}:{_line(node)}: line {line} has a rule '{rule.name}' already: rename one")
        found.append(rule)
    if faults:
        more = [f"{source}: and {len(faults) - MAX_FAULTS} more"] if len(faults) > MAX_FAULTS else []
        raise RulesFileError("\n".join(faults[:MAX_FAULTS] + more))
    return found


def write_rules(rules: Iterable[RuleRequest]) -> str:
    """The text of a file that holds these rules; what has its default is left out, but for the device."""
    items = []
    for rule in rules:
        item = rule.model_dump(mode="json", exclude_defaults=True, include=set(RuleRequest.model_fields))
        items.append({"name": rule.name, "device": rule.device} | item)
    return HEADER + yaml.safe_dump(items, sort_keys=False, allow_unicode=True, width=120)


def _load(text: str, source: str) -> tuple[yaml.SequenceNode, list[Any]]:
    """The list, as YAML's nodes, which know their lines, and as values."""
    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            items = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = "" if mark is None else f":{mark.line + 1}"
        raise RulesFileError(f"{source}{line}: not YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:  # a ValueError: such as a date that is none
        raise RulesFileError(f"{source}: not YAML: {error}") from None
    if not isinstance(node, yaml.SequenceNode) or not isinstance(items, list):
        raise RulesFileError(f"{source}:1: a list of rules is wanted, each beginning with '- name: …'; for none: []")
    return node, items


def _twice(root: yaml.Node) -> Iterator[tuple[int, str]]:
    """(line, key) of every key that its mapping has already: YAML would silently take the last one."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen or isinstance(node, yaml.ScalarNode):  # an alias leads to the node of its anchor
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            continue
        # What a merge ('<<') brings along stands first, and is meant to be replaced.
        own = [key for key, _ in node.value if node.start_mark.index <= key.start_mark.index < node.end_mark.index]
        keys = set()
        for key in own:
            if key.value in keys:
                yield _line(key), key.value
            keys.add(key.value)
        waiting += [value for _, value in node.value]


def _faults(node: yaml.Node, item: Any, error: ValidationError) -> Iterator[tuple[int, str]]:
    """(line, fault) of everything wrong with a rule."""
    name = f"rule '{item['name']}': " if isinstance(item, dict) and isinstance(item.get("name"), str) else ""
    details = error.errors(include_url=False, include_input=False)
    for detail in details:
        loc = detail["loc"]
        if any(len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in details):
            continue  # it follows from what is wrong within: a list whose only item is bad is too short as well
        line, path = _place(node, loc)
        yield line, name + (f"{path}: " if path else "") + _advice(detail)


def _place(node: yaml.Node, loc: Sequence[int | str]) -> tuple[int, str]:
    """The line of a location, and its path as it stands in the file; without pydantic's steps that are no keys."""
    line, path = _line(node), ""
    for step in loc:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in reversed(node.value) if pair[0].value == step), None)
            if pair is not None:
                line, node = _line(pair[0]), pair[1]
                path += f".{step}" if path else str(step)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = _line(node)
            path += f"[{step}]"
    return line, path


def _advice(detail: ErrorDetails) -> str:
    """What is wrong, and what to do."""
    loc = detail["loc"]
    if detail["type"] == "extra_forbidden":
        known = list(_model(loc).model_fields)
        close = get_close_matches(str(loc[-1]), known, 1)
        return f"no such key; did you mean '{close[0]}'?" if close else f"no such key; there are: {', '.join(known)}"
    if detail["type"] == "missing":
        return f"'{loc[-1]}' is missing: add it"
    if detail["type"] == "union_tag_not_found":
        return f"'type' is missing: add it, one of {', '.join(_CONDITIONS)}"
    if detail["type"] in {"model_type", "model_attributes_type", "dict_type"}:
        return "keys with values are wanted here, 'key: value'"
    return detail["msg"].removeprefix("Value error, ")


def _model(loc: Sequence[int | str]) -> type[BaseModel]:
    """Whose keys they are at a location."""
    if loc[0] != "condition":
        return RuleRequest
    return Level if "levels" in loc else _CONDITIONS.get(str(loc[1]), Threshold)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
