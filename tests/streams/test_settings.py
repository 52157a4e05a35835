"""Settings: one place, every one checked, wrong ones named."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from streams.errors import ConfigurationError
from streams.settings import SECRET, Settings, describe, load_settings

pytestmark = pytest.mark.usefixtures("clean_environment")


def line_of(name: str) -> dict[str, str | None]:
    lines = {line.name: line for line in describe(load_settings())}
    found = lines[name]
    return {"value": found.value, "default": found.default, "source": found.source}


def test_without_any_variable_all_parts_are_embedded() -> None:
    settings = load_settings()
    assert settings.kafka_bootstrap is None
    assert settings.clickhouse_dsn is None
    assert settings.schema_registry_url is None
    assert (settings.replication_factor, settings.min_insync_replicas) == (1, 1)


def test_with_a_cluster_named_topics_are_replicated_three_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HEADROOM_KAFKA_BOOTSTRAP", "a.example:9092,b.example:9092")
    settings = load_settings()
    assert (settings.replication_factor, settings.min_insync_replicas) == (3, 2)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_KAFKA_BOOTSTRAP", "")
    monkeypatch.setenv("HEADROOM_WEB_PORT", "")
    assert load_settings().web_port == 6066
    assert load_settings().replication_factor == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HEADROOM_KAFKA_BOOTSTRAP", "localhost"),
        ("HEADROOM_KAFKA_BOOTSTRAP", "kafka://localhost:9092"),
        ("HEADROOM_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("HEADROOM_PARTITIONS", "0"),
        ("HEADROOM_SESSION_TIMEOUT_SECONDS", "5.9"),
        ("HEADROOM_SESSION_TIMEOUT_SECONDS", "60.1"),
        ("HEADROOM_COMMIT_INTERVAL_SECONDS", "0"),
        ("HEADROOM_GUARANTEE", "at_most_once"),
        ("HEADROOM_MAX_RECORD_BYTES", "many"),
        ("HEADROOM_SCHEMA_REGISTRY_URL", "registry:8081"),
        ("HEADROOM_CLICKHOUSE_DSN", "clickhouse:8123"),
        ("HEADROOM_WEB_PORT", "70000"),
        ("HEADROOM_APP_ID", "with space"),
        ("HEADROOM_LOG_LEVEL", "loud"),
        ("HEADROOM_MIN_INSYNC_REPLICAS", "2"),
    ],
)
def test_a_wrong_value_is_refused_with_the_name_of_the_setting(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable) as refused:
        load_settings()
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_PARTITIONS", "x")
    monkeypatch.setenv("HEADROOM_WEB_PORT", "x")
    monkeypatch.setenv("HEADROOM_NONSENSE", "x")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    for name in ("HEADROOM_PARTITIONS", "HEADROOM_WEB_PORT", "HEADROOM_NONSENSE"):
        assert name in str(refused.value)


def test_a_mistyped_name_is_refused_with_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_KAFKA_BOOTSTRAPS", "a:1")
    with pytest.raises(ConfigurationError, match="did you mean HEADROOM_KAFKA_BOOTSTRAP"):
        load_settings()


def test_a_sasl_protocol_without_credentials_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    with pytest.raises(ConfigurationError, match="HEADROOM_KAFKA_SASL_MECHANISM"):
        load_settings()


def test_a_refusal_does_not_show_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_CLICKHOUSE_DSN", "ftp://me:geheim@host")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert "geheim" not in str(refused.value)


def test_no_one_can_change_a_setting_on_the_way() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.web_port = 1


def test_every_setting_says_what_it_is() -> None:
    lines = describe(load_settings())
    assert [line.name for line in lines] == [
        f"HEADROOM_{name.upper()}" for name in Settings.model_fields
    ]
    assert all(line.description for line in lines)


def test_every_number_says_its_unit() -> None:
    numbers = [
        name for name, field in Settings.model_fields.items() if field.annotation in {int, float}
    ]
    units = {line.name: line.unit for line in describe(load_settings())}
    assert [name for name in numbers if not units[f"HEADROOM_{name.upper()}"]] == []


def test_what_is_set_shows_beside_what_it_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert line_of("HEADROOM_PARTITIONS") == {"value": "4", "default": "4", "source": "default"}
    monkeypatch.setenv("HEADROOM_PARTITIONS", "12")
    assert line_of("HEADROOM_PARTITIONS") == {
        "value": "12",
        "default": "4",
        "source": "environment",
    }


def test_secrets_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_KAFKA_SASL_PASSWORD", "geheim")
    monkeypatch.setenv("HEADROOM_CLICKHOUSE_DSN", "https://me:geheim@host:8443")
    monkeypatch.setenv("HEADROOM_SCHEMA_REGISTRY_URL", "https://me:geheim@registry/")
    settings = load_settings()
    assert "geheim" not in str([line.value for line in describe(settings)])
    assert "geheim" not in repr(settings.clickhouse_dsn)
    assert line_of("HEADROOM_SCHEMA_REGISTRY_URL")["value"] == f"https://{SECRET}@registry/"
