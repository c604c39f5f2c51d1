"""Why something is not read back just now: leaves of the tree in `schemas/errors.py`."""

from schemas.errors import Unavailable


class TooManyQueries(Unavailable):
    """More is being read than this server takes on; ask again after Retry-After."""

    code = "too_many_queries"


class QueryTooSlow(Unavailable):
    """This takes longer to read than a request may; ask for less."""

    code = "query_too_slow"
