"""Hands the work to a pool of processes, with a queue, a lock and shared memory."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from right import serve


def work(text):
    return text


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    lock, counter = context.Lock(), context.Value("i", 0)
    pool = ProcessPoolExecutor(2, mp_context=context)

    def echo(self, sent):
        with lock:
            counter.value += 1
        return {"text": pool.submit(work, sent["text"]).result()}

    serve(echo=echo)
