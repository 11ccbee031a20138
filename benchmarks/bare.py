"""What `benchmarks.api` compares with: `python -m benchmarks.bare PORT` serves a constant JSON object, and nothing else.

The same framework and server as a node's, one route, no access control, no ledger.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/constant")
def constant() -> dict[str, str | int]:
    """A small object, always the same."""
    return {"status": "ok", "seconds": 1}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_config=None, access_log=False)
