"""Memory that tensors gave back is used again without asking the kernel."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COUNT = """
import resource, sys
import torch
from unpoison.core.memory import keep_memory
torch.set_num_threads(1)
kept = sys.argv[1] == "keep" and keep_memory()
faults = []
for _ in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [torch.empty(16 << 20, dtype=torch.uint8).fill_(1) for _ in range(6)]
    del blocks
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(kept, sum(faults[5:]))
"""


def count_faults(how):
    # glibc raises its threshold by itself, and then what lies above a block decides; set, it stays as it is.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    command = [sys.executable, "-c", COUNT, how]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    return kept == "True", int(faults)


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_pages_are_asked_for_once():
    kept, few = count_faults("keep")
    if not kept:
        pytest.skip("this C library has no mallopt")
    assert few < 0.1 * count_faults("leave")[1]


IMPORT = """
import gc, sys
from unpoison.core.memory import collect_rarely
if sys.argv[1] == "rarely":
    collect_rarely()
searches = []
gc.callbacks.append(lambda phase, info: searches.append(phase))
import torch
print(len(searches))
"""


def test_imports_are_not_searched_for_cycles():
    def searches(how):
        return int(
            subprocess.run([sys.executable, "-c", IMPORT, how], capture_output=True, text=True, check=True).stdout
        )

    assert searches("rarely") < 0.1 * searches("often")
