"""A bar for who waits at a terminal, on standard error; nothing for programs and files."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def progress(doing: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a function that is told how many of how many are done.

    The bar comes with the first that it is told, and is gone when the block ends.
    """
    with ExitStack() as stack:
        told: Callable[[int, int], None] | None = None

        def tell(done: int, total: int) -> None:
            nonlocal told
            told = told or stack.enter_context(_bar(doing))
            told(done, total)

        yield tell if sys.stderr.isatty() else lambda done, total: None


@contextmanager
def _bar(doing: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console  # 90 ms: only for who sees it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
