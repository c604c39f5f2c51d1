"""The exchange of quotas: what each worker gave out of a key's bucket, kept in Redis for all of them.

No request waits for it. Without Redis every worker gives out its share of what it last knew.
"""

import asyncio
import contextlib
import secrets

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ingest.quota import Place, Quota

log = structlog.get_logger(__name__)

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


class Exchange:
    """Tells Redis what this worker gave out, and the quota what is left. `redis_url` as redis-py reads it."""

    def __init__(self, quota: Quota, redis_url: str, name: str) -> None:
        self._quota, self._name = quota, name
        self._node = secrets.token_hex(8)
        self._told = False  # the log knows that Redis is away
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=DEADLINE_S,
            socket_connect_timeout=DEADLINE_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            driver_info=None,
        )
        self._spend = self._redis.register_script(_SPEND)
        self._workers = self._redis.register_script(_WORKERS)

    async def run(self) -> None:
        """Exchange for ever. Ends only by being cancelled."""
        try:
            while True:
                there = await self.step()
                if not there:
                    await asyncio.sleep(AGAIN_S)
                elif self._quota.active < MOST:
                    await self._pause()
        finally:
            with contextlib.suppress(RedisError, OSError):
                await self._redis.aclose()

    async def _pause(self) -> None:
        """Wait for the next turn: a longer one while nothing is taken, as then only the workers are counted."""
        for _ in range(IDLE_TURNS):
            await asyncio.sleep(EVERY_S)
            if self._quota.active:
                return

    async def step(self) -> bool:
        """One exchange; False where Redis is away."""
        told = self._quota.hand_in(MOST)
        try:
            async with asyncio.timeout(DEADLINE_S):
                left, workers = await self._ask(told)
        except (RedisError, OSError) as error:
            self._quota.take_back(told)
            if not self._told:
                log.warning("quotas are not shared: Redis is away", error=repr(error), workers=self._quota.workers)
                self._told = True
            with contextlib.suppress(RedisError, OSError):
                await self._redis.connection_pool.disconnect()  # an answer may still come, to a question of another
            return False
        except BaseException:
            self._quota.take_back(told)
            raise
        self._told = False
        self._quota.learn(left, workers)
        return True

    async def _ask(self, told: list[tuple[Place, int, int]]) -> tuple[dict[Place, float], int]:
        # Each script by itself, as the buckets may lie on different nodes of a cluster.
        async with self._redis.pipeline(transaction=False) as pipeline:
            for (key_id, policy), rate, taken in told:
                await self._spend(keys=[f"{self._name}:quota:{policy}:{key_id}"], args=[rate, taken], client=pipeline)
            await self._workers(keys=[f"{self._name}:quota-workers"], args=[self._node, WORKER_S], client=pipeline)
            *left, workers = await pipeline.execute()
        return {place: float(tokens) for (place, _, _), tokens in zip(told, left, strict=True)}, int(workers)
