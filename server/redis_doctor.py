"""What `sluice doctor` says of Redis: what kind it is, which servers it has, and whether they answer."""

from collections.abc import AsyncIterator

from redis.asyncio import Redis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS
from redis.exceptions import RedisError

from server.findings import Finding
from server.redis_places import RedisPlaces
from server.redis_url import Address, Kind, RedisUrl

PATIENCE_S = 2.0
MIN_REDIS = 7


async def redis_findings(url: RedisUrl) -> AsyncIterator[Finding]:
    """Ask each server of which the URL, the cluster or the sentinels know."""
    places = RedisPlaces(url, PATIENCE_S)
    look = {Kind.SERVER: _server, Kind.CLUSTER: _cluster, Kind.SENTINEL: _sentinels}[url.kind]
    try:
        async for finding in look(places):
            yield finding
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what the operator has to read
        yield Finding(
            False, f"Redis does not answer: {_told(error)}; check SLUICE_REDIS_URL (alerts then lag, no data is lost)"
        )


async def _server(places: RedisPlaces) -> AsyncIterator[Finding]:
    async with places.client() as client:
        version = await _version(client)
    yield Finding(_new_enough(version), f"Redis protocol {version}")


async def _cluster(places: RedisPlaces) -> AsyncIterator[Finding]:
    ranges = await places.slots()
    slots, replicas = dict[Address, int](), dict[Address, list[Address]]()
    for first, last, (owner, *followers) in ranges:
        slots[owner] = slots.get(owner, 0) + last - first + 1
        replicas[owner] = followers
    covered = sum(slots.values())
    yield Finding(
        covered == REDIS_CLUSTER_HASH_SLOTS,
        f"Redis: a cluster of {len(slots)} primaries; {covered} of {REDIS_CLUSTER_HASH_SLOTS} slots have one",
    )
    for owner, followers in replicas.items():
        names = f"replicas: {', '.join(map(_written, followers))}" if followers else "no replica to stand in for it"
        yield await _member(places, owner, f"with {slots[owner]} slots, {names}")
        for follower in followers:
            yield await _member(places, follower, f"follows {_written(owner)}")


async def _sentinels(places: RedisPlaces) -> AsyncIterator[Finding]:
    service, members = places.url.service, places.url.members
    for member in members:
        try:
            async with places.sentinel(member) as sentinel:
                told = await sentinel.execute_command("SENTINEL", "CKQUORUM", service)  # type: ignore[no-untyped-call]
            yield Finding(True, f"Redis: the sentinel {_written(member)} says of {service}: {_text(told)}")
        except (RedisError, OSError) as error:
            yield Finding(False, f"Redis: the sentinel {_written(member)}: {_told(error)}; check SLUICE_REDIS_URL")
    master = await places.master()
    async with places.client(master) as client:
        followers = (await client.info("replication")).get("connected_slaves", 0)
    yield await _member(places, master, f"is the master of {service}, replicas: {followers}")


async def _member(places: RedisPlaces, address: Address, part: str) -> Finding:
    try:
        async with places.client(address) as client:
            version = await _version(client)
    except (RedisError, OSError) as error:
        return Finding(False, f"Redis: {_written(address)}, {part}, does not answer: {_told(error)}")
    return Finding(_new_enough(version), f"Redis: {_written(address)}, {part}; protocol {version}")


async def _version(client: Redis) -> str:
    return str((await client.info("server"))["redis_version"])


def _new_enough(version: str) -> bool:
    return int(version.split(".", 1)[0]) >= MIN_REDIS


def _text(answer: object) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def _written(address: Address) -> str:
    return f"{address[0]}:{address[1]}"


def _told(error: Exception) -> str:
    """With its text, which the `repr` of redis-py's errors is without."""
    return f"{type(error).__name__}: {error}"
