"""`bin/install` finds a Python that works, mends a broken environment, or says what to do."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Stands in for a Python that answers, makes a folder for an environment and installs nothing.
WORKING = """#!/bin/sh
case "$*" in
  *sys.version_info*) exit 0 ;;
  --version) echo "Python 3.11.0" ;;
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python ;;
  "-m pip --version") [ -e .venv/pip-works ] || [ "$0" = .venv/bin/python ] ;;
  "-m pip install"*) [ ! -e fail-install ] ;;
  *) exit 0 ;;
esac
"""
SHIM = "#!/bin/sh\nexit 127\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    shutil.copy(ROOT / "bin" / "install", tmp_path / "bin" / "install")
    (tmp_path / "requirements.txt").write_text("nothing==1\n")
    (tmp_path / "path").mkdir()
    for tool in ("sh", "dirname", "cmp", "rm", "cp", "mkdir", "cat"):
        found = shutil.which(tool)
        assert found
        (tmp_path / "path" / tool).symlink_to(found)
    return tmp_path


def program(clone: Path, name: str, text: str) -> None:
    file = clone / "path" / name
    file.write_text(text)
    file.chmod(0o755)


def install(clone: Path, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(clone / "bin" / "install")],
        env={"PATH": str(clone / "path"), **environ},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_no_python_is_said_in_a_sentence(clone):
    done = install(clone)
    assert done.returncode != 0
    assert "No Python 3.11 or newer" in done.stderr
    assert "PYTHON=" in done.stderr
    assert not (clone / ".venv").exists()


def test_a_shim_that_fails_is_passed_over(clone):
    program(clone, "python3", SHIM)
    program(clone, "python3.14", SHIM)
    program(clone, "python3.12", WORKING)
    done = install(clone)
    assert done.returncode == 0, done.stderr
    assert (clone / ".venv" / "installed-requirements.txt").read_text() == "nothing==1\n"


def test_python3_comes_first_and_a_second_time_nothing_is_done(clone):
    program(clone, "python3", WORKING)
    program(clone, "python3.14", SHIM)
    assert "Installing" in install(clone).stderr
    assert install(clone).stderr == ""


def test_the_named_python_counts_and_a_bad_one_is_refused(clone):
    program(clone, "python3", WORKING)
    program(clone, "mine", WORKING)
    assert install(clone, PYTHON="mine").returncode == 0
    shutil.rmtree(clone / ".venv")
    done = install(clone, PYTHON="nothing-here")
    assert done.returncode != 0
    assert "PYTHON=nothing-here is not a working Python" in done.stderr


def test_an_interrupted_install_is_taken_up_again(clone):
    program(clone, "python3", WORKING)
    (clone / "fail-install").touch()
    assert install(clone).returncode != 0
    assert not (clone / ".venv" / "installed-requirements.txt").exists()
    (clone / "fail-install").unlink()
    assert install(clone).returncode == 0
    assert (clone / ".venv" / "installed-requirements.txt").exists()


def test_an_environment_whose_python_is_gone_is_made_anew(clone):
    program(clone, "python3", WORKING)
    install(clone)
    (clone / ".venv" / "bin" / "python").unlink()
    (clone / ".venv" / "bin" / "python").symlink_to(clone / "gone")
    done = install(clone)
    assert done.returncode == 0
    assert "Making .venv" in done.stderr


def test_new_requirements_are_installed(clone):
    program(clone, "python3", WORKING)
    install(clone)
    (clone / "requirements.txt").write_text("nothing==2\n")
    assert "Installing" in install(clone).stderr


def test_make_alone_prints_its_targets():
    done = subprocess.run(
        ["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10
    )
    for target in ("run", "test", "check", "lock", "clean"):
        assert f"make {target} " in done.stdout
