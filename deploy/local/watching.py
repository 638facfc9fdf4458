"""Waiting for signals and for the end of children at once, asleep meanwhile."""

import os
import select
import signal
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Watch:
    """Notices stop signals, ended children and the end of this process's parent; make one, in the main thread."""

    def __init__(self, *, minds_parent: bool) -> None:
        """Take over the stop signals and SIGCHLD."""
        self.received: list[signal.Signals] = []
        self._minds_parent = minds_parent
        self._parent = os.getppid()
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in STOPPING:
            # `nohup` asks for the hang-up to be ignored. SIGINT is taken even where a shell left it ignored.
            if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received.append(signal.Signals(number))

    @property
    def has_lost_parent(self) -> bool:
        """Whether the process that started this one has ended, for those who mind."""
        return self._minds_parent and os.getppid() != self._parent

    def wait(self, seconds: float) -> None:
        """Sleep until a signal comes or a child ends, at most `seconds`."""
        if select.select([self._reader], [], [], seconds)[0]:
            os.read(self._reader, 4096)
