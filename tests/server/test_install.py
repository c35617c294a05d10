"""Tests of `bin/install`: it finds a Python, repairs the environment, or says what to do."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pip as pip_module
import pytest

ROOT = Path(__file__).resolve().parents[2]
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
    for tool in ("sh", "dirname", "cmp", "rm", "cp", "mkdir", "cat", "env", "sed"):
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
        ["bin/install"],
        cwd=clone,
        env={"PATH": str(clone / "path"), **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_missing_python_is_told_in_a_sentence(clone):
    done = install(clone)
    assert done.returncode != 0
    assert "No Python 3.11 or newer" in done.stderr
    assert "PYTHON=" in done.stderr
    assert not (clone / ".venv").exists()


def test_failing_python_shim_is_skipped(clone):
    program(clone, "python3", SHIM)
    program(clone, "python3.14", SHIM)
    program(clone, "python3.12", WORKING)
    done = install(clone)
    assert done.returncode == 0, done.stderr
    assert (clone / ".venv" / "installed-requirements.txt").read_text() == "nothing==1\n"


def test_python3_is_tried_first_and_a_second_run_does_nothing(clone):
    program(clone, "python3", WORKING)
    program(clone, "python3.14", SHIM)
    assert "Installing" in install(clone).stderr
    assert install(clone).stderr == ""


def test_python_variable_is_used_and_a_bad_one_refused(clone):
    program(clone, "python3", WORKING)
    program(clone, "mine", WORKING)
    assert install(clone, PYTHON="mine").returncode == 0
    shutil.rmtree(clone / ".venv")
    done = install(clone, PYTHON="nothing-here")
    assert done.returncode != 0
    assert "PYTHON=nothing-here is not a working Python" in done.stderr


def test_interrupted_install_is_resumed(clone):
    program(clone, "python3", WORKING)
    (clone / "fail-install").touch()
    assert install(clone).returncode != 0
    assert not (clone / ".venv" / "installed-requirements.txt").exists()
    (clone / "fail-install").unlink()
    assert install(clone).returncode == 0
    assert (clone / ".venv" / "installed-requirements.txt").exists()


def test_environment_whose_python_is_gone_is_made_again(clone):
    program(clone, "python3", WORKING)
    install(clone)
    (clone / ".venv" / "bin" / "python").unlink()
    (clone / ".venv" / "bin" / "python").symlink_to(clone / "gone")
    done = install(clone)
    assert done.returncode == 0
    assert "Making .venv" in done.stderr


def test_changed_requirements_are_installed(clone):
    program(clone, "python3", WORKING)
    install(clone)
    (clone / "requirements.txt").write_text("nothing==2\n")
    assert "Installing" in install(clone).stderr


def test_callers_pip_settings_have_no_effect_and_a_stamp_means_all_is_installed(clone, tmp_path):
    pip = Path(pip_module.__file__).parents[1]  # Lent: ensurepip takes seconds.
    real = f"""#!/bin/sh
[ "$2" != venv ] || set -- -m venv --without-pip .venv
{sys.executable} "$@" || exit
case "$*" in "-m venv"*) echo {pip} > "$(echo .venv/lib/python3*/site-packages)/pip.pth" ;; esac
"""
    program(clone, "python3", real)
    with zipfile.ZipFile(tmp_path / "nothing-1-py3-none-any.whl", "w") as wheel:
        for name, text in {
            "nothing.py": "",
            "nothing-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: nothing\nVersion: 1\n",
            "nothing-1.dist-info/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
            "nothing-1.dist-info/RECORD": "",
        }.items():
            wheel.writestr(name, text)
    digest = hashlib.sha256((tmp_path / "nothing-1-py3-none-any.whl").read_bytes()).hexdigest()
    (clone / "requirements.txt").write_text(f"nothing==1 \\\n    --hash=sha256:{digest}\n")
    home, config = tmp_path / "home", tmp_path / "pip.conf"
    (home / "bin").mkdir(parents=True)
    config.write_text("[install]\ndry-run = true\n")
    sources = {"HOME": str(home), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    refused = install(clone, **sources, PIP_CONFIG_FILE=str(config))
    assert "pip has not installed nothing here" in refused.stderr
    assert not (clone / ".venv" / "installed-requirements.txt").exists()
    shutil.rmtree(clone / ".venv")
    elsewhere = ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PYTHONUSERBASE", "CDPATH")
    switches = ("PIP_DRY_RUN", "PIP_USER", "PIP_REQUIRE_VIRTUALENV", "PIP_no_deps", "PYTHONINSPECT")
    broken = ("PIP_CONSTRAINT", "PIP_REQUIREMENT", "PIP_PYTHON", "PYTHONHOME", "PYTHONPATH")
    done = install(
        clone,
        **sources,
        **dict.fromkeys(elsewhere, str(home)),
        **dict.fromkeys(switches, "1"),
        **dict.fromkeys(broken, "/nowhere"),
        PYTHONWARNINGS="error",
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(clone.glob(".venv/lib/python3*/site-packages/nothing.py"))
    assert (clone / ".venv" / "installed-requirements.txt").exists()
    assert list(home.rglob("*")) == [home / "bin"]


def test_clone_that_is_not_writable_is_named_in_a_sentence(clone):
    program(clone, "python3", WORKING)
    with tempfile.TemporaryDirectory() as folder:  # Unlike tmp_path it is open to others.
        shutil.copytree(clone, folder, symlinks=True, dirs_exist_ok=True)
        Path(folder).chmod(0o555)
        other = ["setpriv", "--reuid=1", "--clear-groups"] if os.geteuid() == 0 else []
        command = [*other, f"{folder}/bin/install"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        Path(folder).chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.endswith("is not writable: work as its owner, or in a clone of your own.\n")
    assert done.stderr.count("\n") == 1


def test_make_without_a_target_prints_the_targets():
    done = subprocess.run(
        ["make"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    for target in ("run", "test", "check", "lock", "clean"):
        assert f"make {target} " in done.stdout
