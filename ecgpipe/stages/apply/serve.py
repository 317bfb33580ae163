"""A trained model behind a page of this machine: sockets, signals, and the line with the address.

Owns where it listens, and that nothing is left when it ends. The page belongs to
`apply_model.server`.
"""

import errno
import socket
from collections.abc import Callable
from pathlib import Path

from ecgpipe.apply_model.applied_model import AppliedModel
from ecgpipe.apply_model.archive import read_archive
from ecgpipe.errors import ConfigError
from ecgpipe.progress import say
from ecgpipe.stopping import stop_on_signals

_GRACE_S = 3
"""How long requests may go on after a stop."""

_CONNECTIONS = 64


def run_serve(
    model: AppliedModel,
    archive: Path | None,
    host: str,
    port: int,
    show_address: Callable[[str], None],
) -> None:
    """Serve the page until a stop signal.

    Args:
        model: what is asked.
        archive: of the same model, for similar ECGs.
        host: the name or address to listen at.
        port: 0 for any that is free.
        show_address: called once the page can be opened.

    Raises:
        ConfigError: the extra packages are missing, or nothing can listen there.
        StoreError: the archive is damaged, or of another model.
    """
    try:
        import uvicorn

        from ecgpipe.apply_model.server.access import access_to, is_loopback
        from ecgpipe.apply_model.server.app import build_app
        from ecgpipe.apply_model.server.desk import Desk
        from ecgpipe.apply_model.server.turns import Turns
        from ecgpipe.apply_model.server.uploads import private_folder
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"`ecgpipe serve` needs packages that are not installed ({error.name}). Install them"
            " with: pip install 'ecgpipe[serve]'"
        ) from None
    opened = None if archive is None else read_archive(archive, model.digest)
    access, turns = access_to(host), Turns()
    with listening(host, port) as listener, private_folder() as folder:
        config = uvicorn.Config(
            build_app(Desk(model, opened, folder), turns, access),
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_GRACE_S,
        )
        if not is_loopback(host):
            say(
                "serve: other machines can reach this one. Whoever has the address may ask, and"
                " recordings travel unencrypted; an SSH tunnel to the default host is safer."
            )
        say("serve: open this address in a browser. Ctrl-C ends it. Not a medical device.")
        show_address(address(host, listener.getsockname()[1], access.token))
        with stop_on_signals():  # uvicorn repeats a signal that it caught, to whoever came before
            uvicorn.Server(config).run(sockets=[listener])
        turns.close()
    say("serve: ended; nothing of what was dropped is left.")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens, so that the address is known before the server starts.

    Raises:
        ConfigError: nothing can listen there.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"Port {port} of {host} is in use, perhaps by another `ecgpipe serve`. End that"
                " one, or choose another port: --port 0 takes any that is free."
            ) from None
        if error.errno == errno.EACCES:
            raise ConfigError(
                f"Port {port} of {host} may not be used by an ordinary user. Choose one above 1023,"
                " or --port 0 for any that is free."
            ) from None
        raise ConfigError(
            f"Nothing can listen at {host}: {error.strerror or error}. Name an address of this"
            " machine with --host, or leave it out."
        ) from None


def address(host: str, port: int, token: str) -> str:
    """The address of the page."""
    shown = socket.gethostname() if host in ("0.0.0.0", "::") else host
    shown = f"[{shown}]" if ":" in shown else shown
    return f"http://{shown}:{port}/{token}/"
