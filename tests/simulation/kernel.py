"""Time, and whose turn it is: tasks that run one at a time, each until it waits; which goes on, the dice say.

A task is a thread, since the code under test is written for threads; but a baton passes between them, so one seed gives
one order of everything. Time moves only when nobody can go on.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MOST_STEPS = 60_000


class Killed(BaseException):
    """The process of this task has ended."""


class Crash(BaseException):
    """The process that carries out this task's request has ended."""


class Overrun(Exception):
    """The schedule does not end."""


class Process:
    """What ends at once: its tasks, and all that only they hold in memory. `lives`: how many times it has ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.lives = 0


@dataclass
class Task:
    """`serving`: the process whose code runs in it while it makes a request, and that process's `lives` then."""

    process: Process
    name: str
    ready: Callable[[], bool] | None = None
    until: float | None = 0.0
    killed: bool = False
    serving: tuple[Process, int] | None = None
    baton: threading.Lock = field(default_factory=threading.Lock)


class Kernel:
    """The tasks of one schedule. `run` has the calling thread be the first of them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.now = 0.0
        self.steps = 0
        self.tasks: list[Task] = []
        self.faults: list[BaseException] = []
        self.director = Task(Process("director"), "director")
        self.director.baton.acquire()
        self.current = self.director
        self.tasks.append(self.director)

    def look(self) -> float:
        """The time, for who asks a clock: a microsecond later each time, as on a machine."""
        self.now += 1e-6
        return self.now

    def spawn(self, process: Process, name: str, call: Callable[[], None]) -> None:
        """A task that runs `call`, from the next turn on. What it raises but Killed goes to `faults`."""
        task = Task(process, name)
        task.baton.acquire()
        self.tasks.append(task)
        WORKERS.give(lambda: self._live(task, call))

    def thread(self, process: Process, name: str, call: Callable[[], None]) -> Coming:
        """As `spawn`, for who waits for its end."""
        coming = Coming(self)
        self.spawn(process, name, lambda: coming.come(call))
        return coming

    def pause(self, seconds: float | None = 0.0, ready: Callable[[], bool] | None = None) -> bool:
        """Others run; until `ready`, or so many seconds have passed (None: for ever). Whether it was `ready`."""
        task = self.current
        self._check(task)
        task.ready, task.until = ready, None if seconds is None else self.now + seconds
        self._pass_on(task)
        self._check(task)
        return ready is not None and ready()

    def kill(self, process: Process) -> None:
        """Ends all tasks of a process when their turn comes; the caller's own goes on until it raises Killed."""
        process.alive, process.stopped = False, False
        process.lives += 1
        for task in self.tasks:
            if task.process is process:
                task.killed = True

    def end(self) -> None:
        """Ends all tasks but the director's, which calls this."""
        for task in self.tasks:
            if task is not self.director:
                task.killed, task.process.stopped = True, False
        self.steps = -MOST_STEPS
        self.pause(None, lambda: len(self.tasks) == 1)

    def _check(self, task: Task) -> None:
        if task.killed:
            raise Killed
        if task.serving is not None and task.serving[0].lives != task.serving[1]:
            raise Crash
        if task is self.director and self.steps > MOST_STEPS:
            raise Overrun

    def _live(self, task: Task, call: Callable[[], None]) -> None:
        task.baton.acquire()
        try:
            self._check(task)
            call()
        except Killed:
            pass
        except BaseException as fault:
            self.faults.append(fault)
        self.tasks.remove(task)
        self._hand_over(self._next())

    def _pass_on(self, task: Task) -> None:
        following = self._next()
        if following is not task:
            self._hand_over(following)
            task.baton.acquire()

    def _hand_over(self, task: Task) -> None:
        self.current = task
        task.baton.release()

    def _next(self) -> Task:
        self.steps += 1
        if self.steps > MOST_STEPS:
            return self.director
        while True:
            now, able, soonest = self.now, [], None
            for task in self.tasks:
                if task.killed:
                    able.append(task)
                elif not task.process.stopped and not (task.serving and task.serving[0].stopped):
                    if (task.until is not None and task.until <= now) or (task.ready is not None and task.ready()):
                        able.append(task)
                    elif task.until is not None and (soonest is None or task.until < soonest):
                        soonest = task.until
            if able:
                return able[0] if len(able) == 1 else able[self.dice.randrange(len(able))]
            if soonest is None:
                self.steps = MOST_STEPS + 1
                return self.director
            self.now = soonest


class Workers:
    """Threads that are kept from one schedule to the next: starting one costs more than what it does."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []

    def give(self, job: Callable[[], None]) -> None:
        worker = self._idle.pop() if self._idle else Worker(self)
        worker.job = job
        worker.wake.release()

    def back(self, worker: Worker) -> None:
        self._idle.append(worker)


class Worker:
    def __init__(self, workers: Workers) -> None:
        self.job: Callable[[], None] = lambda: None
        self.wake = threading.Lock()
        self.wake.acquire()
        self._workers = workers
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            self.wake.acquire()
            self.job()
            self._workers.back(self)


WORKERS = Workers()


class Condition:
    """As `threading.Condition`, of a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._told = kernel, 0

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        pass

    def notify_all(self) -> None:
        self._told += 1

    def wait(self, timeout: float | None = None) -> bool:
        told = self._told
        return self._kernel.pause(timeout, lambda: self._told != told)

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        return predicate() or self._kernel.pause(timeout, predicate)


class Event:
    """As `threading.Event`, of a kernel."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel, self._set = kernel, False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._set or self._kernel.pause(timeout, self.is_set)


class Ahead:
    """As an executor of one thread, of a kernel: a task of `process`."""

    def __init__(self, kernel: Kernel, process: Process) -> None:
        self._kernel, self._process = kernel, process

    def submit(self, call: Callable[[], Any]) -> Coming:
        return self._kernel.thread(self._process, "ahead", call)


class Coming:
    """As a thread, or as a future of an executor of one."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._done = False
        self._result: Any = None
        self._error: Exception | None = None

    def come(self, call: Callable[[], Any]) -> None:
        try:
            self._result = call()
        except Exception as error:
            self._error = error
        self._done = True

    def cancel(self) -> bool:
        return False

    def join(self) -> None:
        if not self._done:
            self._kernel.pause(None, lambda: self._done)

    def result(self) -> Any:
        self.join()
        if self._error is not None:
            raise self._error
        return self._result
