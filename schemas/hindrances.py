"""Why a batch cannot be stored now that others of its group can: through a series of its own."""

from schemas.errors import Unavailable


class SeriesLocked(Unavailable):
    """Somebody else holds a lock on a series of this batch; nothing was stored, send it again after Retry-After."""

    code = "series_locked"


class SeriesGone(Unavailable):
    """A series of this batch was deleted meanwhile; nothing was stored, send it again after Retry-After."""

    code = "series_gone"
