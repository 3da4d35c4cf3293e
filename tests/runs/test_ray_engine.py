"""Workers of Ray make the bytes that one process makes, and may be lost on the way."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("ray")

from runs.conftest import Halt
from unpoison.core.errors import DataError, RunError
from unpoison.core.images import ArrayImageSet
from unpoison.core.picture import Picture
from unpoison.data import read, write
from unpoison.runs.parts import Part
from unpoison.runs.ray_engine import _connected
from unpoison.runs.to_files import purify_to


def _descendants() -> list[int]:
    """This process and those that descend from it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])

    def descends(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and descends(parents[pid]))

    return [pid for pid in parents if descends(pid)]


def _workers() -> list[int]:
    """Those of them that are actors."""
    actors = []
    for pid in _descendants():
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::_Worker"):
                actors.append(pid)
    return actors


def _open_ports() -> tuple[int, list[str]]:
    """How many ports they listen on, and the addresses of those that other machines can reach."""
    own = set()
    for pid in _descendants():
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            with suppress(OSError):
                own.add(os.readlink(link))
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()]
    found = [fields[1] for fields in lines if fields[3] == "0A" and f"socket:[{fields[9]}]" in own]
    loopback = ("0100007F:", "0" * 16 + "FFFF00000100007F:", "0" * 24 + "01000000:")
    return len(found), [address for address in found if not address.startswith(loopback)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")
def test_same_bytes_also_when_a_worker_is_killed(source, jpeg, tmp_path, tree, monkeypatch):
    """Also with a relative path, a part done before, and a source in parquet."""
    monkeypatch.chdir(tmp_path)
    write(read(source), "in.parquet")
    purify_to(read("in.parquet"), Path("whole"), jpeg)
    assert purify_to(read("in.parquet"), Path("out"), jpeg, part=Part(4, 5)).missing == 4
    killed: list[int] = []
    ports = []

    def kill_one(info):
        if info.step > 256 and not killed:
            ports.append(_open_ports())
            killed.append(_workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    purify_to(read("in.parquet"), Path("out"), jpeg, engine="ray", workers=2, on_step=kill_one)
    assert len(killed) == 1
    assert ports[0][0] > 3
    assert ports[0][1] == []
    assert tree(Path("out")) == tree(Path("whole"))
    assert not Path("out.partial").exists()
    assert _workers() == []


class _Deadly(ArrayImageSet):
    """Whoever decodes its picture 600 does not survive."""

    def picture(self, index: int) -> Picture:
        if index == 600:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().picture(index)


@pytest.mark.slow
def test_what_workers_stumble_over(make_set, source, jpeg, tmp_path, tree, monkeypatch):
    import ray

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))  # workers load `_Deadly` from this file
    whole = make_set(1100, side=8)
    with _connected(ray, 2):
        # A block that ends every worker is given up; what the others make is kept.
        with pytest.raises(RunError, match="block 2 has ended 3 workers"):
            purify_to(_Deadly(whole.images, whole.labels), tmp_path / "a.npz", jpeg, engine="ray", workers=2)
        kept = {path.name for path in (tmp_path / "a.npz.partial").glob("0*.npz")}
        assert {"00000000.npz", "00000001.npz"} <= kept
        assert "00000002.npz" not in kept
        purify_to(whole, tmp_path / "a.npz", jpeg, engine="ray", workers=1)

        # An error is told as if it had happened here.
        image_set = read(source)
        path = source / f"{image_set.ids[1050]}.png"
        content = path.read_bytes()
        path.write_bytes(content[:60])
        with pytest.raises(DataError, match=rf"{path.name}: the picture is broken"):
            purify_to(image_set, tmp_path / "b", jpeg, engine="ray")
        path.write_bytes(content)
        purify_to(read(source), tmp_path / "b", jpeg, engine="ray")
        purify_to(read(source), tmp_path / "reference", jpeg)
        assert tree(tmp_path / "b") == tree(tmp_path / "reference")

        # A run may change its engine.
        def halt(info):
            if info.step >= 512:
                raise Halt

        with pytest.raises(Halt):
            purify_to(whole, tmp_path / "c.npz", jpeg, engine="ray", on_step=halt)
        purify_to(whole, tmp_path / "c.npz", jpeg)
        assert (tmp_path / "c.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()
    assert not ray.is_initialized()


def test_a_set_that_cannot_be_sent(make_set, jpeg, tmp_path, monkeypatch):
    import ray

    image_set = make_set(4)
    monkeypatch.setattr(ray, "put", lambda value: (_ for _ in ()).throw(TypeError("cannot pickle 'lock' object")))
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(RunError, match="cannot be sent to workers"):
        purify_to(image_set, tmp_path / "out.npz", jpeg, engine="ray")
    monkeypatch.setattr(ray, "cluster_resources", lambda: {})
    with pytest.raises(RunError, match="the Ray cluster has no CPU"):
        purify_to(image_set, tmp_path / "out.npz", jpeg, engine="ray")
