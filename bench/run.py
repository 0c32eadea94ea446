"""`make bench`: rbee beside LiteLLM proxy and Portkey gateway, over an equal upstream, in interleaved rounds.

Numbers of one result may be compared with each other and with nothing else: other work may share these cores. CPU time is
the steadiest of them. A result is kept in bench/results; `make bench-check` compares the newest with the goals.

    make bench
    make bench ARGS="--rounds 1 --seconds 2 --no-save"
    make bench ARGS="--only rbee --no-save"
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]

from bench.measure import LITELLM, PORTKEY, RBEE, measure  # noqa: E402  (the paths above make it importable)
from bench.report import show  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="make bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each workload in each round")
    parser.add_argument(
        "--only", nargs="+", default=[], choices=[RBEE, LITELLM, PORTKEY], help="leave the others out"
    )
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args()
    if options.rounds < 1 or options.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    with tempfile.TemporaryDirectory(prefix="rbee-bench-") as folder:
        try:
            result = measure(Path(folder), rounds=options.rounds, seconds=options.seconds, only=options.only)
        except KeyboardInterrupt:
            print("stopped; nothing is kept")
            return 130
    show(result, Console(width=170))
    if not options.no_save:
        kept = ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")
        print(f"kept as {kept.relative_to(ROOT)}; `make bench-check` compares it with the goals")
    return 0


if __name__ == "__main__":
    sys.exit(main())
