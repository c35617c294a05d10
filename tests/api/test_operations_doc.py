"""Tests of what operators are given: alerts, dashboard and docs/operations.md name what exists."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from django.urls import resolve

from notices.leaks.receiver import ORIGINS
from notices.models import LaneName
from tests.support.demo_server import ROOT
from web.errors.catalogue import CATALOGUE
from web.telemetry.metrics import REGISTRY

DOC = (ROOT / "docs" / "operations.md").read_text()
RULES = ROOT / "deploy" / "prometheus-rules.yml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text())
ALERTS = re.split(r"^ +- (?=alert: )", RULES.read_text(), flags=re.MULTILINE)[1:]
SHOWN = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
SEVERITY = {
    re.findall(r"alert: (\w+)", alert)[0]: re.findall(r"severity: (\w+)", alert)[0]
    for alert in ALERTS
}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed here")

# Series by the minute while all is well; and by alert, those that make it fire.
OK = 'reachscore_authentications_total{result="ok"}'
AUTH_ME = 'reachscore_requests_total{route="v1/auth/me",status="%s"}'
BUCKET = 'reachscore_request_seconds_bucket{route="v1/auth/me",le="%s"}'
WARNING = 'reachscore_warnings{kind="%s"}'
HEALTHY = {
    'probe_success{job="reachscore-ready",instance="a"}': "1x120",
    'up{job="reachscore",instance="a"}': "1x120",
    OK: "0+600x120",
    'reachscore_authentications_total{result="api_key_invalid"}': "0+6x120",
    AUTH_ME % 200: "0+600x120",
    AUTH_ME % 503: "0+1x120",
    'reachscore_requests_total{route="readyz",status="503"}': "0+60x120",
    BUCKET % "0.25": "0+600x120",
    BUCKET % "0.5": "0+600x120",
    BUCKET % "+Inf": "0+600x120",
    WARNING % "commits_waiting": "0x120",
    WARNING % "settings_differing": "0x120",
    WARNING % "deliver_missing": "0x120",
    'reachscore_deliver_oldest_seconds{lane="reports"}': "1x120",
    'reachscore_deliver_oldest_seconds{lane="mails"}': "300x120",
    'reachscore_deliver_ended{result="failed"}': "7x120",
    "reachscore_oldest_snapshot_transactions": "900x120",
    'reachscore_database_errors_total{error="operational"}': "0+1x120",
}
FIRE = {
    "ReachScoreAllDown": {'probe_success{job="reachscore-ready",instance="a"}': "0x120"},
    "ReachScoreInstanceDown": {'probe_success{job="reachscore-ready",instance="b"}': "0x120"},
    "ReachScoreMetricsMissing": {'up{job="reachscore",instance="b"}': "0x120"},
    "ReachScoreErrors": {AUTH_ME % 503: "0+60x120"},
    "ReachScoreNobodyGetsIn": {OK: "0+600x60 36000x60"},
    "ReachScoreCommitsWait": {WARNING % "commits_waiting": "0x60 3x60"},
    "ReachScoreDeliverMissing": {WARNING % "deliver_missing": "0x100 1x20"},
    "ReachScoreReportsWait": {'reachscore_deliver_oldest_seconds{lane="reports"}': "1x60 0+60x60"},
    "ReachScorePartnersUnheard": {
        'reachscore_leak_reports_total{origin="github",result="temporarily_unavailable"}': "0+1x120"
    },
    "ReachScoreMailsWait": {'reachscore_deliver_oldest_seconds{lane="mails"}': "0+60x120"},
    "ReachScoreMailsFailed": {'reachscore_deliver_ended{result="failed"}': "7x100 8x20"},
    "ReachScoreSlow": {BUCKET % "0.25": "0+500x120"},
    "ReachScoreSnapshotOld": {"reachscore_oldest_snapshot_transactions": "0+1000x120"},
    "ReachScoreDatabaseErrors": {
        'reachscore_database_errors_total{error="operational"}': "0+60x120"
    },
    "ReachScoreBug": {AUTH_ME % 500: "_x110 1x10"},
    "ReachScoreInvalidKeys": {
        'reachscore_authentications_total{result="api_key_invalid"}': "0+900x120"
    },
    "ReachScoreMisconfigured": {WARNING % "settings_differing": "0x60 1x60"},
}
ALSO = {
    "ReachScoreAllDown": {"ReachScoreInstanceDown"},
    "ReachScoreNobodyGetsIn": {"ReachScoreInvalidKeys"},
}


def test_alerts_and_dashboard_use_metrics_labels_and_values_that_exist():
    types = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "gauge": ("",)}
    ours = {family.name + suffix for family in REGISTRY.collect() for suffix in types[family.type]}
    kinds = set(re.findall(r'yield "(\w+)"', (ROOT / "reachscore" / "health.py").read_text()))
    known: dict[str, set[str]] = {
        "result": CATALOGUE.keys() | {"ok", "delivered", "failed"},
        "lane": {lane.value for lane in LaneName},
        "origin": set(ORIGINS),
        "kind": kinds,
        "job": {"reachscore", "reachscore-ready"},
        "le": {"2.5"},
    }
    expressions = "\n".join([*ALERTS, *SHOWN])
    named = set(re.findall(r"\b(?:reachscore|probe)_\w+|\bup\b", expressions))
    assert len(named) > 6
    assert named <= ours | {"up", "probe_success"}
    written = re.findall(r"`(reachscore_\w+?)(?:\{\w+=\"(\w+)\"\})?`", DOC)
    assert {name for name, _ in written} <= ours
    assert {value for _, value in written} <= kinds | {""}
    for label, values in re.findall(r'(\w+)=~?"([\w/.|-]+)"', expressions):
        if label == "route":
            assert resolve(f"/{values}").route == values
        elif label == "status":
            assert any(re.fullmatch(values, status) for status in ("429", "500", "503"))
        else:
            assert set(values.split("|")) <= known[label], (label, values)


def test_every_alert_is_explained_with_its_severity():
    explained = dict(re.findall(r"^\| `(\w+)` \((\w+)\)", DOC, re.MULTILINE))
    assert explained == SEVERITY
    assert set(FIRE) == set(SEVERITY)
    assert set(SEVERITY.values()) == {"page", "ticket"}


def promtool(folder: Path, *args: str, **files: object) -> None:
    """Write files, as JSON if they are no text, and run promtool there."""
    assert PROMTOOL
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / f"{name}.yml").write_text(text)
    done = subprocess.run(
        [PROMTOOL, *args], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_accepts_rules_dashboard_and_configuration(tmp_path: Path):
    (block,) = re.findall(r"```yaml\n(.*?)```", DOC, re.DOTALL)
    block = block.replace("/etc/prometheus/reachscore-rules.yml", str(RULES))
    (tmp_path / "token").write_text("a token")
    block = block.replace("/etc/prometheus/reachscore-token", str(tmp_path / "token"))
    promtool(tmp_path, "check", "config", "prometheus.yml", prometheus=block)
    rules = [
        {"record": f"shown:{number}", "expr": shown.replace("$__rate_interval", "1m")}
        for number, shown in enumerate(SHOWN)
    ]
    groups = {"groups": [{"name": "dashboard", "rules": rules}]}
    promtool(tmp_path, "check", "rules", "shown.yml", shown=groups)


@needs_promtool
def test_each_alert_fires_for_its_fault_and_none_without_one(tmp_path: Path):
    def case(series: dict[str, str], fires: set[str]) -> dict[str, object]:
        names = 'count by (alertname) (ALERTS{alertstate="firing"})'
        samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in sorted(fires)]
        return {
            "interval": "1m",
            "input_series": [
                {"series": name, "values": values} for name, values in (HEALTHY | series).items()
            ],
            "promql_expr_test": [{"expr": names, "eval_time": "115m", "exp_samples": samples}],
        }

    tests = [case({}, set())]
    tests += [case(series, {name} | ALSO.get(name, set())) for name, series in FIRE.items()]
    cases = {"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}
    promtool(tmp_path, "test", "rules", "cases.yml", cases=cases)


def test_commands_for_the_night_need_no_variable_of_an_earlier_shell():
    """A new shell: a block that used `$name` of the set-up would have emptied etcd's file."""
    ha = (ROOT / "docs" / "ha.md").read_text()
    assert "\n## On call\n" in ha
    blocks = re.findall(r"```sh\n(.*?)```", ha.split("\n## On call\n")[1] + DOC, re.DOTALL)
    assert len(blocks) > 15
    for block in blocks:
        assert set(re.findall(r"\$(\w+)", block)) <= set(re.findall(r"\b(\w+)=", block)), block


def test_every_parameter_of_the_patroni_cluster_is_explained():
    ha = (ROOT / "docs" / "ha.md").read_text().split("\n## The way to the database\n")[0]
    patroni = (ROOT / "deploy" / "ha" / "patroni.yml").read_text()
    dcs = patroni.split("  dcs:\n")[1].split("  initdb:\n")[0]
    words = set(re.findall(r"^ +(\w+):", dcs, re.MULTILINE)) - {"postgresql", "parameters"}
    assert len(words) > 14
    assert {word for word in words if word not in ha} == set()
