"""The guides' samples: read from the Markdown, run as a reader would, compared with the page."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.demo_server import ROOT, manage

DOCS = ROOT / "docs"
LANGUAGES = ("bash", "python", "javascript")
HOST = "https://api.reachscore.co"

FENCE = re.compile(r"^```(\S+)(?: +([^\n]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run, and nothing else. A key is shown broken off behind its locator.
KEY = r"rk_(?:live|test)_[0-9A-Za-z]{8}_(?:…|[0-9A-Za-z]{38})"
ID = r"(?:key|evt|org|req|rpt)_[0-9A-Za-z]{12,}"
MOMENT = r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\dZ)?"
RATE = r"(?:(?i:ratelimit-(?:remaining|reset)|retry-after)(?:: |=)\d+|\b\d+ s\b)"
VARIABLE = re.compile(f"{KEY}|{ID}|{MOMENT}|{RATE}")
# Takes a sample's code and the environment, and returns what was printed.
Run = Callable[[str, dict[str, str]], str]
# Fields that hold a part of a key, and no more.
PARTS_OF_KEYS = ("locator", "key_hint")


class Mismatch(AssertionError):
    """A sample did not print what the guide shows."""


@dataclass(frozen=True)
class Sample:
    """A fenced block of code, and the output that the guide shows for it."""

    guide: str
    line: int
    language: str
    code: str
    shown_only: str
    output_kind: str  # json, text, or nothing
    output: str

    @property
    def place(self) -> str:
        return f"{self.guide}:{self.line} ({self.language})"


def guides() -> list[Path]:
    """Return the pages that have samples: the guides, and the one of the gateways."""
    return [*sorted((DOCS / "guides").glob("*.md")), DOCS / "gateways.md"]


def samples(text: str, guide: str = "a guide") -> Iterator[Sample]:
    """Yield the samples of a page, in its order. An output belongs to the group before it."""
    fences = list(FENCE.finditer(text))
    for index, fence in enumerate(fences):
        language, more, code = fence.groups()
        if language not in (*LANGUAGES, "sh"):
            continue
        kind = output = ""
        end = fence.end()
        for later in fences[index + 1 :]:
            if text[end : later.start()].strip():
                break
            end = later.end()
            if later[2] in ("response", "output"):
                kind, output = later[1], later[3]
                break
        yield Sample(
            guide,
            text[: fence.start()].count("\n") + 1,
            language,
            code,
            (more or "").partition("shown-only: ")[2],
            kind,
            output,
        )


@dataclass
class Reader:
    """Someone with an organization of their own who follows a page in one language.

    Where the page shows an id or a key, the reader puts in the one that their own call answered.
    """

    url: str
    key: str
    test_key: str
    own: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.environ = {"REACHSCORE_KEY": self.key}
        self.own[HOST] = self.url

    def in_place(self, text: str) -> str:
        """Return the text with the reader's own host, ids and keys."""
        longest_first = sorted(self.own, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, longest_first)), lambda it: self.own[it[0]], text)

    def export(self, code: str) -> None:
        """Set the variables as the lines say; the keys that the reader began with have no name."""
        given = {"rk_live_…": self.key, "rk_test_…": self.test_key}
        for name, value in re.findall(r"^export (\w+)=(\S+)", code, re.MULTILINE):
            self.environ[name] = given.get(value) or self.in_place(value)

    def follow(self, page: Iterable[Sample], language: str, run: Run) -> int:
        """Run the page's samples of the language; return their number. Raise Mismatch."""
        count = 0
        for sample in page:
            if sample.language == "sh":
                self.export(sample.code)
            elif sample.language == language and not sample.shown_only:
                printed = run(self.in_place(sample.code), self.environ)
                try:
                    self.compare(sample, printed)
                except (Mismatch, ValueError) as error:
                    raise Mismatch(
                        f"{sample.place}: {error}\nshown:\n{sample.output}\nprinted:\n{printed}"
                    ) from error
                count += 1
        return count

    def compare(self, sample: Sample, printed: str) -> None:
        """Raise Mismatch if what was printed differs from what the guide shows."""
        if sample.output_kind == "json":
            self._compare_values(json.loads(sample.output), json.loads(printed), at="")
        else:
            shown = sample.output.strip().splitlines()
            lines = printed.replace("\r", "").strip().splitlines()
            if len(shown) != len(lines):
                raise Mismatch(f"{len(lines)} lines")
            for one, other in zip(shown, lines, strict=True):
                self._compare_texts(one, other, at="")

    def _compare_values(self, shown: Any, got: Any, *, at: str) -> None:
        """Compare two JSON values; the order of fields counts."""
        if type(shown) is not type(got):
            raise Mismatch(f"{at} is {got!r}")
        if isinstance(shown, dict):
            if list(shown) != list(got):
                raise Mismatch(f"{at} has the fields {list(got)}")
            for name, value in shown.items():
                self._compare_values(value, got[name], at=f"{at}.{name}")
        elif isinstance(shown, list):
            if len(shown) != len(got):
                raise Mismatch(f"{at} has {len(got)} items")
            for index, value in enumerate(shown):
                self._compare_values(value, got[index], at=f"{at}[{index}]")
        elif isinstance(shown, str) and at.endswith(PARTS_OF_KEYS):
            self._note(shown, got, at=at)
        elif isinstance(shown, str):
            self._compare_texts(shown, got, at=at)
        elif shown != got:
            raise Mismatch(f"{at} is {got!r}")

    def _compare_texts(self, shown: str, got: str, *, at: str) -> None:
        if VARIABLE.sub(_kind, self.in_place(shown)) != VARIABLE.sub(_kind, got):
            raise Mismatch(f"{at} is {got!r}")
        for one, other in zip(VARIABLE.findall(shown), VARIABLE.findall(got), strict=True):
            if re.fullmatch(f"{KEY}|{ID}", one):
                self._note(one, other, at=at)
                if one.startswith("rk_"):
                    self._note(one[8:16], other[8:16], at=at)

    def _note(self, shown: str, own: str, *, at: str) -> None:
        """Learn what stands for the shown id or key. Raise Mismatch if something else did."""
        if self.own.setdefault(shown, own) != own and not shown.startswith("req_"):
            raise Mismatch(f"{at} is {own}, but {shown} stood for {self.own[shown]}")


def _kind(found: re.Match[str]) -> str:
    """Return what must be the same of a text that differs: a prefix, or all but the digits."""
    prefix = re.match("rk_[a-z]+_|[a-z]+_", found[0])
    return prefix[0] if prefix else re.sub("[0-9]+", "", found[0])


class Runner(AbstractContextManager["Runner"]):
    """Runs samples of one language: each in a scope of its own, all of a page in one process."""

    def __init__(self, *command: str) -> None:
        """Start the interpreter. It reads a sample a line and prints NUL behind its output."""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def __call__(self, code: str, environ: dict[str, str]) -> str:
        """Run a sample; return what it printed."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps({"code": code, "environ": environ}) + "\n")
        self.process.stdin.flush()
        printed = ""
        for line in self.process.stdout:
            if line == "\0\n":
                return printed
            printed += line
        raise Mismatch(f"The interpreter ended:\n{printed}")

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


class Bash:
    """Runs samples of curl, each in a shell of its own."""

    def __call__(self, code: str, environ: dict[str, str]) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            env={**os.environ, **environ},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        return done.stdout or done.stderr


MAKE_ORGANIZATIONS = """
from accounts.models import Organization, Plan
from apikeys.models import ApiKey
from apikeys.verbs.issue import issue
from audit.actor import Actor

for _ in range({count}):
    organization = Organization(name="Your Company", plan=Plan.objects.get(slug="team"))
    organization.create(actor=Actor.system())
    for mode in ("live", "test"):
        name = f"First {{mode}} key"
        key = ApiKey(organization=organization, livemode=mode == "live", name=name)
        print(issue(key, actor=Actor.system()))
"""


def readers(port: int, count: int) -> list[Reader]:
    """Make so many organizations as a first run makes one, each with a live and a test key."""
    url = f"http://localhost:{port}"  # The server's PUBLIC_URL.
    done = manage("shell", "-v", "0", "-c", MAKE_ORGANIZATIONS.format(count=count))
    assert done.returncode == 0, done.stderr
    keys = done.stdout.split()
    return [Reader(url, *pair) for pair in zip(keys[::2], keys[1::2], strict=True)]
