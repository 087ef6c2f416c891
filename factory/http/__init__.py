"""The one way to speak HTTP: a client, its retries, downloads, whom credentials go to, work in parallel."""

import sys

# httpx imports its command line (rich, pygments, click) if it can, which doubles the time of its import.
# Without that module it does without.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
