"""A worker of its own, that works on what is due and is killed (SIGKILL, by itself) in the middle of a step.

python -m tests.acceptance.compliance.erasure_worker STEP
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def main(step: str) -> None:
    django.setup()
    from gdpr.domain.holders import holders
    from gdpr.domain.requests import work_requests

    holder = next(each for each in holders() if each.name == step)
    erase = holder.erase

    def killed(*given: Any) -> None:
        """After the step's work and before anybody knows of it: the worst moment."""
        erase(*given)
        os.kill(os.getpid(), signal.SIGKILL)

    holder.erase = killed  # type: ignore[method-assign,assignment]
    work_requests(60)


if __name__ == "__main__":
    main(sys.argv[1])
