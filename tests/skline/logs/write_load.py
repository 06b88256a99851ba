"""A process that logs predictions until it is killed: `write_load MODE DATABASE PARTITIONS`.

It prints a prediction's id as soon as a service could have returned it.
"""

import asyncio
import os
import sys
import time

from skline.logs.settings import LogSettings
from skline.logs.writer import PredictionLog
from tests.skline.logs.conftest import prediction


async def log_predictions(log: PredictionLog, pause: float) -> None:
    """Log one prediction after the other."""
    while True:
        record = prediction()
        await log.append([record])
        os.write(1, f"{record.prediction_id}\n".encode())
        if pause:
            await asyncio.sleep(pause)


async def main(mode: str, database: str, partitions: str) -> None:
    """In sync mode 20 callers without a pause; in async mode one caller with at most 500 rows a second."""
    log = PredictionLog(LogSettings.model_validate({"mode": mode, "database": database, "partitions": partitions}))
    if mode == "sync":
        await asyncio.gather(*(log_predictions(log, 0) for _ in range(20)))
    else:
        log.put(prediction())
        while not log.stats().written:
            time.sleep(0.01)
        await log_predictions(log, 0.002)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
