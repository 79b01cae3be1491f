"""Work for a thread of its own that the process does not wait for when it ends."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def apart(do: Callable[[], T]) -> T:
    """Does `do` in a thread and returns what it returns, or raises what it raises.

    For what talks to other machines: `asyncio.to_thread` would keep a stopping gate until a slow one has answered.
    Whatever `do` changes has to be right if it is cut off anywhere.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # without an error it is a T

    def run() -> None:
        result, failure = None, None
        try:
            result = do()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, daemon=True).start()
    return await done
