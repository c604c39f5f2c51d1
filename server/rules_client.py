"""The rules of a running server, over HTTP."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
from pydantic import ValidationError

from schemas.rules import Rule, RuleRequest

TIMEOUT = aiohttp.ClientTimeout(total=15)  # seconds; the server answers within five, or says that it cannot


class ServerRefusedError(ValueError):
    """What the server said, or that it said nothing, and what to do."""


class RulesClient:
    """Reads and writes `/v1/rules`. Every method raises ServerRefusedError."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, key: str) -> AsyncIterator[Self]:
        """A client that presents this key."""
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(headers=headers, timeout=TIMEOUT) as session:
            yield cls(session, url.rstrip("/"))

    async def all(self) -> list[Rule]:
        """Every rule, by id."""
        items = (await self._call("GET", ""))["items"]
        try:
            return [Rule.model_validate(item) for item in items]
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, fault["loc"]))
            raise ServerRefusedError(f"a rule of the server is not understood ({place}): update this sluice") from None

    async def create(self, rule: RuleRequest) -> None:
        """Make a rule."""
        await self._call("POST", "", rule)

    async def replace(self, rule_id: int, rule: RuleRequest) -> None:
        """Change a rule; what it has fired is resolved."""
        await self._call("PUT", f"/{rule_id}", rule)

    async def delete(self, rule_id: int) -> None:
        """Delete a rule; what it has fired is resolved."""
        await self._call("DELETE", f"/{rule_id}")

    async def _call(self, method: str, path: str, rule: RuleRequest | None = None) -> Any:
        body = None if rule is None else rule.model_dump(mode="json", exclude_none=True)
        url = f"{self._url}/v1/rules{path}"
        try:
            async with self._session.request(method, url, json=body) as response:
                content = await response.json(content_type=None) if response.status != 204 else None
        except aiohttp.InvalidURL:
            raise ServerRefusedError(
                f"'{self._url}' is not the URL of a server; such as http://127.0.0.1:8000"
            ) from None
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            reason = str(error) or type(error).__name__
            raise ServerRefusedError(f"no answer from {self._url} ({reason}): does it run? --url names it") from None
        except ValueError:
            raise ServerRefusedError(f"{self._url} is not a Sluice: {method} /v1/rules did not answer JSON") from None
        if response.status >= 400:
            raise ServerRefusedError(f"{method} /v1/rules{path}: {response.status} {_reason(content)}")
        return content


def _reason(content: Any) -> str:
    """The problem document in a line."""
    if not isinstance(content, dict):
        return ""
    words = [str(content.get(name)) for name in ("title", "detail") if content.get(name)]
    for fault in content.get("errors", []):
        words.append(".".join(map(str, fault["loc"])) + ": " + fault["message"])
    return "; ".join(words)
