"""Part of NVFlare's server: notes when its rounds begin and end (`nvflare.apis`)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nvflare.apis.fl_component import FLComponent
from nvflare.app_common.app_event_type import AppEventType

from benchmarks.peers.running import note


class RoundMarks(FLComponent):  # type: ignore[misc]  # nvflare is not in this project's environment
    """Appends a line when the first round begins and when each has ended.

    Args:
        file: Where to.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = file
        self.ended = 0

    def handle_event(self, event_type: str, fl_ctx: Any) -> None:  # noqa: ARG002  (NVFlare's signature)
        """As NVFlare calls it."""
        if event_type == AppEventType.ROUND_DONE:
            self.ended += 1
        elif event_type != AppEventType.ROUND_STARTED or self.ended:
            return
        note(Path(self.file), event="round", number=self.ended, at=time.monotonic())
