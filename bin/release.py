"""Tag a release: `make release VERSION=0.3.0`.

Moves CHANGELOG.md's section "Unreleased" under the version and today's date, writes the version
into pyproject.toml, commits both and tags the commit. Pushing is left to you.
"""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

UNRELEASED = "## Unreleased\n"


def main() -> None:
    """Do it all or, if a condition is not met, nothing."""
    (version,) = sys.argv[1:] or [""]
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        sys.exit("Name the version: make release VERSION=0.3.0")
    if git("status", "--porcelain") or git("branch", "--show-current") != "main":
        sys.exit("Commit or stash your changes, on the branch main.")
    if git("tag", "--list", f"v{version}"):
        sys.exit(f"The tag v{version} is there already.")
    changelog, project = Path("CHANGELOG.md"), Path("pyproject.toml")
    text = changelog.read_text()
    _, found, rest = text.partition(UNRELEASED)
    if not found or not rest.partition("\n## ")[0].strip():
        sys.exit("CHANGELOG.md has nothing under Unreleased.")
    dated = f"{UNRELEASED}\n## {version} - {datetime.now(UTC):%Y-%m-%d}\n"
    changelog.write_text(text.replace(UNRELEASED, dated, 1))
    pattern = re.compile(r'^version = ".*"$', re.MULTILINE)
    project.write_text(pattern.sub(f'version = "{version}"', project.read_text(), count=1))
    git("commit", "--all", "--message", f"release: {version}")
    git("tag", "--annotate", f"v{version}", "--message", f"ReachScore key authority {version}")
    print(f"v{version} is tagged: git push --follow-tags")  # noqa: T201


def git(*arguments: str) -> str:
    """Run git and return what it prints; end if it fails."""
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)  # noqa: S603, S607
    return done.stdout.strip()


main()
