"""Who a debtor is on a day: procedure, law and holidays for one account."""

from __future__ import annotations

from agents.credit.case import Case
from agents.dunning import records
from agents.dunning.book import DunningBook
from agents.dunning.law import LawMissingError, Notice, days_to_pay, is_working_day
from agents.dunning.procedure import Channel, Procedure, Step
from agents.dunning.records import Debtor, Followed
from agents.dunning.timetable import due_day
from schemas.events import Day


def debtor_of(case: Case) -> Debtor:
    """The account's debtor, as far as it is known."""
    debtor: Debtor | None = case.ledger.get(records.debtor_key(case.account_id))
    return Debtor() if debtor is None else debtor


def put_debtor(case: Case, debtor: Debtor) -> None:
    case.ledger.put(records.debtor_key(case.account_id), debtor)


def followed_of(case: Case, invoice_id: str) -> Followed:
    """What was done about an invoice so far."""
    followed: Followed | None = case.ledger.get(records.followed_key(case.account_id, invoice_id))
    return Followed() if followed is None else followed


def put_followed(case: Case, invoice_id: str, followed: Followed) -> None:
    case.ledger.put(records.followed_key(case.account_id, invoice_id), followed)


class Terms:
    """What holds for the debtor of an account today."""

    __slots__ = ("_holidays", "book", "debtor", "procedure", "today")

    def __init__(self, book: DunningBook, debtor: Debtor, procedure: Procedure, today: Day) -> None:
        self.book = book
        self.debtor = debtor
        self.procedure = procedure
        self.today = today
        self._holidays = book.holidays(debtor.country, today)

    def working_day(self, day: Day) -> Day:
        """That day, or the next one on which people work in the debtor's country."""
        while not is_working_day(day, self._holidays):
            day += 1
        return day

    def next_working_day(self) -> Day:
        """The first one after today."""
        return self.working_day(self.today + 1)

    def free_from(self) -> Day:
        """The first day, from today on, on which a reminder may go out."""
        debtor, day = self.debtor, self.today
        if debtor.reminded_on is not None:
            day = max(day, debtor.reminded_on + self.procedure.min_days_between)
        if debtor.attempted_on is not None:
            day = max(day, debtor.attempted_on + 1)
        return self.working_day(day)

    def day_of(self, step: Step, followed: Followed, due_on: Day) -> Day:
        """The first day on which the step may be taken for an invoice. Costs are not asked for
        before the days of the notice have passed.
        """
        day = due_day(self.procedure, step, due_on, followed.on, self._holidays)
        if step.costs and followed.noticed_on is not None:
            last = self.notice_ends(followed)
            if last is not None:
                day = max(day, self.working_day(last + 1))
        return day

    def notice(self) -> Notice | None:
        """The notice that the law wants before costs may be asked; None when it wants none, or no
        table of laws is there for the debtor.
        """
        try:
            law = self.book.law(self.debtor.country, self.debtor.kind)
            return law.costs_on(self.today).notice
        except LawMissingError:
            return None

    def notice_ends(self, followed: Followed) -> Day | None:
        """The last day on which what the notice said can be paid without costs; None without a
        notice.
        """
        notice = self.notice()
        if notice is None or followed.noticed_on is None:
            return None
        sent_on = followed.noticed_on
        holidays = self.book.holidays(self.debtor.country, sent_on)
        return days_to_pay(notice, followed.noticed_by, sent_on, holidays)[1]

    def pay_by(self, step: Step, channel: str) -> Day:
        """The day that a message of today, sent over the channel, gives to pay."""
        notice = self.notice() if step.notice else None
        if notice is None:
            return self.today + step.pay_within_days
        return days_to_pay(notice, channel, self.today, self._holidays)[1]

    def channel_for(self, step: Step, tried: list[str]) -> Channel | None:
        """The first of the step's channels that can work and was not tried; None: there is none
        left. A notice goes by one of which the law says when it arrives.
        """
        notice = self.notice() if step.notice else None
        for channel in step.channels:
            if (
                channel not in tried
                and self.reaches(channel)
                and (notice is None or channel in notice.starts)
            ):
                return channel
        return None

    def reaches(self, channel: str) -> bool:
        """Whether something is known that the channel can be used with. A call is a task for a
        person, who finds the number.
        """
        match channel:
            case "email":
                return bool(self.debtor.email)
            case "sms":
                return bool(self.debtor.phone)
            case _:
                return True


def terms_of(case: Case, debtor: Debtor) -> Terms | None:
    """The terms of the account's debtor today; None when no procedure is for such a customer."""
    book = case.policies.dunning
    if book is None:
        return None
    procedure = book.procedure(debtor.kind, case.account.segment, debtor.country, case.today)
    return None if procedure is None else Terms(book, debtor, procedure, case.today)
