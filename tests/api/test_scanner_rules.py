"""Tests of /scanner-rules/: each file parses, and finds keys of all kinds but no near misses.

`make clients` runs the scanners themselves.
"""

import json
import re
import tomllib
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import yaml
from django.test import Client, SimpleTestCase, override_settings
from django.urls import resolve

from apikeys.plaintext import new_plaintext
from notices.leaks.queue import work_off
from tests.support.cast import ApiTestCase
from tests.support.exposed import CONTEXTS, GLUED, near_misses
from web.output.scanner_rules import RULE_FILES


def plugin(text: str) -> Any:
    names: dict[str, Any] = {}
    exec(compile(text, "reachscore_detector.py", "exec"), names)
    return names["ReachScoreDetector"]()


def of_github(text: str) -> str:
    fields = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    parts = ("Before secret", "Secret format", "After secret")
    return "".join(f"(?:{fields[part]})" for part in parts).replace(r"\z", r"\Z")


def of_gitguardian(text: str) -> str:
    (matcher,) = yaml.safe_load(text)["matchers"]
    default = "(?<![_a-zA-Z0-9])"  # The documented look_behind.
    return f"{default}{matcher['pattern']}{matcher['look_ahead']}"


# The regular expression that the tool takes out of its file.
PATTERNS: dict[str, Callable[[str], str]] = {
    "gitleaks": lambda text: tomllib.loads(text)["rules"][0]["regex"],
    "kingfisher": lambda text: yaml.safe_load(text)["rules"][0]["pattern"],
    "trufflehog": lambda text: yaml.safe_load(text)["detectors"][0]["regex"]["key"],
    "detect-secrets": lambda text: plugin(text).denylist[0].pattern,
    "secretlint": lambda text: json.loads(text)["rules"][1]["options"]["patterns"][0]["patterns"][
        0
    ][1:-1],
    "github": of_github,
    "gitguardian": of_gitguardian,
    "trivy": lambda text: yaml.safe_load(text)["rules"][0]["regex"],
}


class ScannerRulesTests(SimpleTestCase):
    def file(self, tool: str) -> str:
        return self.client.get(f"/scanner-rules/{tool}").content.decode()

    def test_page_lists_each_file_with_the_command_that_gets_it(self):
        text = self.client.get("/scanner-rules/").content.decode()
        self.assertEqual(set(PATTERNS), set(RULE_FILES))
        for tool, row in RULE_FILES.items():
            self.assertIn(f'<a href="/scanner-rules/{tool}">', text)
            self.assertIn(f"curl -o {row['file']} http://testserver/scanner-rules/{tool}", text)
        for path in ("/docs", "/docs/errors", "/docs/guides/keys.md", "/llms.txt"):
            self.assertContains(self.client.get(path), "/scanner-rules/")

    def test_file_is_read_only_public_text_with_a_name_and_an_etag(self):
        for tool, row in RULE_FILES.items():
            url = f"/scanner-rules/{tool}"
            first, head = self.client.get(url), self.client.head(url)
            again = self.client.get(url, headers={"if-none-match": first["ETag"]})
            answers = [first, head, again, self.client.post(url)]
            self.assertEqual([each.status_code for each in answers], [200, 200, 304, 405], tool)
            self.assertEqual(first["Content-Type"], "text/plain; charset=utf-8")
            self.assertEqual(first["Content-Disposition"], f'inline; filename="{row["file"]}"')
            self.assertEqual(head["Content-Length"], str(len(first.content)))

    def test_unknown_tool_is_a_404_page(self):
        for tool in ("nothing", "gitleaks/", "GITLEAKS", "..", "%00", "gitleaks.toml"):
            answer = self.client.get(f"/scanner-rules/{tool}")
            self.assertContains(answer, "There is no such page", status_code=404)
        self.assertRedirects(self.client.get("/scanner-rules"), "/scanner-rules/", 301)

    @override_settings(PUBLIC_URL="https://keys.example:8443")
    def test_urls_in_a_file_are_of_public_url_and_lead_somewhere(self):
        for tool in RULE_FILES:
            text = self.file(tool)
            self.assertNotRegex(text, r"\{(shape|url)\}|testserver")
            for url in re.findall(r"https?://[^\s\"]+", text):
                self.assertTrue(url.startswith("https://keys.example:8443/"), url)
                self.assertNotEqual(resolve(urlsplit(url).path).url_name, "unknown", url)

    def test_regular_expression_of_every_file_finds_fresh_keys_and_no_near_misses(self):
        for tool, find in PATTERNS.items():
            pattern = re.compile(find(self.file(tool)))
            takes_glued = tool not in ("github", "gitguardian")  # Their own bounds go before it.
            for livemode in (True, False):
                for line in (*CONTEXTS.values(), *(GLUED if takes_glued else ())):
                    key = new_plaintext(livemode=livemode)
                    found = pattern.search(line.format(key=key, n=1))
                    self.assertTrue(found and key in found[0], (tool, line))
            for near in near_misses():
                for line in CONTEXTS.values():
                    self.assertNotRegex(line.format(key=near, n=1), pattern, (tool, near))

    def test_keywords_of_every_file_are_in_every_key(self):
        for tool in ("gitleaks", "trufflehog", "gitguardian", "trivy"):
            self.assertRegex(self.file(tool), r'\["?rk_live_"?, "?rk_test_"?\]', tool)

    def test_detect_secrets_loads_the_plugin_and_names_the_key(self):
        key = new_plaintext(livemode=True)
        (found,) = plugin(self.file("detect-secrets")).analyze_line("a.env", f"KEY={key}", 1)
        self.assertEqual((found.type, found.secret_value), ("ReachScore API key", key))
        self.assertIn("is_indirect_reference", self.file("detect-secrets"))


class KingfisherTests(ApiTestCase):
    def test_requests_of_the_file_find_a_key_alive_and_kill_it(self):
        _, client = self.issue()
        text = self.client.get("/scanner-rules/kingfisher").content.decode()
        (rule,) = yaml.safe_load(text.replace("{{ TOKEN }}", client.key))["rules"]

        def succeeds(part: str) -> bool:
            request = rule[part]["content"]["request"]
            answer = Client().generic(
                request["method"],
                urlsplit(request["url"]).path,
                request.get("body", ""),
                headers={"accept": "text/html,*/*;q=0.8", **request["headers"]},  # Its own.
            )
            return answer.status_code in request["response_matcher"][-1]["status"]

        self.assertTrue(succeeds("validation"))
        self.assertTrue(succeeds("revocation"))
        while work_off():
            pass
        self.assertFalse(succeeds("validation"))
        self.assertRefused(client.get("/v1/auth/me"), 401, "api_key_invalid")
