"""How threads wait is settled before torch is loaded, and what a user has set stays."""

import os
import subprocess
import sys

from aigc_core import threads


def test_what_is_set_stays(monkeypatch):
    for name in threads.WAITING:
        monkeypatch.setenv(name, "mine")
    threads.settle()
    assert {os.environ[name] for name in threads.WAITING} == {"mine"}


def test_the_command_line_settles_it_before_torch_is_loaded():
    code = "import os, sys; from aigc_core import cli, threads; print('torch' in sys.modules, all(os.environ[n] == v for n, v in threads.WAITING.items()))"
    variables = {name: value for name, value in os.environ.items() if name not in threads.WAITING}
    told = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["False", "True"]
