"""A customer's year, asked of ClickHouse.

Imported when somebody asks first: the client brings 200 MB along.
"""

from __future__ import annotations

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from urllib3.exceptions import HTTPError

from agents.console.history import DayFigures, HistoryUnreachableError
from schemas.dates import day_of
from streams.clickhouse import open_clickhouse
from streams.embedded.clickhouse import client_of_holder
from streams.embedded.parts import clickhouse_directory
from streams.settings import Settings

_DAYS = 365
_QUERY = """
SELECT day, exposure, overdue, credit_limit FROM headroom.exposure_by_day
WHERE customer_id = {customer:String} AND currency = {currency:String}
  AND day > (SELECT date FROM headroom.business_day) - {days:UInt16}
ORDER BY day
"""


def year_of(settings: Settings, customer_id: str, currency: str) -> list[DayFigures]:
    """The days of a customer in a currency.

    Raises:
        HistoryUnreachableError: ClickHouse does not answer, or is not there.
    """
    try:
        client = _client(settings)
        try:
            found = client.query(
                _QUERY, {"customer": customer_id, "currency": currency, "days": _DAYS}
            )
        finally:
            client.close()
    except (ClickHouseError, HTTPError, OSError) as error:
        raise HistoryUnreachableError(str(error).partition("\n")[0]) from error
    return [
        DayFigures(day_of(day), exposure, overdue, limit)
        for day, exposure, overdue, limit in found.result_rows
    ]


def _client(settings: Settings) -> Client:
    if settings.clickhouse_dsn is not None:
        return open_clickhouse(settings)
    client = client_of_holder(clickhouse_directory(settings))
    if client is None:
        raise HistoryUnreachableError("no process has the engine open, and no server is named")
    return client
