"""The process that reads what is mutated: a number a line comes in, what became of it goes out."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path

from fuzz.corpus import CASES
from fuzz.mutations import mutate
from unpoison.core.errors import UnpoisonError

_ROOM = 8 * 2**30  # of addresses, beyond what the libraries take: so that nothing can fill the machine


def serve(root: Path) -> None:
    """Build every case below `root`, and read mutations of them until no more are asked for."""
    warnings.simplefilter("ignore")
    for name, case in CASES.items():
        (root / name).mkdir(parents=True)
        case.build(root / name)
        case.read(root / name)  # sound files are read
    files = {name: sorted(path for path in (root / name).rglob("*") if path.is_file()) for name in CASES}
    resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + _ROOM, resource.RLIM_INFINITY))
    _say("ready")
    for line in sys.stdin:
        _say(json.dumps(_try(root, files, int(line))))


def _try(root: Path, files: dict[str, list[Path]], number: int) -> dict[str, object]:
    rng = random.Random(number)
    name = list(CASES)[number % len(CASES)]
    path = rng.choice(files[name])
    sound = path.read_bytes()
    path.write_bytes(mutate(sound, rng))
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of memory
    before, start = _status("VmRSS"), time.perf_counter()
    outcome, detail = "read", ""
    try:
        CASES[name].read(root / name)
    except UnpoisonError as error:
        outcome, detail = "refused", str(error)
        if len(detail.splitlines()) != 1 or not detail.isprintable():
            outcome = "fault"
    except BaseException:
        outcome, detail = "fault", traceback.format_exc()
    seconds, grown = time.perf_counter() - start, _status("VmHWM") - before
    kept = root.with_name(f"fault-{number}") if outcome == "fault" else None
    if kept is not None:
        shutil.copyfile(path, kept)
    path.write_bytes(sound)
    return {
        "case": name,
        "file": path.name,
        "outcome": outcome,
        "detail": detail[-3000:],
        "seconds": seconds,
        "mib": grown / 2**20,
        "pid": os.getpid(),
    }


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _status(field: str) -> int:
    """Bytes of memory of this process, as Linux counts them."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
