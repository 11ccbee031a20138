"""The container's health check: exit 0 if the node in it answers, 1 if not. Needs nothing but Python.

It asks $MEDWEAVE_HEALTH_URL on the loopback address, so whose certificate it is shown does not matter; and a node that wants
to see a member's certificate is alive.
"""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request
from urllib.error import URLError

DEFAULT = "http://127.0.0.1:8470/v1/health"
SECONDS = 4


def alive(url: str) -> bool:
    """Whether a node answers there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(url, timeout=SECONDS, context=context) as answer:  # noqa: S310  (our own setting)
            return bool(answer.status == 200)
    except ssl.SSLError:
        return True  # TLS 1.3 tells so only when the answer is read
    except URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if alive(os.environ.get("MEDWEAVE_HEALTH_URL", DEFAULT)) else 1)
