"""Tries the promises of `hpo` under faults, and counts how many attempts they survive.

    python -m tests.campaign --seed 1 kills --count 1000

Without names it makes all parts, at their full counts. What broke a promise is printed with the
options that make it again; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

# The smallest machine that hpo supports; JAX reads it when it is imported.
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")

from tests.campaign import datafiles, faults, hostile, kills, lost_files, scripts, specs, terminals
from tests.campaign.attempts import Part, Tally, make
from tests.campaign.forked import import_everything

PARTS = {
    "kills": Part(kills.attempt, 1_000, 1),
    "specs": Part(specs.attempt, 10_000, 25),
    "data": Part(datafiles.attempt, 1_000, 25),
    "files": Part(faults.attempt, 1_000, 2),
    "lost": Part(lost_files.attempt, 300, 1),
    "terminals": Part(terminals.attempt, 300, 2),
    "hostile": Part(hostile.attempt, 500, 2),
    "scripts": Part(scripts.attempt, 300, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.campaign", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, help="attempts of each part")
    parser.add_argument("--small", action="store_true", help="as few attempts as the suite makes")
    parser.add_argument("--number", type=int, help="make this attempt alone")
    parser.add_argument("--keep", type=Path, help="a new folder for all files, to look at later")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"no part {sorted(unknown)[0]!r}: there are {', '.join(PARTS)}")
    tally, began = Tally(), time.monotonic()
    import_everything()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)  # another user has to enter it, where root runs the campaign
        os.environ |= {"HPO_CACHE": f"{folder}/cache", "HPO_DATA": f"{folder}/data"}
        os.environ["XDG_STATE_HOME"] = f"{folder}/state"
        for name in arguments.parts or PARTS:
            part = PARTS[name]
            count = arguments.count or (part.small if arguments.small else part.full)
            make(part, name, arguments.seed, count, folder, tally, arguments.number)
    print("\n".join(tally.rows()))
    print(f"{time.monotonic() - began:.0f} seconds, seed {arguments.seed}", file=sys.stderr)
    sys.exit(bool(tally.broken.total()))


if __name__ == "__main__":
    main()
