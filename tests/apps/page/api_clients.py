"""Clients of the page without a browser.

Reading the certificates of the machine takes longer than a request, and the page uses none.
"""

import atexit
from concurrent.futures import ThreadPoolExecutor

import httpx
from gradio_client import Client

HTTP = httpx.Client(verify=False, timeout=60)
atexit.register(HTTP.close)


def gradio_client(address, **settings):
    """A client of the page as programs use it."""
    return Client(address, verbose=False, ssl_verify=False, **settings)


def gradio_clients(address, count, **settings):
    """As many clients, each with a session of its own."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: gradio_client(address, **settings), range(count)))
