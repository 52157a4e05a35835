"""Why an order is held. Their order here is the order in which a decision lists them."""

CUSTOMER_UNKNOWN = "customer_unknown"
CUSTOMER_BLOCKED = "customer_blocked"
LIMIT_MISSING = "limit_missing"
LIMIT_EXPIRED = "limit_expired"
OVERDUE = "overdue"
CREDIT_LIMIT_EXCEEDED = "credit_limit_exceeded"
FX_RATE_MISSING = "fx_rate_missing"
MANUAL_HOLD = "manual_hold"

PRECEDENCE = (
    CUSTOMER_UNKNOWN,
    CUSTOMER_BLOCKED,
    LIMIT_MISSING,
    LIMIT_EXPIRED,
    OVERDUE,
    CREDIT_LIMIT_EXCEEDED,
    FX_RATE_MISSING,
    MANUAL_HOLD,
)
