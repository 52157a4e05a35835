"""Pipeline: where events wait, and why."""

from __future__ import annotations

from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.frame import agents, brokers, framed, workers
from deploy.grafana.panels import (
    ANY_IS_BAD,
    GREEN,
    ORANGE,
    RED,
    Field,
    Panels,
    lines,
    number,
    worse_below,
)
from deploy.grafana.queries import of, of_broker, promql

_GROUP = 'group=~"$agent"'
_LAG = of("headroom_consumer_lag_seconds", 'partition=~"($agent)/.+"')
_COMMITS = "headroom_commit_seconds"
_RECOVERIES = "headroom_recovery_seconds"


def board() -> Dashboard:
    return framed(
        "pipeline",
        "Each agent, its partitions, what it commits and restores; the way to ClickHouse; the brokers below.",
        [
            ("Agents", _agents()),
            ("Commits and recovery", _commits()),
            ("Into ClickHouse, and what is refused", _sink()),
            ("Processes", _processes()),
            ("Brokers", _brokers()),
        ],
        variables=[*workers(), agents(), *brokers()],
        since="now-1h",
        refresh="10s",
    )


def _agents() -> Panels:
    return [
        lines(
            promql(
                f"sum by (topic) (rate({of('headroom_events_total')}[$__rate_interval]))",
                "{{topic}}",
            ),
            stacked=True,
            title="Events taken in",
            about="Events in a second, by topic.",
            unit="eps",
        ),
        lines(
            promql(f"max by (partition) ({_LAG})", "{{partition}}"),
            levels=((None, GREEN), (30, RED)),
            title="How far behind, by partition",
            about="Age of the last record taken in, while there are more; 0 when there are none.",
            unit="s",
            runbook="HeadroomLagging",
        ),
        lines(
            promql(f"count by (instance) ({_LAG})", "{{instance}}"),
            span=8,
            title="Partitions of each worker",
            about="Who has how many: it should be about the same for all.",
            unit="none",
        ),
        lines(
            promql(f"sum by (group) ({of('headroom_held_partitions', _GROUP)})", "{{group}}"),
            levels=ANY_IS_BAD,
            span=8,
            title="Partitions that stand still",
            about="Held, since too much of them went to the dead letters.",
            unit="none",
            runbook="HeadroomPartitionHeld",
        ),
        lines(
            promql(
                f"sum by (type) (rate({of('headroom_events_total')}[$__rate_interval]))", "{{type}}"
            ),
            span=8,
            title="Events by type",
            about="Events in a second that were taken in, over all topics: what intake takes, credit takes again.",
            unit="eps",
        ),
    ]


def _commits() -> Panels:
    return [
        lines(
            promql(_quantile(0.5, _COMMITS), "half of all"),
            promql(_quantile(0.99, _COMMITS), "99 %"),
            span=8,
            title="Time of a commit",
            about="A partition's group commit, from frozen state to durable.",
            unit="s",
        ),
        lines(
            promql(
                f"sum(rate({of('headroom_commit_seconds_count')}[$__rate_interval]))", "commits"
            ),
            span=8,
            title="Commits",
            about="Group commits in a second, over all partitions.",
            unit="ops",
        ),
        lines(
            promql(f"max by (group) ({of('headroom_opening_seconds', _GROUP)})", "{{group}} opens"),
            promql(_mean(_RECOVERIES), "restored, on average"),
            levels=((None, GREEN), (60, RED)),
            span=8,
            title="Recovery",
            about="For how long the partition has been opened that was begun first, and how long it took from a partition"
            " assigned to its first record, on average since the workers were started.",
            unit="s",
            runbook="HeadroomRecoveryTooLong",
        ),
    ]


def _sink() -> Panels:
    return [
        lines(
            promql(f"max by (table) ({of('headroom_sink_lag_seconds')})", "{{table}}"),
            levels=((None, GREEN), (300, RED)),
            title="How far ClickHouse is behind",
            about="Age of the newest row written, while there are more to write, by table.",
            unit="s",
            runbook="HeadroomSinkBehind",
        ),
        number(
            promql(f"max({of('headroom_clickhouse_away')})"),
            levels=ANY_IS_BAD,
            height=8,
            title="ClickHouse away",
            about="1 while ClickHouse takes no rows: they wait in Kafka.",
            unit="none",
            runbook="HeadroomClickHouseAway",
        ),
        lines(
            promql(
                f"sum by (reason) (increase({of('headroom_dead_letters_total')}[$__rate_interval]))"
                ' or label_replace(vector(0), "reason", "none", "", "")',
                "{{reason}}",
            ),
            bars=True,
            span=9,
            title="Dead letters",
            about="Events that were refused, by reason.",
            unit="none",
            runbook="HeadroomDeadLetters",
        ),
    ]


def _processes() -> Panels:
    return [
        lines(
            promql(f"rate({of('process_cpu_seconds_total')}[$__rate_interval])", "{{instance}}"),
            span=8,
            title="Processor time of workers",
            about="Share of one core. The rules run on one thread: near 1 a worker is busy, and more workers help.",
            unit="percentunit",
        ),
        lines(
            promql(of("process_resident_memory_bytes"), "{{instance}}"),
            span=8,
            title="Memory of workers",
            about="What each process holds in memory.",
            unit="bytes",
        ),
        number(
            promql(
                f"min by (certificate) ({of('headroom_certificate_expiry_timestamp_seconds')}) - time()",
                "{{certificate}}",
            ),
            promql(f"time() - max({of('process_start_time_seconds')})", "since the last start"),
            levels=worse_below(30 * 86_400, 14 * 86_400),
            span=8,
            height=8,
            fields=(Field("since the last start", levels=((None, "blue"),)),),
            title="Certificates, and the last start",
            about="How long each certificate is still good that we trust or are shown, and when a worker was started last.",
            unit="s",
            runbook="HeadroomCertificateExpiring",
        ),
    ]


def _brokers() -> Panels:
    server = "kafka_server_"
    in_bytes = of_broker(f"{server}brokertopicmetrics_bytesin_total")
    out_bytes = of_broker(f"{server}brokertopicmetrics_bytesout_total")
    requests = of_broker("kafka_network_requestmetrics_totaltimems", 'quantile="0.99"')
    collections = of_broker("jvm_gc_collection_seconds_sum")
    return [
        number(
            promql(
                f"sum({of_broker(f'{server}replicamanager_underreplicatedpartitions')})",
                "under-replicated",
            ),
            promql(
                f"sum({of_broker(f'{server}replicamanager_underminisrpartitioncount')})",
                "take nothing",
            ),
            promql(
                f"sum({of_broker('kafka_controller_kafkacontroller_offlinepartitionscount')})",
                "offline",
            ),
            levels=ANY_IS_BAD,
            span=6,
            height=8,
            title="Partitions in trouble",
            about="Partitions that lack a replica, that lack so many that nothing can be written, and that have no leader.",
            unit="none",
        ),
        lines(
            promql(f"sum by (instance) (rate({in_bytes}[$__rate_interval]))", "{{instance}} in"),
            promql(f"sum by (instance) (rate({out_bytes}[$__rate_interval]))", "{{instance}} out"),
            span=9,
            title="Bytes in and out",
            about="What brokers take and give, in a second.",
            unit="Bps",
        ),
        lines(
            promql(f"max by (request) ({requests})", "{{request}}"),
            span=9,
            title="Time of requests, 99 %",
            about="99 % of a broker's answers to producers and consumers took at most so long. A consumer that finds"
            " nothing waits on purpose, up to its own limit.",
            unit="ms",
        ),
        lines(
            promql(
                of_broker(f"{server}kafkarequesthandlerpool_requesthandleravgidle_percent"),
                "{{instance}}",
            ),
            levels=((None, RED), (0.2, ORANGE), (0.4, GREEN)),
            span=8,
            title="Idle request handlers",
            about="Share of time in which a broker's request handlers had nothing to do, over the last minute. Below"
            " 0.2 it has too much.",
            unit="percentunit",
        ),
        lines(
            promql(
                f"max by (instance) ({of_broker('jvm_memory_used_bytes', _HEAP)})"
                f" / max by (instance) ({of_broker('jvm_memory_max_bytes', _HEAP)})",
                "{{instance}}",
            ),
            levels=((None, GREEN), (0.9, RED)),
            span=8,
            title="Heap of the brokers' JVM",
            about="Share of the heap that is in use. It rises and falls; what counts is how far it falls.",
            unit="percentunit",
        ),
        lines(
            promql(f"sum by (instance) (rate({collections}[$__rate_interval]))", "{{instance}}"),
            levels=((None, GREEN), (0.1, RED)),
            span=8,
            title="Time spent on garbage collection",
            about="Share of time in which a broker's JVM collected garbage and did nothing else.",
            unit="percentunit",
        ),
    ]


_HEAP = 'area="heap"'


def _quantile(share: float, histogram: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({of(f'{histogram}_bucket')}[$__rate_interval])))"


def _mean(histogram: str) -> str:
    return f"sum({of(f'{histogram}_sum')}) / sum({of(f'{histogram}_count')})"
