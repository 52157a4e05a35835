"""Why an order is held. Their order here is the order in which a decision lists them."""

CUSTOMER_UNKNOWN = "customer_unknown"
CUSTOMER_BLOCKED = "customer_blocked"
LIMIT_MISSING = "limit_missing"
LIMIT_EXPIRED = "limit_expired"
PREPAYMENT_REQUIRED = "prepayment_required"
OVERDUE = "overdue"
DUNNING_BLOCK = "dunning_block"
CREDIT_LIMIT_EXCEEDED = "credit_limit_exceeded"
GROUP_LIMIT_EXCEEDED = "group_limit_exceeded"
INSURANCE_COVER_STOPPED = "insurance_cover_stopped"
FX_RATE_MISSING = "fx_rate_missing"
STALE_DATA = "stale_data"
MANUAL_HOLD = "manual_hold"

PRECEDENCE = (
    CUSTOMER_UNKNOWN,
    CUSTOMER_BLOCKED,
    LIMIT_MISSING,
    LIMIT_EXPIRED,
    PREPAYMENT_REQUIRED,
    OVERDUE,
    DUNNING_BLOCK,
    CREDIT_LIMIT_EXCEEDED,
    GROUP_LIMIT_EXCEEDED,
    INSURANCE_COVER_STOPPED,
    FX_RATE_MISSING,
    STALE_DATA,
    MANUAL_HOLD,
)
