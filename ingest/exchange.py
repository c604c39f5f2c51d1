"""The exchange of quotas: what each worker gave out of a key's bucket, kept in Redis for all of them.

No request waits for it. Without Redis every worker gives out its share of what it last knew. In a cluster each bucket
is where its key is: what one server did not take is told again, what the others did is not.
"""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from ingest.quota import Quota

log = structlog.get_logger(__name__)

AWAY = (RedisError, OSError)
"""What a Redis that is away raises; a `TimeoutError` is an OSError."""

ServerOf = Callable[[str], Redis]
"""The client of the server that has a key, the same for all keys of that server. Raises RedisError if none has it."""
Look = Callable[[], AbstractAsyncContextManager[ServerOf]]
"""Looks where Redis is; what it gives finds servers as long as it is entered."""

EVERY_S = 0.1  # between two exchanges: bounds what a key gets beyond its quota
DEADLINE_S = 0.5
IDLE_TURNS = 5  # of which there may be so many without an exchange while nothing is taken
AGAIN_S = 1.0  # after one that failed: nothing waits on Redis, nor is it asked all the time
MOST = 500  # buckets of one round trip
WORKER_S = 10  # after which a worker that says nothing does not count

# The clock of Redis is the one that all workers share. A bucket that would be full again is forgotten.
_SPEND = """
local clock = redis.call('TIME')
local now, rate = clock[1] + clock[2] / 1000000, tonumber(ARGV[1])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]) or rate, tonumber(bucket[2]) or now
tokens = math.min(rate, tokens + math.max(0, now - at) * rate) - tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((rate - tokens) / rate * 1000) + 1000)
return string.format('%.6f', tokens)
"""
_WORKERS = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""
_DIGESTS = {script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest() for script in (_SPEND, _WORKERS)}


class _Call(NamedTuple):
    """A script, run on one key: they may lie on different servers, and none of them on two."""

    script: str
    key: str
    arguments: Sequence[Any]


class Exchange:
    """Tells Redis what this worker gave out, and the quota what is left. `name` as the bus has it."""

    def __init__(self, quota: Quota, look: Look, name: str) -> None:
        self._quota, self._look, self._name = quota, look, name
        self._node = secrets.token_hex(8)
        self._told = False  # the log knows that Redis is away

    async def run(self) -> None:
        """Exchange for ever. Ends only by being cancelled."""
        while True:
            try:
                async with self._look() as server_of:
                    while await self.step(server_of):
                        if self._quota.active < MOST:
                            await self._pause()
            except AWAY as error:
                self._away(error)
            await asyncio.sleep(AGAIN_S)

    async def _pause(self) -> None:
        """Wait for the next turn: a longer one while nothing is taken, as then only the workers are counted."""
        for _ in range(IDLE_TURNS):
            await asyncio.sleep(EVERY_S)
            if self._quota.active:
                return

    async def step(self, server_of: ServerOf) -> bool:
        """One exchange; False where a server did not take its part in it."""
        told = self._quota.hand_in(MOST)
        calls = [
            _Call(_SPEND, f"{self._name}:quota:{policy}:{key_id}", (rate, taken))
            for (key_id, policy), rate, taken in told
        ]
        calls.append(_Call(_WORKERS, f"{self._name}:quota-workers", (self._node, WORKER_S)))
        try:
            *left, workers = await _ask_all(server_of, calls)
        except BaseException:
            self._quota.take_back(told)
            raise
        self._quota.take_back([each for each, tokens in zip(told, left, strict=True) if isinstance(tokens, Exception)])
        heard = {
            place: float(tokens)
            for (place, _, _), tokens in zip(told, left, strict=True)
            if not isinstance(tokens, Exception)
        }
        failed = [each for each in (*left, workers) if isinstance(each, Exception)]
        if heard or not failed:
            self._quota.learn(heard, self._quota.workers if isinstance(workers, Exception) else int(workers))
        if failed:
            self._away(failed[0])
        else:
            self._told = False
        return not failed

    def _away(self, error: Exception) -> None:
        if not self._told:
            log.warning(
                "quotas are not shared: Redis is away",
                error=f"{type(error).__name__}: {error}",
                workers=self._quota.workers,
            )
            self._told = True


async def _ask_all(server_of: ServerOf, calls: Sequence[_Call]) -> list[Any]:
    """The answer to each call, or why there is none: from all servers at once, each by itself."""
    answers: list[Any] = [None] * len(calls)
    places: dict[Redis, list[int]] = {}
    for place, call in enumerate(calls):
        try:
            places.setdefault(server_of(call.key), []).append(place)
        except RedisError as error:
            answers[place] = error
    asked = [_ask(server, [calls[place] for place in there]) for server, there in places.items()]
    for there, answered in zip(places.values(), await asyncio.gather(*asked), strict=True):
        for place, answer in zip(there, answered, strict=True):
            answers[place] = answer
    return answers


async def _ask(server: Redis, calls: Sequence[_Call]) -> list[Any]:
    try:
        async with asyncio.timeout(DEADLINE_S):
            answers = await _run(server, calls, by_digest=True)
            # A server that restarted has forgotten the scripts, and one that was promoted never had them.
            unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            again = await _run(server, [calls[place] for place in unknown], by_digest=False)
            for place, answer in zip(unknown, again, strict=True):
                answers[place] = answer
    except AWAY as error:
        return [error] * len(calls)
    return answers


async def _run(server: Redis, calls: Sequence[_Call], *, by_digest: bool) -> list[Any]:
    if not calls:
        return []
    async with server.pipeline(transaction=False) as pipeline:
        for script, key, arguments in calls:
            if by_digest:
                pipeline.evalsha(_DIGESTS[script], 1, key, *arguments)
            else:
                pipeline.eval(script, 1, key, *arguments)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers
