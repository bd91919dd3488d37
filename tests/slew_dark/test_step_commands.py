"""slew_dark_cosmics as users run it: strun, the crsteps command, a script without a main guard."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from astropy.io import fits

SCRIPT = """
from crsteps import SlewDarkCosmicsStep

print("script")
result = SlewDarkCosmicsStep.call("EUC_dark.fits", n_outputs=4, jobs=3, save_results=True)
print(len(result.detectors))
"""
PRODUCTS = ("crclean.fits", "crclusters.parquet", "crmask.fits", "crstats.ecsv")


def run(command, environment, **options):
    """Run a command in the current folder."""
    return subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )


def test_strun(small, in_tmp_path, digests, user_environment):
    before = digests(in_tmp_path)
    command = "strun slew_dark_cosmics EUC_dark.fits --n_outputs=4 --jobs=2 --offset=1024.5"
    finished = run([*command.split(), "--output_dir=out"], user_environment)
    assert finished.returncode == 0, finished.stderr
    assert digests(in_tmp_path) == before
    assert sorted(digests("out")) == [f"EUC_dark_{name}" for name in PRODUCTS]
    assert fits.getval("out/EUC_dark_crmask.fits", "CROFFSET", ext=1) == 1024.5
    for name in ("DET11", "DET32", "DET24"):
        assert f"- INFO - {name}: " in finished.stderr


def test_strun_with_a_mistake(small, in_tmp_path, digests, user_environment):
    before = digests(in_tmp_path)
    command = "strun slew_dark_cosmics EUC_dark.fits --bad_pixel_mask=none.fits --n_outputs=4"
    finished = run(command.split(), user_environment)
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    (error,) = [line for line in finished.stderr.splitlines() if " - ERROR - " in line]
    assert "There is no file none.fits: check the parameter bad_pixel_mask." in error
    assert digests(in_tmp_path) == before


def test_crsteps_run_with_several_files(small, in_tmp_path, user_environment):
    """One call for each; one that is damaged does not stop the others."""
    (in_tmp_path / "EUC_damaged.fits").write_bytes(small.path.read_bytes()[:50000])
    command = "crsteps run slew_dark_cosmics EUC_d*.fits --param n_outputs=4 --output-dir out"
    finished = run(command.split(), user_environment)
    assert finished.returncode == 1
    errors = [line for line in finished.stderr.splitlines() if line.startswith("crsteps: error")]
    assert len(errors) == 2
    assert "EUC_damaged.fits" in errors[0]
    names = sorted(path.name for path in (in_tmp_path / "out").iterdir())
    assert names == [f"EUC_dark_{name}" for name in PRODUCTS]


def test_a_script_without_a_main_guard(small, in_tmp_path, user_environment):
    """Processes begin without running the script again."""
    (in_tmp_path / "script.py").write_text(SCRIPT)
    finished = run([sys.executable, "script.py"], user_environment)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.splitlines() == ["script", "3"]
    assert sorted(path.name for path in in_tmp_path.glob("*_cr*"))[0] == "EUC_dark_crclean.fits"


@pytest.mark.slow
def test_ctrl_c_ends_everything(in_tmp_path, user_environment):
    """Interrupted amid the work: no product, no temporary file, no process is left."""
    image = np.random.default_rng(1).normal(1024, 4, (2048, 2048)).astype(np.uint16)
    names = [f"DET{row}{column}" for row in range(1, 5) for column in range(1, 5)]
    hdus = [fits.PrimaryHDU(), *(fits.ImageHDU(image, name=f"{name}.SCI") for name in names)]
    fits.HDUList(hdus).writeto("EUC_dark.fits")
    command = ["strun", "slew_dark_cosmics", "EUC_dark.fits", "--jobs=2", "--output_dir=out"]
    with open("log", "w") as log:
        process = subprocess.Popen(
            [*command, "--detector=astroscrappy"], env=user_environment, stdout=log, stderr=log
        )
        while process.poll() is None and "DET11:" not in (in_tmp_path / "log").read_text():
            time.sleep(0.05)
        children = run(["ps", "-o", "pid=", "--ppid", str(process.pid)], None).stdout.split()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) != 0
    assert len(children) == 1
    assert run(["ps", "-o", "pid=", "-p", children[0]], None).stdout.split() == []
    assert list((in_tmp_path / "out").iterdir()) == []
