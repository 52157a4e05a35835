"""Every setting of the product, in one place: name, meaning, unit, default and allowed values.

A setting comes from the environment variable `HEADROOM_<NAME>`, else it has its default. A wrong
value, or a `HEADROOM_` variable that no setting has the name of, is refused at start and named.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from streams.errors import ConfigurationError

PREFIX = "HEADROOM_"
SECRET = "********"  # noqa: S105  what stands in the place of one


def user_cache_directory() -> Path:
    """Where the platform keeps what can be downloaded again."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "headroom"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "headroom"


def _setting(default: Any, description: str, unit: str = "", **limits: Any) -> Any:
    """One setting. With a callable the default is made at start, for it depends on the machine."""
    how = {"default_factory": default} if callable(default) else {"default": default}
    return Field(description=description, json_schema_extra={"unit": unit}, **how, **limits)


class Settings(BaseSettings):
    """All settings, checked; frozen, so that nobody changes one on the way."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid"
    )

    # ── Kafka ──
    kafka_bootstrap: str | None = _setting(
        None, "Kafka brokers, `host:port[,host:port]`; without it the embedded broker is used"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = _setting(
        "PLAINTEXT", "How to speak to the brokers"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = _setting(
        None, "How to log in, with a SASL protocol"
    )
    kafka_sasl_username: str | None = _setting(None, "User name, with a SASL protocol")
    kafka_sasl_password: SecretStr | None = _setting(None, "Password, with a SASL protocol")
    kafka_ssl_ca_location: Path | None = _setting(
        None, "PEM file of the authority that signed the brokers' certificates; else the system's"
    )
    partitions: int = _setting(
        4, "Partitions of the input, journal and output topics that are created", "partitions",
        ge=1, le=10_000,
    )  # fmt: skip
    replication_factor: int = _setting(
        0, "Replicas of each topic that is created (3; embedded: 1)", "replicas", ge=0, le=9
    )
    min_insync_replicas: int = _setting(
        0, "Replicas that must have a record before it counts (2; embedded: 1)", "replicas",
        ge=0, le=9,
    )  # fmt: skip

    # ── workers ──
    app_id: str = _setting(
        "headroom", "First part of the consumer groups' and transactions' names",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    )  # fmt: skip
    worker_name: str = _setting(
        "worker-1", "Tells workers on one host apart; keep it over restarts",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$",
    )  # fmt: skip
    instance_id: str = _setting(
        "", "Static membership: who this worker is to the consumer group (host and worker name)",
        max_length=249,
    )  # fmt: skip
    state_dir: Path = _setting(
        Path(".headroom/state"), "Directory of the partitions' state, a cache of the changelogs"
    )
    session_timeout_seconds: float = _setting(
        8.0, "Silence after which a worker counts as dead and others take over", "seconds",
        ge=6, le=60,
    )  # fmt: skip
    standbys: int = _setting(
        1, "Workers that keep a copy of a partition's state, ready to take over, beside its owner",
        "workers", ge=0, le=8,
    )  # fmt: skip
    guarantee: Literal["effectively_once", "exactly_once"] = _setting(
        "effectively_once",
        "What a crash may do: repeat events, with the same content and id; or nothing, and events "
        "wait for the commit",
    )
    commit_interval_seconds: float = _setting(
        0.0, "Time between two group commits of a partition (0.5; exactly_once: 0.05)", "seconds",
        gt=0, le=10,
    )  # fmt: skip
    max_record_bytes: int = _setting(
        1 << 20, "Largest record that is decoded; a larger one goes to the dead letters", "bytes",
        ge=1024, le=1 << 30,
    )  # fmt: skip
    dead_letters_per_minute: int = _setting(
        1000, "Dead letters of one topic in a minute, per worker; the next has its partition stand "
        "still until the worker starts anew", "records", ge=1, le=10_000_000,
    )  # fmt: skip
    in_flight_bytes: int = _setting(
        64 << 20, "Records fetched and not yet committed, per worker, at most", "bytes",
        ge=1 << 20, le=1 << 36,
    )  # fmt: skip
    clock: Literal["wall", "replayed"] = _setting(
        "wall",
        "Who says that a day has begun: the leading worker's clock, or who replays a history",
    )
    time_zone: str = _setting("UTC", "Time zone in which a business day begins, by its IANA name")
    policy_file: Path | None = _setting(None, "TOML file with the credit policy; else the default")
    procedures_dir: Path | None = _setting(
        None, "Directory of dunning procedures (TOML); without one nobody is dunned"
    )
    texts_dir: Path | None = _setting(
        None, "Directory of texts of letters that stand in for the shipped ones or add to them"
    )
    creditor_name: str | None = _setting(None, "Who writes the letters")
    creditor_address: str | None = _setting(
        None, "Address and registration number under the letters, lines with | between"
    )
    creditor_email: str | None = _setting(None, "Sender of the letters, to which people answer")
    creditor_iban: str | None = _setting(None, "Account to which debtors pay")
    creditor_bic: str | None = _setting(None, "BIC of that account's bank")
    invoice_url: str | None = _setting(
        None, "Where a customer sees an invoice, with {invoice_id} and {customer_id}"
    )
    smtp_url: SecretStr | None = _setting(
        None, "Mail server: smtp://[user:password@]host:port, smtps:// for TLS from the start"
    )
    sms_webhook_url: SecretStr | None = _setting(None, "Service that text messages are given to")
    print_webhook_url: SecretStr | None = _setting(
        None, "Service that letters on paper are given to"
    )
    agency_url: SecretStr | None = _setting(
        None,
        "Where claims go that an agency is to collect: file:///dir, sftp://user@host/dir, https://host/path",
    )
    legal_url: SecretStr | None = _setting(None, "The same for a legal department of your own")
    sftp_known_hosts: Path | None = _setting(
        None,
        "Keys by which servers are known to which claims go; without it those of the user's SSH",
    )
    sftp_key: Path | None = _setting(
        None, "Private key for those servers; without it those of the user's SSH"
    )
    portal_url: str | None = _setting(
        None, "Where customers see what a letter asks, to pay, contest or promise: https://host"
    )
    portal_secret: SecretStr | None = _setting(
        None, "Signs the links in letters, 32 characters or more; the first of several, by comma"
    )
    portal_host: str = _setting("127.0.0.1", "Address on which `headroom portal` listens")
    portal_port: int = _setting(6067, "Port of the same", "port", ge=1, le=65_535)
    portal_promise_days: int = _setting(
        14, "How far ahead customers may promise to pay there; 0: not at all", "days", ge=0, le=90
    )
    gateway_host: str = _setting("127.0.0.1", "Address on which `headroom gateway` listens")
    gateway_port: int = _setting(6068, "Port of the same", "port", ge=1, le=65_535)
    gateway_keys: Path | None = _setting(
        None, "TOML file of API keys (`headroom gateway key`); without it only on loopback"
    )
    oidc_issuer: str | None = _setting(
        None, "Identity provider whose bearer tokens the gateway takes, as their `iss` has it"
    )
    oidc_audience: str | None = _setting(
        None, "For whom those tokens must be, as their `aud` has it", min_length=1
    )
    oidc_roles: str | None = _setting(
        None, 'Which of our roles are theirs, as JSON: {"credit-managers": "manager"}'
    )
    oidc_roles_claim: str = _setting(
        "roles", "Claim that has the roles, such as realm_access.roles", min_length=1
    )
    oidc_name_claim: str = _setting(
        "preferred_username",
        "Claim that stands in what people do, as `by`; where there is none, `sub`", min_length=1,
    )  # fmt: skip
    oidc_client_id: str | None = _setting(
        None, "Client under which people sign in to the console there; without one, with a key",
        min_length=1,
    )  # fmt: skip
    oidc_client_secret: SecretStr | None = _setting(
        None, "Secret of that client; a public one has none"
    )
    console_url: str | None = _setting(
        None,
        "Where browsers find the console: https://host; for links in alerts, and for people who "
        "signed in elsewhere to come back to",
    )
    gateway_timeout_seconds: float = _setting(
        1.0, "How long a request waits for a decision, where it does not say", "seconds",
        ge=0.05, le=30,
    )  # fmt: skip
    gateway_at_once: int = _setting(
        32, "Requests that may wait for a decision; more are told to come back", "requests",
        ge=1, le=100_000,
    )  # fmt: skip
    console_secret: SecretStr | None = _setting(
        None,
        "Encrypts who is signed in to the console, 32 characters or more, the same for all "
        "gateways; the first of several, by comma; without one, sessions end with the gateway",
    )
    console_session_hours: float = _setting(
        10.0, "How long somebody who signed in to the console stays so", "hours", ge=0.1, le=168
    )
    alert_routes: Path | None = _setting(
        None, "TOML file that says who is told of which alert; without one nobody is"
    )
    alert_sender: str | None = _setting(
        None, "Sender of mails about alerts (HEADROOM_CREDITOR_EMAIL)"
    )
    mollie_key: SecretStr | None = _setting(
        None, "Key of Mollie's API, with which customers can pay online there"
    )
    mollie_url: str | None = _setting(None, "Another address of that API than Mollie's own")
    laws_dir: Path | None = _setting(
        None, "Directory of tables of laws (TOML) that stand in for the shipped ones or add to them"
    )
    schema_registry_url: str | None = _setting(
        None, "Confluent-compatible schema registry; without it ids come from the lock file"
    )
    web_host: str = _setting("127.0.0.1", "Address of the worker's /metrics, /livez and /readyz")
    web_port: int = _setting(6066, "Port of the same", "port", ge=1, le=65_535)
    log_level: Literal["debug", "info", "warning", "error"] = _setting("info", "What is logged")
    log_format: Literal["text", "json"] = _setting(
        "text", "How: lines for people, or one JSON object a line for machines"
    )
    otlp_endpoint: str | None = _setting(
        None,
        "Collector of traces (OTLP over HTTP), `http[s]://host:port`; without one none are made",
    )
    trace_sample: float = _setting(
        0.01, "Orders that are traced, of those whose sender did not decide it: 0 to 1", "share",
        ge=0, le=1,
    )  # fmt: skip

    # ── ClickHouse ──
    clickhouse_dsn: SecretStr | None = _setting(
        None, "ClickHouse server, `http[s]://user:password@host:port`; else the embedded engine"
    )
    clickhouse_cluster: str | None = _setting(
        None, "Cluster on which the tables are replicated and divided, as the server's "
        "`remote_servers` names it; else they are on one server",
        pattern=r"^[A-Za-z0-9_.{}-]+$",
    )  # fmt: skip
    sink_batch_rows: int = _setting(
        10_000, "Rows that make a batch for ClickHouse", "rows", ge=1, le=10_000_000
    )
    sink_batch_seconds: float = _setting(
        1.0, "Time after which a smaller batch is written too", "seconds", gt=0, le=3600
    )

    # ── embedded parts ──
    embedded_dir: Path = _setting(
        Path(".headroom"), "Directory in which the embedded broker, registry and engine keep data"
    )
    cache_dir: Path = _setting(user_cache_directory, "Directory for downloads, shared by projects")
    java: Path | None = _setting(
        None, "Java for the embedded broker (17 or newer) and registry (21 or newer); else our own"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_what_depends(cls, given: dict[str, Any]) -> dict[str, Any]:
        worker, guarantee = (
            given.get(name, cls.model_fields[name].default) for name in ("worker_name", "guarantee")
        )
        return _dependent_defaults(given.get("kafka_bootstrap"), worker, guarantee) | given

    @field_validator("kafka_bootstrap")
    @classmethod
    def _check_brokers(cls, value: str | None) -> str | None:
        for broker in (value or "").split(",") if value is not None else ():
            if not re.fullmatch(r"\s*(\[[0-9a-fA-F:]+\]|[^\s:/]+):\d{1,5}\s*", broker):
                raise ValueError(f"{broker!r} is not host:port")
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("is no time zone, such as Europe/Amsterdam")
        return value

    @field_validator("schema_registry_url", "otlp_endpoint")
    @classmethod
    def _check_address(cls, value: str | None) -> str | None:
        if value is not None:
            _check_url(value)
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _check_issuer(cls, value: str | None) -> str | None:
        if value is not None:
            _check_url(value)
            if not is_trusted(value):
                raise ValueError("is not https://; whoever is on the way could pretend to be it")
        return value

    @field_validator("clickhouse_dsn")
    @classmethod
    def _check_dsn(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            _check_url(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _check_together(self) -> Settings:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_mechanism and self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                f"{PREFIX}KAFKA_SECURITY_PROTOCOL={self.kafka_security_protocol} also needs "
                f"{PREFIX}KAFKA_SASL_MECHANISM, _USERNAME and _PASSWORD"
            )
        if self.oidc_issuer is not None and not (self.oidc_audience and self.oidc_roles):
            raise ValueError(
                f"{PREFIX}OIDC_ISSUER also needs {PREFIX}OIDC_AUDIENCE and {PREFIX}OIDC_ROLES"
            )
        if self.oidc_client_id is not None and not (self.oidc_issuer and self.console_url):
            raise ValueError(
                f"{PREFIX}OIDC_CLIENT_ID also needs {PREFIX}OIDC_ISSUER and {PREFIX}CONSOLE_URL"
            )
        if self.oidc_client_id is not None and not is_trusted(self.console_url or ""):
            raise ValueError(f"{PREFIX}CONSOLE_URL is not https://: nobody can sign in there")
        if self.min_insync_replicas > self.replication_factor:
            raise ValueError(
                f"{PREFIX}MIN_INSYNC_REPLICAS={self.min_insync_replicas} is above "
                f"{PREFIX}REPLICATION_FACTOR={self.replication_factor}: nothing could be written"
            )
        return self


def _check_url(text: str) -> None:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname:
        # The text itself may hold a password, so it is not repeated.
        raise ValueError("is not of the form http[s]://host[:port]")


def is_trusted(url: str) -> bool:
    """Whether what comes from there can be believed: over TLS, or from this machine."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (
        parts.scheme == "http" and parts.hostname is not None and is_loopback(parts.hostname)
    )


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's, for itself alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings() -> Settings:
    """The settings of this process.

    Raises:
        ConfigurationError: a value or a variable's name is wrong; the message names each of them.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    ours = sorted(name for name in os.environ if name.upper().startswith(PREFIX))
    wrong = [_unknown_name(name, known) for name in ours if name.upper() not in known]
    try:
        settings = Settings()
    except ValidationError as error:
        wrong += [_in_one_line(detail) for detail in error.errors()]
    if wrong:
        raise ConfigurationError("; ".join(wrong))
    return settings


def _dependent_defaults(
    kafka_bootstrap: str | None, worker_name: str, guarantee: str
) -> dict[str, Any]:
    """Defaults that follow from other settings or from the machine."""
    embedded = not kafka_bootstrap
    return {
        "replication_factor": 1 if embedded else 3,
        "min_insync_replicas": 1 if embedded else 2,
        "instance_id": f"{socket.gethostname()}-{worker_name}",
        "commit_interval_seconds": 0.05 if guarantee == "exactly_once" else 0.5,
    }


def _unknown_name(name: str, known: set[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415  only somebody who mistyped pays for it

    near = get_close_matches(name.upper(), sorted(known), n=1)
    return f"{name} is no setting" + (f"; did you mean {near[0]}?" if near else "")


def _in_one_line(detail: Any) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not detail["loc"]:
        return message
    name = str(detail["loc"][0])
    field = Settings.model_fields[name]
    shown = "" if "SecretStr" in str(field.annotation) else f"={detail['input']}"
    return f"{PREFIX}{name.upper()}{shown}: {message[:1].lower()}{message[1:]}"


@dataclass(frozen=True)
class SettingLine:
    """One setting as `headroom doctor` shows it. Secrets are masked."""

    name: str
    value: str | None
    default: str | None
    unit: str
    source: Literal["environment", "default"]
    description: str


def describe(settings: Settings) -> list[SettingLine]:
    """Every setting with its value, default, unit, source and meaning, in the order above."""
    dependent = _dependent_defaults(
        settings.kafka_bootstrap, settings.worker_name, settings.guarantee
    )
    lines = []
    for name, field in Settings.model_fields.items():
        default = dependent.get(name, field.get_default(call_default_factory=True))
        extra = field.json_schema_extra
        lines.append(
            SettingLine(
                name=PREFIX + name.upper(),
                value=_shown(getattr(settings, name)),
                default=_shown(default),
                unit=str(extra.get("unit", "")) if isinstance(extra, dict) else "",
                source="environment" if os.environ.get(PREFIX + name.upper()) else "default",
                description=field.description or "",
            )
        )
    return lines


def _shown(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, SecretStr):
        return SECRET
    return re.sub(r"(://)[^/@]+@", rf"\1{SECRET}@", str(value))
