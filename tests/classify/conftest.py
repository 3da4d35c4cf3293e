"""One thread: nets this small gain nothing from a second, and lose much by waiting for it on a busy machine.

For a whole module, so that the fixtures of a module are trained so too.
"""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
