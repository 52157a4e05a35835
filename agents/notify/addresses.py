"""Mail addresses."""

from __future__ import annotations

from email.errors import MessageError
from email.headerregistry import Address


def mail_address(name: str, address: str) -> Address:
    """Whom a mail is from, or to.

    Raises:
        ValueError: it is no address.
    """
    try:
        found = Address(" ".join(name.split()), addr_spec=address)
    except (ValueError, MessageError, IndexError) as error:
        raise ValueError(f"{address!r} is no mail address: {error}") from error
    if not found.username or not found.domain:
        raise ValueError(f"{address!r} is no mail address")
    return found
