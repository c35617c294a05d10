"""Tests of the gateways that cannot run here: the questions that their files make them ask.

What each sends and passes on stands in its own documentation; the rest is read from the files.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import yaml
from django.test import override_settings

from apikeys.models import ApiKey
from tests.api.test_forward_auth import TOKEN
from tests.support.cast import ApiTestCase
from tests.support.gateways import FOLDER

ADDRESS = "192.0.2.7"
IDENTITY = ("Organization", "Key", "Livemode", "Plan", "Scopes", "Principal")
FORGED = {f"ReachScore{s}{name}": "forged" for s in "-_." for name in (*IDENTITY, "Require")} | {
    "X-Forwarded-Method": "GET",
    "X_Forwarded_Method": "GET",
    "X-Original-Method": "GET",
    "ReachScore_Gateway": "forged",
    "Connection": "close, ReachScore-Key",
}


class Question(NamedTuple):
    """What a gateway asks, and how it makes the headers that the service behind it gets."""

    method: str
    path: str
    headers: dict[str, str]
    passes: Callable[[dict[str, str]], dict[str, str]]


def only(headers: dict[str, str], names: list[str]) -> dict[str, str]:
    wanted = [name.lower() for name in names]
    return {name: value for name, value in headers.items() if name.lower() in wanted}


def traefik(method: str, path: str, client: dict[str, str]) -> Question:
    http = yaml.safe_load((FOLDER / "traefik.yaml").read_text())["http"]
    first, then = (http["middlewares"][name] for name in http["routers"]["tests"]["middlewares"])
    asks = first["forwardAuth"]
    assert asks["trustForwardHeader"] is False
    told = {
        "For": ADDRESS,
        "Method": method,
        "Proto": "https",
        "Host": "tests.example.com",
        "Uri": path,
    }
    headers = only(client, asks["authRequestHeaders"])
    headers |= {f"X-Forwarded-{name}": value for name, value in told.items()}

    def passes(answer: dict[str, str]) -> dict[str, str]:
        # Go's syntax of regular expressions; names in Go's canonical form.
        ours = re.compile(asks["authResponseHeadersRegex"])
        passed = {name: value for name, value in client.items() if not ours.search(name.title())}
        passed |= {name: value for name, value in answer.items() if ours.search(name.title())}
        removed = [n for n, v in then["headers"]["customRequestHeaders"].items() if v == ""]
        passed = {name: value for name, value in passed.items() if name not in removed}
        dropped = passed.get("Connection", "").lower().split(", ")
        return {name: value for name, value in passed.items() if name.lower() not in dropped}

    address = urlsplit(asks["address"])
    return Question("GET", f"{address.path}?{address.query}", headers, passes)


def envoy(method: str, path: str, client: dict[str, str]) -> Question:
    config = yaml.safe_load((FOLDER / "envoy.yaml").read_text())
    (filters,) = config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
    manager = filters["typed_config"]
    underscores = manager["common_http_protocol_options"]["headers_with_underscores_action"]
    assert underscores == "REJECT_REQUEST"
    client = {name: value for name, value in client.items() if "_" not in name}
    mutation, asks, _ = (item["typed_config"] for item in manager["http_filters"])
    (matcher,) = mutation["mutations"]["request_mutations"]
    prefix = matcher["remove_on_match"]["key_matcher"]["prefix"]
    client = {n: value for n, value in client.items() if not n.lower().startswith(prefix)}
    (host,) = manager["route_config"]["virtual_hosts"]
    (route,) = host["routes"]
    (of_route,) = route["typed_per_filter_config"].values()
    added = of_route["mutations"]["request_mutations"][0]["append"]["header"]
    value = added["value"].replace("TOKEN", TOKEN)
    client[added["key"]] = value.replace("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", ADDRESS)
    assert asks["failure_mode_allow"] is False
    allowed = [pattern["exact"] for pattern in asks["allowed_headers"]["patterns"]]
    headers = only(client, ["Authorization", *allowed]) | {"Host": "tests.example.com"}

    def passes(answer: dict[str, str]) -> dict[str, str]:
        response = asks["http_service"]["authorization_response"]
        (pattern,) = response["allowed_upstream_headers"]["patterns"]
        ours = {n: v for n, v in answer.items() if n.lower().startswith(pattern["prefix"])}
        removed = host["request_headers_to_remove"]
        return {n: v for n, v in (client | ours).items() if n.lower() not in removed}

    return Question(method, asks["http_service"]["path_prefix"] + path, headers, passes)


def gateway_api(method: str, path: str, client: dict[str, str]) -> Question:
    rules = yaml.safe_load((FOLDER / "gateway-api.yaml").read_text())["spec"]["rules"]
    (rule,) = (rule for rule in rules if method in {match["method"] for match in rule["matches"]})
    before, asks = rule["filters"]
    assert before["type"] == "RequestHeaderModifier"
    assert len(before["requestHeaderModifier"]["remove"]) <= 16  # More are not allowed.
    client = {n: v for n, v in client.items() if n not in before["requestHeaderModifier"]["remove"]}
    client |= {item["name"]: item["value"] for item in before["requestHeaderModifier"]["set"]}
    client["X-Forwarded-For"] = ADDRESS
    http = asks["externalAuth"]["http"]
    headers = only(client, ["Authorization", *http["allowedHeaders"]]) | {
        "Host": "tests.example.com"
    }

    def passes(answer: dict[str, str]) -> dict[str, str]:
        (backend,) = rule["backendRefs"]
        (after,) = backend["filters"]
        passed = client | only(answer, http["allowedResponseHeaders"])
        removed = after["requestHeaderModifier"]["remove"]
        return {name: value for name, value in passed.items() if name not in removed}

    # As NGINX Gateway Fabric asks, and as Envoy does.
    asked_with = "GET" if client.get("User-Agent") == "asks with GET" else method
    return Question(asked_with, http["path"] + path, headers, passes)


WITH_TOKEN = {"GATEWAY_TOKENS": (TOKEN.encode(),), "AUTHZ_REQUIRES_GATEWAY_TOKEN": True}
BY_FORWARDED_FOR = {"TRUSTED_PROXY_COUNT": 1}


@override_settings(SECURE_SSL_REDIRECT=True)
class GatewayFileTests(ApiTestCase):
    def test_path_that_java_servers_read_in_another_way_has_no_route(self):
        routers = yaml.safe_load((FOLDER / "traefik.yaml").read_text())["http"]["routers"]
        (of_traefik,) = re.findall(r" && !PathRegexp\(`(.+)`\)$", routers["tests"]["rule"])
        (of_envoy,) = re.findall(
            r'headers: \[{name: ":path", invert_match: true, '
            r"string_match: {safe_regex: {regex: '(.+)'}}}]\n",
            (FOLDER / "envoy.yaml").read_text(),
        )
        for path, is_refused in (
            *(("/v1/tests/..;/a", True), ("/v1/tests/a/.;x/b?c", True), ("/v1/tests/..;", True)),
            *(("/v1/tests/a..;b", False), ("/v1/tests/a;b", False), ("/v1/tests", False)),
            *(("/v1/tests/...;", False), ("/v1/tests?a=/..;/", False)),
        ):
            with self.subTest(path):
                # Envoy's must match all of path and query, Traefik's a part of the path.
                self.assertEqual(bool(re.fullmatch(of_envoy, path)), is_refused)
                self.assertEqual(bool(re.search(of_traefik, path.partition("?")[0])), is_refused)

    def asked(self, gateway: Callable[..., Question], method: str, path: str, key: str) -> Any:
        """Return the answer, and the names and values that the service behind gets of ours."""
        agent = "asks with GET" if method in ("HEAD", "POST") else "sample/1"
        client = {"Authorization": f"Bearer {key}", "User-Agent": agent, **FORGED}
        question = gateway(method, path, client)
        answer = self.client.generic(question.method, question.path, headers=question.headers)
        passed = question.passes(dict(answer.headers))
        self.assertNotIn(key, str(passed))
        self.assertNotIn(TOKEN, str(passed))
        return answer, {n: v for n, v in passed.items() if re.match("(?i)reachscore", n)}

    def assertIdentity(self, ours: dict[str, str], api_key: ApiKey) -> None:
        ours.pop("ReachScore-Require", None)  # The gateway's own.
        self.assertEqual(set(ours), {f"ReachScore-{name}" for name in IDENTITY})
        self.assertEqual(ours["ReachScore-Key"], api_key.pk)
        self.assertNotIn("forged", ours.values())

    def test_questions_of_each_gateway_are_answered_by_method_and_scope(self):
        reader_key, reader = self.issue(scopes=["tests:read"], allowed_ips=[ADDRESS])
        elsewhere = self.issue(allowed_ips=["203.0.113.7"])[1]
        for gateway, options in (
            (traefik, BY_FORWARDED_FOR),
            (envoy, WITH_TOKEN),
            (gateway_api, BY_FORWARDED_FOR),
        ):
            with self.subTest(gateway.__name__), override_settings(**options):
                for path in ("/v1/tests", "/v1/tests/..%2fa?require=domains:read&mode=test&x=%ff"):
                    for method in ("GET", "HEAD"):
                        answer, ours = self.asked(gateway, method, path, reader.key)
                        self.assertEqual((answer.status_code, answer.content), (200, b""))
                        self.assertIdentity(ours, reader_key)
                    for method in ("POST", "PUT", "PATCH", "DELETE"):
                        answer, _ = self.asked(gateway, method, path, reader.key)
                        self.assertRefused(answer, 403, "insufficient_scope")
                answer, _ = self.asked(gateway, "GET", "/v1/tests", elsewhere.key)
                self.assertRefused(answer, 403, "ip_not_allowed")
                answer, _ = self.asked(gateway, "GET", f"/v1/tests?k={reader.key}", reader.key)
                self.assertRefused(answer, 400, "api_key_in_url")
                answer, _ = self.asked(gateway, "GET", "/v1/tests", "nonsense")
                self.assertRefused(answer, 401, "api_key_invalid")
                self.assertIn("WWW-Authenticate", answer.headers)
