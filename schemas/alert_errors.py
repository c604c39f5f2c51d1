"""What keeps an act on alerts, silences, rules or webhooks from being done: leaves of `schemas/errors.py`."""

from schemas.errors import Conflict


class AlertResolved(Conflict):
    """The alert is resolved: there is nothing left to acknowledge."""

    code = "alert_resolved"


class DeliveryNotDead(Conflict):
    """Only a delivery that was given up can be tried again."""

    code = "delivery_not_dead"


class DeliveryOvertaken(Conflict):
    """Something later of the same rule and series was told since: this would tell the receiver what is past."""

    code = "delivery_overtaken"


class TooManySilences(Conflict):
    """More silences are in force than this server takes on; end some."""

    code = "too_many_silences"


class TooManyRules(Conflict):
    """There are as many rules as this server takes on; delete some, or raise SLUICE_MAX_RULES."""

    code = "too_many_rules"
