"""Work in a thread of its own: its answer comes back, and nobody waits for it at the end."""

import asyncio
import subprocess
import sys

import pytest

from mutualgate.app.apart import apart


async def _twice() -> tuple[int, str]:
    result = await apart(lambda: 6 * 7)
    try:
        await apart(lambda: int("x"))
    except ValueError as error:
        return result, str(error)
    return result, ""


def test_what_it_returns_and_raises_comes_back() -> None:
    result, problem = asyncio.run(_twice())
    assert result == 42
    assert "invalid literal" in problem


def test_a_process_ends_while_it_hangs() -> None:
    program = """
import asyncio, time
from mutualgate.app.apart import apart
async def main():
    task = asyncio.create_task(apart(lambda: time.sleep(600)))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
asyncio.run(main())
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "ended\n", done.stderr
    assert done.stderr == ""


def test_a_cancelled_one_disturbs_nobody() -> None:
    async def main() -> None:
        task = asyncio.create_task(apart(lambda: 1))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.05)

    asyncio.run(main())
