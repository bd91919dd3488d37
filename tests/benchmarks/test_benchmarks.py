"""The benchmarks start, and their stopwatch tells the truth."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def measured_process():
    """Return the module, which lies beside the scripts and not in a package."""
    spec = importlib.util.spec_from_file_location("measured_process", HERE / "measured_process.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("script", sorted(HERE.glob("benchmark_*.py")), ids=lambda path: path.stem)
def test_starts(script):
    done = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout


def test_memory_of_a_child_counts(measured_process, tmp_path):
    """80 MiB in a grandchild are seen, and its time is added."""
    work = "x = bytearray(80 * 2**20); t = __import__('time')\nwhile t.process_time() < 0.3: pass"
    command = [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])",
    ]
    cost = measured_process.run_measured(command, log=tmp_path / "log.txt")
    assert cost.peak_mib > 80
    assert cost.cpu_seconds >= 0.3


def test_memory_of_the_caller_does_not_count(measured_process, tmp_path):
    ballast = bytearray(200 * 2**20)
    cost = measured_process.run_measured([sys.executable, "-c", ""], log=tmp_path / "log.txt")
    assert cost.peak_mib < 60 < len(ballast) / 2**20


def test_a_failure_shows_what_was_printed(measured_process, tmp_path):
    with pytest.raises(RuntimeError, match=r"status 3:\nno such luck"):
        measured_process.run_measured(
            [sys.executable, "-c", "print('no such luck'); raise SystemExit(3)"],
            log=tmp_path / "log.txt",
        )
