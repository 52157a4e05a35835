"""Every check of an installation, run at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

from agents.doctor import clickhouse, kafka, rules, services
from agents.doctor.clock import CHECK as CLOCK
from agents.doctor.clock import DO as SET_CLOCK
from agents.doctor.clock import clock_finding
from agents.doctor.disk import directory_findings, secret_file_findings
from agents.doctor.findings import Check, Finding, run_all
from agents.roster import sends_letters
from streams.embedded import apicurio
from streams.embedded import kafka as embedded_kafka
from streams.embedded.java import find_java, java_version
from streams.settings import Settings

SECONDS = 20.0
"""More than the bounds of what a check asks for, one after the other."""
_DAY_SECONDS = 86_400


def examine(settings: Settings) -> list[Finding]:
    """Run every check; none of them changes anything, and all have ended within seconds."""
    return run_all(list(_checks(settings)), SECONDS)


def _checks(settings: Settings) -> Iterator[Check]:
    today = int(time.time() // _DAY_SECONDS)
    yield Check("java", lambda: [_java(settings)], "see HEADROOM_JAVA")
    yield Check(kafka.CHECK, lambda: kafka.kafka_findings(settings), kafka.DO)
    url = settings.schema_registry_url
    if url:
        yield Check("registry", lambda: services.registry_findings(url), services.REGISTRY_DO)
    keys = settings.gateway_keys
    if keys is not None:
        yield Check("gateway_keys", lambda: services.key_findings(keys), services.KEYS_DO)
    if settings.oidc_issuer is not None:
        yield Check("oidc", lambda: services.issuer_findings(settings), services.ISSUER_DO)
    yield Check(clickhouse.CHECK, lambda: clickhouse.clickhouse_findings(settings), clickhouse.DO)
    yield Check("policy", lambda: rules.policy_findings(settings, today), rules.POLICY_DO)
    yield Check("dunning", lambda: rules.dunning_findings(settings, today), rules.DUNNING_DO)
    carriers = list(services.carrier_checks(settings))
    if sends_letters(settings):
        yield Check("letters", lambda: rules.letter_findings(settings), rules.LETTERS_DO)
    yield from carriers
    if settings.alert_routes is not None:
        yield Check("alerts", lambda: services.alert_findings(settings), services.ALERTS_DO)
    yield Check(
        "certificates", lambda: services.certificate_findings(settings), "see HEADROOM_KAFKA_SSL_*"
    )
    yield Check(CLOCK, lambda: [clock_finding()], SET_CLOCK)
    yield Check("disk", lambda: directory_findings(settings), "see HEADROOM_STATE_DIR")
    yield Check("files", lambda: secret_file_findings(settings), "see HEADROOM_SFTP_KEY")


def _java(settings: Settings) -> Finding:
    if settings.kafka_bootstrap:
        return Finding("java", "ok", "not needed: the settings name a broker")
    program = find_java(settings.java, embedded_kafka.JAVA_AT_LEAST)
    version = java_version(program)
    if version < apicurio.JAVA_AT_LEAST:
        text = f"Java {version} runs the broker, but a registry needs {apicurio.JAVA_AT_LEAST}"
        return Finding("java", "warning", text, "install a newer one, or unset HEADROOM_JAVA")
    return Finding("java", "ok", f"Java {version} at {program}")
