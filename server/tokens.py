"""Tokens for `/ws`: JWTs that live for minutes, for clients that shall not hold a key. They die with what made them."""

import asyncio
import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import asyncpg
import jwt

from schemas.errors import DatabaseAway, TokenExpired, Unauthorized
from schemas.keys import Holder
from server.database import AWAY

ACQUIRE_S = 1.5
ALGORITHM = "HS256"  # the only one, whatever a token says of itself
AUDIENCE = "sluice/ws"
CLAIMS = ["aud", "exp", "iat", "jti", "sub"]
MAX_CHARS = 2_048
MAX_TTL_S = 15 * 60 + 60  # of a token that we read: what it may live at most, and what clocks of nodes may differ by
RELOAD_S = 30.0  # after which a worker learns of a new secret, if no token signed by it comes before
RELOAD_AGAIN_S = 1.0  # between two looks for a secret that nobody may have
_SECRETS = "SELECT secret FROM token_keys ORDER BY id DESC LIMIT 2"


@dataclass(frozen=True, slots=True)
class Token:
    """A token and its end."""

    text: str
    expires_s: int
    """Seconds since the Unix epoch."""
    ttl_s: int


class TokenKeys:
    """The secrets that sign, the newest first: from a setting, or shared by all workers and nodes in PostgreSQL."""

    def __init__(self, pool: asyncpg.Pool, monotonic: Callable[[], float], fixed: Sequence[bytes] = ()) -> None:
        self._pool, self._monotonic, self._fixed = pool, monotonic, bool(fixed)
        self.held = {kid_of(secret): secret for secret in fixed}
        """Secrets by name, the newest first."""
        self._loaded_at = -RELOAD_S
        self._loading = asyncio.Lock()

    async def newest(self) -> tuple[str, bytes]:
        """The one that signs, and its name. Raises DatabaseAway where none is known."""
        await self._load(RELOAD_S)
        return next(iter(self.held.items()))

    async def of(self, kid: object) -> bytes | None:
        """The secret of that name, if it is one of the two that count. Raises DatabaseAway where none is known."""
        await self._load(RELOAD_S if kid in self.held else RELOAD_AGAIN_S)
        return self.held.get(kid) if isinstance(kid, str) else None

    async def _load(self, after_s: float) -> None:
        # Before one's turn as well: who brings what nobody knows must not keep the others waiting.
        if self._fixed or self._is_fresh(after_s):
            return
        async with self._loading:
            if self._is_fresh(after_s):
                return
            try:
                async with self._pool.acquire(timeout=ACQUIRE_S) as connection:
                    found = await connection.fetch(_SECRETS)
            except AWAY as error:
                if not self.held:
                    raise DatabaseAway from error
            else:
                self.held = {kid_of(record["secret"]): record["secret"] for record in found}
            self._loaded_at = self._monotonic()
        if not self.held:
            raise DatabaseAway("token_keys holds no secret to sign with: SELECT rotate_token_key() makes one")

    def _is_fresh(self, after_s: float) -> bool:
        return bool(self.held) and self._monotonic() - self._loaded_at < after_s


class Tokens:
    """Signs tokens, and reads them."""

    def __init__(self, keys: TokenKeys, clock_us: Callable[[], int], *, ttl_s: int) -> None:
        self._keys, self._clock_us, self._ttl_s = keys, clock_us, ttl_s

    async def sign(self, holder: Holder, key_expires_us: int | None) -> Token:
        """A token of this holder, that never outlives the key. Raises DatabaseAway."""
        kid, secret = await self._keys.newest()
        now = self._clock_us() // 1_000_000
        expires = now + self._ttl_s
        if key_expires_us is not None:
            expires = min(expires, key_expires_us // 1_000_000)
        claims = {"aud": AUDIENCE, "sub": holder.key_id, "iat": now, "exp": expires, "jti": secrets.token_urlsafe(12)}
        if holder.session is not None:
            claims["sid"] = holder.session
        return Token(jwt.encode(claims, secret, ALGORITHM, headers={"kid": kid}), expires, max(0, expires - now))

    async def read(self, token: str) -> tuple[Holder, float]:
        """Whose token it is, and for how many seconds more. Raises TokenExpired, Unauthorized, DatabaseAway.

        Whether its holder still may come in is not looked at here.
        """
        if len(token) > MAX_CHARS:
            raise Unauthorized
        try:
            secret = await self._keys.of(jwt.get_unverified_header(token).get("kid"))
            if secret is None:
                raise Unauthorized
            claims = jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                # Clocks of nodes differ by moments: when it was made, we need not believe; when it ends, we ask ours.
                options={"require": CLAIMS, "verify_iat": False, "verify_exp": False},
            )
        except jwt.InvalidTokenError:
            raise Unauthorized from None
        ttl_s = claims["exp"] - self._clock_us() / 1_000_000
        if ttl_s <= 0:
            raise TokenExpired
        if ttl_s > MAX_TTL_S:
            raise Unauthorized
        return Holder(claims["sub"], claims.get("sid")), ttl_s


def kid_of(secret: bytes) -> str:
    """The name of a secret, in the header of what it signs."""
    return hashlib.sha256(b"sluice kid" + secret).hexdigest()[:16]
