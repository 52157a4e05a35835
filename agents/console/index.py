"""What the lists of the console are made of: accounts, held orders and documents of the live copy,
in tables that can be sorted and searched.

The copy has an order of its own, by account. Lists are wanted by amount, reason, name or account
manager, and no page can wait for a walk through a hundred thousand accounts. So a thread follows
the copy: it goes through each partition once when the copy has read it, and from then on looks at
what was written. The tables are made anew with each start; nothing is kept in them alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from agents.console.rows import AccountRow, HeldRow, account_row, held_row
from agents.console.tables import Tables
from agents.core.ledger import Ledger
from agents.core.policy import PolicyBook
from agents.credit import state
from agents.live_copy import CopyNotReadyError
from schemas.events import OrderDecision

logger = logging.getLogger(__name__)

_TOLD_CUSTOMERS_MAX = 200
_REST_SECONDS = 0.2
"""Between two looks: what an account goes through in that time is one change."""
_BREATHE_EVERY = 200
_BREATHE_SECONDS = 0.002
"""A first walk leaves the machine to those who wait for decisions."""
_FAILED_SECONDS = 5.0
_TABLES = """
CREATE TABLE accounts (
    account_id TEXT PRIMARY KEY, partition INTEGER, name TEXT, folded TEXT, manager TEXT,
    segment TEXT, currency TEXT, blocked INTEGER, exposure INTEGER, credit_limit INTEGER,
    headroom INTEGER, utilisation REAL, overdue INTEGER, oldest_due INTEGER, held_orders INTEGER,
    worth INTEGER, worth_overdue INTEGER
) WITHOUT ROWID;
CREATE INDEX accounts_by_worth ON accounts (worth);
CREATE INDEX accounts_by_overdue ON accounts (worth_overdue);
CREATE INDEX accounts_by_utilisation ON accounts (utilisation);
CREATE TABLE held (
    account_id TEXT, order_id TEXT, partition INTEGER, placed_at INTEGER, amount INTEGER,
    currency TEXT, worth INTEGER, reasons TEXT, held_by TEXT,
    PRIMARY KEY (account_id, order_id)
) WITHOUT ROWID;
CREATE INDEX held_by_age ON held (placed_at);
CREATE INDEX held_by_worth ON held (worth);
CREATE TABLE days (partition INTEGER PRIMARY KEY, today INTEGER);
CREATE TABLE documents (
    document_id TEXT, kind TEXT, account_id TEXT, partition INTEGER,
    PRIMARY KEY (document_id, kind, account_id)
) WITHOUT ROWID;
"""
_DOCUMENTS = {"o": "order", "i": "invoice"}


@dataclass
class Change:
    """What is another since the last time somebody was told.

    Attributes:
        customers: whose account changed; None: more than are worth naming.
        held: whether the list of held orders did.
    """

    customers: set[str] | None = field(default_factory=set)
    held: bool = False

    def add(self, customer_id: str) -> None:
        """One more."""
        if self.customers is not None:
            self.customers.add(customer_id)
            if len(self.customers) > _TOLD_CUSTOMERS_MAX:
                self.customers = None


class Index:
    """Follows a copy from `follow` until it is closed. Readers come in any thread.

    Args:
        path: of the tables; what is there is replaced.
        policies: by which figures are told.
        decided_on: the last decisions on an order, by its id and customer.
        told: hears of changes, in the index's thread.
    """

    def __init__(
        self,
        path: Path,
        policies: PolicyBook,
        decided_on: Callable[[str, str], list[OrderDecision]],
        told: Callable[[Change], None],
    ) -> None:
        self._tables = Tables(path, _TABLES, anew=True)
        self._db = self._tables.db
        self.rows = self._tables.rows
        self._policies = policies
        self._decided_on = decided_on
        self._told = told
        self._changed = threading.Condition()
        self._dirty: dict[int, set[bytes]] = {}
        """What was written in partitions that have been gone through, or are."""
        self._whole: set[int] = set()
        """Partitions that have been gone through."""
        self._decided: dict[tuple[str, str], OrderDecision] = {}
        self._stopping = False
        self._thread: threading.Thread | None = None

    # ── any thread's side ───────────────────────────────────────────────────────────────────────

    def follow(self, ledger_of: Callable[[int], Ledger], partitions: int) -> None:
        """Begin.

        Args:
            ledger_of: of a partition; raises `CopyNotReadyError` while it has not been read.
            partitions: how many there are.
        """
        self._thread = threading.Thread(
            target=self._run, args=(ledger_of, partitions), name="index", daemon=True
        )
        self._thread.start()

    def opened(self, partition: int) -> None:
        """The copy of a partition begins anew."""
        with self._changed:
            self._whole.discard(partition)
            self._dirty.pop(partition, None)
            self._changed.notify_all()

    def changed(self, partition: int, keys: Collection[bytes]) -> None:
        """These keys of the copy were written."""
        with self._changed:
            dirty = self._dirty.get(partition)
            if dirty is not None:
                dirty.update(keys)
                self._changed.notify_all()

    def heard(self, decisions: Iterable[OrderDecision]) -> None:
        """Orders were decided on: why they are held may be another reason."""
        held = {(one.customer_id, one.order_id): one for one in decisions if one.reasons}
        if held:
            with self._changed:
                self._decided |= held
                self._changed.notify_all()

    def missing(self, partitions: int) -> int:
        """How many partitions have not been gone through yet."""
        return partitions - len(self._whole)

    def close(self) -> None:
        """Let go of the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._tables.close()

    # ── the thread's side ───────────────────────────────────────────────────────────────────────

    def _run(self, ledger_of: Callable[[int], Ledger], partitions: int) -> None:
        while not self._stopping:
            try:
                self._go_on(ledger_of, partitions)
            except Exception:
                # Order systems are served by the same process, and it does not end for the sake of
                # lists: those are begun anew, and pages say so until they are whole again.
                logger.exception("the console's lists are made anew")
                self._begin_anew()

    def _go_on(self, ledger_of: Callable[[int], Ledger], partitions: int) -> None:
        behind = [n for n in range(partitions) if n not in self._whole]
        with self._changed:
            if not behind:
                self._changed.wait_for(lambda: self._stopping or self._has_work())
        for partition in behind:
            self._walk(partition, ledger_of)
        self.catch_up(ledger_of)
        time.sleep(_REST_SECONDS)

    def _begin_anew(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        with self._changed:
            self._whole.clear()
            self._dirty.clear()
        time.sleep(_FAILED_SECONDS)

    def _has_work(self) -> bool:
        return bool(self._decided) or any(self._dirty.values())

    def _walk(self, partition: int, ledger_of: Callable[[int], Ledger]) -> None:
        """Go through a partition, if the copy has read it."""
        try:
            ledger = ledger_of(partition)
        except CopyNotReadyError:
            return
        with self._changed:
            self._dirty[partition] = set()  # from now on: what is written meanwhile comes after
        for table in ("accounts", "held", "documents"):
            self._db.execute(f"DELETE FROM {table} WHERE partition = ?", (partition,))  # noqa: S608
        change = Change(customers=None, held=True)
        self._note_day(partition, ledger, change)
        self._db.execute("BEGIN")
        for number, account_id in enumerate(state.accounts(ledger), 1):
            self._note_account(partition, ledger, account_id, change)
            self._note_all_of(partition, ledger, account_id, change)
            if number % _BREATHE_EVERY == 0:
                self._db.execute("COMMIT")
                if self._stopping:
                    return
                time.sleep(_BREATHE_SECONDS)
                self._db.execute("BEGIN")
        self._db.execute("COMMIT")
        with self._changed:
            if partition in self._dirty:  # or the copy was begun anew meanwhile
                self._whole.add(partition)
        self._told(change)

    def catch_up(self, ledger_of: Callable[[int], Ledger]) -> None:
        """Look at what was written since the last time."""
        with self._changed:
            dirty, decided = self._dirty, self._decided
            self._dirty = {partition: set() for partition in dirty}
            self._decided = {}
        change = Change()
        self._db.execute("BEGIN")
        for partition, keys in dirty.items():
            if keys:
                try:
                    ledger = ledger_of(partition)
                except CopyNotReadyError:
                    continue  # it is begun anew, and all of it comes again
                self._note_keys(partition, ledger, keys, change)
        for (customer_id, order_id), decision in decided.items():
            self._note_reasons(customer_id, order_id, decision, change)
        self._db.execute("COMMIT")
        if change.held or change.customers is None or change.customers:
            self._told(change)

    def _note_keys(
        self, partition: int, ledger: Ledger, keys: Iterable[bytes], change: Change
    ) -> None:
        accounts: dict[str, None] = {}
        for raw_key in keys:
            key = raw_key.decode()
            account_id, _, own_key = key.partition(state.NUL)
            if key == state.BUSINESS_DAY:
                self._note_day(partition, ledger, change)
            if not account_id or not own_key:
                continue
            kind, own_id = own_key[0], own_key[1:]
            if kind in "ay":
                accounts[account_id] = None
            elif kind in _DOCUMENTS:
                self._note_document(partition, ledger, account_id, kind, own_id, change)
                change.add(account_id)
        for account_id in accounts:
            self._note_account(partition, ledger, account_id, change)

    def _note_day(self, partition: int, ledger: Ledger, change: Change) -> None:
        today = ledger.get(state.BUSINESS_DAY)
        self._db.execute("INSERT OR REPLACE INTO days VALUES (?, ?)", (partition, today))
        change.customers = None

    def _note_all_of(self, partition: int, ledger: Ledger, account_id: str, change: Change) -> None:
        for kind in _DOCUMENTS:
            start = f"{account_id}\0{kind}"
            for key, _ in ledger.scan(start, f"{account_id}\0{chr(ord(kind) + 1)}"):
                self._note_document(partition, ledger, account_id, kind, key[len(start) :], change)

    def _note_account(
        self, partition: int, ledger: Ledger, account_id: str, change: Change
    ) -> None:
        row = account_row(ledger, account_id, self._policies)
        if row is None:  # it has gone somewhere else, and may be noted there already
            where = "WHERE account_id = ? AND partition = ?"
            self._db.execute(f"DELETE FROM accounts {where}", (account_id, partition))  # noqa: S608
        else:
            self._put("accounts", partition, row)
        change.add(account_id)

    def _note_document(
        self,
        partition: int,
        ledger: Ledger,
        account_id: str,
        kind: str,
        document_id: str,
        change: Change,
    ) -> None:
        document = ledger.get(state.document_key(account_id, kind, document_id))
        name = _DOCUMENTS[kind]
        if document is None:
            self._db.execute(
                "DELETE FROM documents WHERE document_id = ? AND kind = ? AND account_id = ?"
                " AND partition = ?",
                (document_id, name, account_id, partition),
            )
        else:
            self._db.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)",
                (document_id, name, account_id, partition),
            )
        if kind == "o":
            self._note_order(partition, ledger, account_id, document_id, document, change)

    def _note_order(
        self,
        partition: int,
        ledger: Ledger,
        account_id: str,
        order_id: str,
        order: state.Order | None,
        change: Change,
    ) -> None:
        if order is not None and order.status == "held":
            decided = self._decided_on(order_id, account_id)
            row = held_row(ledger, self._policies, account_id, order_id, order, decided)
            self._put("held", partition, row)
            change.held = True
            return
        gone = self._db.execute(
            "DELETE FROM held WHERE account_id = ? AND order_id = ? AND partition = ?",
            (account_id, order_id, partition),
        )
        change.held = change.held or gone.rowcount > 0

    def _note_reasons(
        self, customer_id: str, order_id: str, decision: OrderDecision, change: Change
    ) -> None:
        done = self._db.execute(
            "UPDATE held SET reasons = ? WHERE account_id = ? AND order_id = ?",
            (f" {' '.join(decision.reasons)} ", customer_id, order_id),
        )
        change.held = change.held or done.rowcount > 0

    def _put(self, table: str, partition: int, row: AccountRow | HeldRow) -> None:
        fields = {**row._asdict(), "partition": partition}
        names, marks = ", ".join(fields), ", ".join("?" * len(fields))
        self._db.execute(
            f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})",  # noqa: S608  our own words
            list(fields.values()),
        )
