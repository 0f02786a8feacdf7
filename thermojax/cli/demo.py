"""`thermojax demo`: the live page, on this machine alone."""

from __future__ import annotations

import argparse
import sys

from ..experiment.errors import UserError, one_line
from .arguments import Parser


def port_in(text: str) -> int:
    """The number of a port, as an option gives it."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text}: expected a port, 0 to 65535 (0: a free one)")
    return int(text)


def seed_in(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, not negative")
    return int(text)


PARSER = Parser("demo", "Show driven systems in motion, on a page at 127.0.0.1. Ctrl-C ends it.")
PARSER.add_argument(
    "--port", metavar="N", type=port_in, default="8642", help="8642 when left out; 0: a free one"
)
PARSER.add_argument("--no-browser", action="store_true", help="print the address, and open nothing")
PARSER.add_argument("--seed", metavar="N", type=seed_in, help="of the noise (new each time)")


def execute(options: argparse.Namespace) -> None:
    import os
    import secrets
    import webbrowser

    # Checks of diffrax inside of compiled programs call Python, for which a small machine may have
    # no thread left; and programs that call Python are not kept in the cache.
    os.environ.setdefault("EQX_ON_ERROR", "off")

    import jax

    from ..compilation_cache import cache_is_off, enable_compilation_cache
    from ..cpu import jax_is_used, set_up_cpu

    if not jax_is_used():
        set_up_cpu()
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # every frame is waited for
    if not cache_is_off():
        enable_compilation_cache()

    from ..demo.server import HOST, Desk, application, listening, server_of

    seed = secrets.randbits(32) if options.seed is None else options.seed
    try:
        socket = listening(options.port)
    except OSError as error:
        raise UserError(
            f"--port {options.port}: cannot be listened on ({one_line(error)}): take another one, "
            "or 0 for a free one"
        ) from None
    with socket:
        port = socket.getsockname()[1]
        try:
            server = server_of(application(Desk(jax.random.key(seed)), port))
        except ImportError as error:
            raise UserError(one_line(error)) from None
        address = f"http://{HOST}:{port}"
        print(f"The page: {address} (seed {seed}; Ctrl-C ends it)", flush=True)
        if not options.no_browser and not webbrowser.open(address):
            print("No browser could be opened: open the address yourself.", file=sys.stderr)
        server.run(sockets=[socket])
