"""Run in an image until SIGTERM comes, and print that it came."""

import os
import signal
import sys
import time


def stop(number: int, _frame: object) -> None:
    print(f"stopped by {signal.Signals(number).name}", flush=True)
    sys.exit(42)


signal.signal(signal.SIGTERM, stop)
print(f"ready {os.getpid()}", flush=True)
time.sleep(300)
