"""What phases take: processor time, memory and bytes, measured on real work in this process and its children."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fleetwatch.instrument import names, phase
from fleetwatch.instrument.usage import Account, Peak, resident, taken
from support_instrument import Application, run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="numbers of /proc")

MIB = 1 << 20


def burn(seconds: float) -> None:
    """So much processor time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(500))


def test_one_phase_after_the_other_has_what_it_took_itself() -> None:
    app = Application()
    with app.pipeline() as run:
        burn(0.05)
        with run.phase("P01"):
            burn(0.2)
        with run.phase("P02") as p:
            with p.part("a"):
                burn(0.1)
            with p.part("b"):
                burn(0.05)
    cpu = {span.name: (span.attributes or {})[names.CPU_TIME] for span in app.spans}
    assert cpu == {
        "P01": pytest.approx(0.2, rel=0.2, abs=0.02),
        "P02": pytest.approx(0.15, rel=0.2, abs=0.02),
        "a": pytest.approx(0.1, rel=0.2, abs=0.02),
        "b": pytest.approx(0.05, rel=0.2, abs=0.02),
        "RUN nightly": pytest.approx(0.4, rel=0.2, abs=0.03),
    }


def test_phases_in_threads_at_once_have_their_thread_s_time() -> None:
    app = Application()
    with app.pipeline() as run:
        both = threading.Barrier(2)

        def work(name: str, seconds: float) -> None:
            with run.phase(name):
                both.wait()
                burn(seconds)
                both.wait()

        threads = [threading.Thread(target=work, args=each) for each in (("little", 0.05), ("much", 0.25))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert app.told("little")[names.CPU_TIME] == pytest.approx(0.05, abs=0.03)
    assert app.told("much")[names.CPU_TIME] == pytest.approx(0.25, abs=0.04)


def test_of_tasks_of_one_loop_the_sum_is_right() -> None:
    app = Application()

    async def work(name: str, seconds: float) -> None:
        async with phase(name):
            await asyncio.sleep(0)
            burn(seconds)
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(work("little", 0.05), work("much", 0.15))

    with app.pipeline():
        asyncio.run(both())
    told = [app.told(name)[names.CPU_TIME] for name in ("little", "much")]
    assert sum(told) == pytest.approx(0.2, abs=0.05)


def test_a_phase_inside_another_takes_what_is_taken_meanwhile() -> None:
    app = Application()
    with app.pipeline() as run, run.phase("outer"):
        burn(0.05)
        with run.phase("inner"):
            burn(0.15)
    assert app.told("inner")[names.CPU_TIME] == pytest.approx(0.15, abs=0.03)
    assert app.told("outer")[names.CPU_TIME] == pytest.approx(0.05, abs=0.03)


BURN = "import time\nwhile time.process_time() < 0.3: sum(range(500))"


def test_a_child_process_is_its_phase_s() -> None:
    app = Application()
    with app.pipeline() as run:
        with run.phase("P01") as p:
            p.run([sys.executable, "-c", BURN])
        with run.phase("P02") as p, p.part("x"):
            subprocess.run([sys.executable, "-c", BURN], check=True)
        with run.phase("P03"):
            pass
    for name in ("P01", "P02", "x"):
        assert 0.3 <= app.told(name)[names.CPU_TIME] < 0.5
    assert app.told("P03")[names.CPU_TIME] < 0.02


def test_of_children_at_once_each_phase_has_the_one_that_it_ran() -> None:
    app = Application()
    with app.pipeline() as run:
        both = threading.Barrier(2)

        def work(name: str, *args: str) -> None:
            with run.phase(name) as p:
                both.wait()
                p.run([sys.executable, *args])
                both.wait()

        threads = [
            threading.Thread(target=work, args=each) for each in (("much", "-c", BURN), ("little", "-S", "-c", ""))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 0.3 <= app.told("much")[names.CPU_TIME] < 0.5
    assert app.told("little")[names.CPU_TIME] < 0.15


PEAKS = """
import sys
from support_instrument import Application
from fleetwatch.instrument import names, phase
app = Application()
with app.pipeline() as run:
    with run.phase("large"):
        large = bytearray(200 << 20)
        large[::4096] = b"x" * len(large[::4096])
        del large
    with run.phase("small"):
        pass
    with run.phase("small child") as p:
        p.run([sys.executable, "-S", "-c", ""])
    with run.phase("large child") as p:
        p.run([sys.executable, "-S", "-c", "x = bytearray(400 << 20); x[::4096] = b'x' * len(x[::4096])"])
    with run.phase("after"):
        pass
print(*(app.told(name)[names.MEMORY_PEAK] >> 20 for name in ("large", "small", "small child", "large child", "after")))
"""


def test_memory_s_peak_is_the_phase_s_and_not_the_process_s() -> None:
    """In a process of its own: this one may have been larger before."""
    done = run(PEAKS)
    assert done.code == 0, done.err
    large, small, small_child, large_child, after = map(int, done.out.split())
    assert 200 < large < 350
    assert max(small, small_child, after) < 120
    assert 400 < large_child < 500


def test_a_child_under_way_is_seen() -> None:
    peak = Peak()
    with subprocess.Popen(
        [sys.executable, "-S", "-c", "x = bytearray(300 << 20); x[::4096] = b'x' * len(x[::4096]); print(); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        peak.running[child.pid] = None
        assert (peak.look() or 0) > 300 * MIB
        child.kill()


def test_bytes_written_to_storage(tmp_path: Path) -> None:
    before, after = taken(), taken()
    if before.written is None:
        pytest.skip("the kernel does not count bytes of storage")
    assert after.written is not None
    app = Application()
    with app.pipeline() as run, run.phase("P01"), (tmp_path / "x").open("wb", 0) as file:
        file.write(b"x" * 8 * MIB)
        os.fsync(file.fileno())
    written = app.told("P01")[names.IO_WRITTEN]
    if written == 0:
        pytest.skip("the folder for temporary files is not on storage")
    assert written == pytest.approx(8 * MIB, rel=0.1)


def test_what_is_told_while_it_runs_is_never_more_than_in_the_end() -> None:
    account = Account()
    first = account.begin()
    assert account.so_far(first) is not None
    second = account.begin()
    burn(0.01)
    assert account.so_far(first) is account.so_far(second) is None
    account.end(second)
    assert account.so_far(first) is None


def test_memory_of_a_process_that_is_gone_is_not_known() -> None:
    child = subprocess.Popen(["true"])
    child.wait()
    assert resident(child.pid) is None
