"""A process that writes predictions until it is killed: python -m tests.skline.logs.load MODE DATABASE PARTITIONS

It prints a prediction's id as soon as a service could have answered with it.
"""

import asyncio
import os
import sys
import time

from skline.logs.settings import LogSettings
from skline.logs.writer import PredictionLog
from tests.skline.logs.conftest import prediction


async def answer(log: PredictionLog, pause: float) -> None:
    """Answer one request after the other."""
    while True:
        record = prediction()
        await log.append([record])
        os.write(1, f"{record.prediction_id}\n".encode())
        if pause:
            await asyncio.sleep(pause)


async def main(mode: str, database: str, partitions: str) -> None:
    """In sync mode 20 callers as fast as it goes; otherwise one with 500 rows a second, 100 of which make a batch."""
    log = PredictionLog(LogSettings.model_validate({"mode": mode, "database": database, "partitions": partitions}))
    if mode == "sync":
        await asyncio.gather(*(answer(log, 0) for _ in range(20)))
    else:
        log.put(prediction())
        while not log.stats().written:
            time.sleep(0.01)
        await answer(log, 0.002)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
