"""Write docs/reference from the code, or check that it is what the code says.

python -m tools.reference            # write the pages
python -m tools.reference --check    # exit 1 and name the pages that are not up to date
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.reference import api, chain, commands, errors, logs, settings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"
PAGES = {
    "commands.md": commands.page,
    "settings.md": settings.page,
    "errors.md": errors.page,
    "log.md": logs.page,
    "chain.md": chain.page,
    "api.md": api.page,
}
"""Page to what writes it."""


def stale(folder: Path = FOLDER) -> list[str]:
    """Names of pages that do not say what the code says."""
    return [
        name
        for name, page in PAGES.items()
        if not (folder / name).exists() or (folder / name).read_text(encoding="utf-8") != page()
    ]


def main() -> int:
    """Write or check, as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a page is not up to date")
    if parser.parse_args().check:
        old = stale()
        for name in old:
            print(f"docs/reference/{name} is not what the code says: run `make reference`")
        return 1 if old else 0
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
