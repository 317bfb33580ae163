"""Addresses -> the desk's answers.

Owns the addresses below the token, which limit of time holds for each, and that whatever goes wrong
becomes a text for the person, without a word in the log of what was asked or dropped.
"""

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ecgpipe.apply_model.server.access import Access, App, guarded
from ecgpipe.apply_model.server.desk import Desk
from ecgpipe.apply_model.server.turns import Refused, Turns
from ecgpipe.apply_model.server.uploads import files_of
from ecgpipe.apply_model.server.words import WORDS, Both, word
from ecgpipe.config.settings import Language
from ecgpipe.drawing.fonts import bundled_font
from ecgpipe.progress import say

UPLOAD_S = 60.0
READ_S = 90.0
DRAW_S = 60.0
EXPLAIN_S = 180.0
ASK_S = 600.0
"""A question may have to load the language model, which takes minutes."""

_LONGEST_QUESTION_BYTES = 4096
_FILES = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css"),
          "/page.js": ("page.js", "text/javascript")}  # fmt: skip

Answer = Callable[[Request], Awaitable[Response]]


def build_app(desk: Desk, turns: Turns, access: Access) -> App:
    """The whole server as an ASGI app.

    Args:
        desk: answers.
        turns: the queue before it.
        access: who may ask.
    """
    routes = [Route(path, _answering(_file(*file))) for path, file in _FILES.items()]
    routes.append(Route("/japanese.ttf", _answering(_font)))
    routes += [
        Route(path, _answering(answer), methods=[method])
        for method, path, answer in _answers(desk, turns)
    ]

    async def not_there(_: Request, error: Exception) -> Response:
        return _refuse_json(getattr(error, "status_code", 404), word("not_there"))

    app = Starlette(routes=routes, exception_handlers={404: not_there, 405: not_there})
    app.router.redirect_slashes = False
    return guarded(app, access, _refuse_text)


def _answers(desk: Desk, turns: Turns) -> list[tuple[str, str, Answer]]:
    async def about(_: Request) -> Response:
        return JSONResponse({"words": dict(WORDS), **desk.about()})

    async def receive(request: Request) -> Response:
        async with asyncio.timeout(UPLOAD_S):
            files = await files_of(request.headers, request.stream())
        return JSONResponse(await turns.take(lambda d: desk.receive(files, d), READ_S))

    async def forget(_: Request) -> Response:
        await turns.take(lambda _: desk.forget(), DRAW_S)
        return JSONResponse({})

    async def sheet(request: Request) -> Response:
        ecg, language = _ecg(request), _language(request)
        return _png(await turns.take(lambda _: desk.sheet(ecg, language), DRAW_S))

    async def explained(request: Request) -> Response:
        ecg, language = _ecg(request), _language(request)
        task, one = request.query_params.get("task", ""), request.query_params.get("class", "")
        return _png(
            await turns.take(lambda d: desk.explained(ecg, task, one, language, d), EXPLAIN_S)
        )

    async def ask(request: Request) -> Response:
        async with asyncio.timeout(UPLOAD_S):
            ecg, text = _ecg(request), await _question(request)
        return JSONResponse(await turns.take(lambda _: desk.ask(ecg, text), ASK_S))

    async def similar(request: Request) -> Response:
        ecg = _ecg(request)
        return JSONResponse(await turns.take(lambda _: desk.similar(ecg), DRAW_S))

    return [
        ("GET", "/about.json", about),
        ("POST", "/ecgs", receive),
        ("DELETE", "/ecgs", forget),
        ("GET", "/ecgs/{ecg}/sheet.png", sheet),
        ("GET", "/ecgs/{ecg}/explained.png", explained),
        ("POST", "/ecgs/{ecg}/question", ask),
        ("GET", "/ecgs/{ecg}/similar.json", similar),
    ]


def _file(name: str, kind: str) -> Answer:
    content = (resources.files("ecgpipe.apply_model") / "server" / name).read_bytes()

    async def answer(_: Request) -> Response:
        return Response(content, media_type=kind)

    return answer


async def _font(_: Request) -> Response:
    return Response(bundled_font().read_bytes(), media_type="font/ttf")


def _answering(answer: Answer) -> Answer:
    """An answer in any case; the log names the place of our own mistakes, and no content."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except Refused as refused:
            return _refuse_json(refused.status, refused.reason)
        except TimeoutError:
            return _refuse_json(408, word("too_long", seconds=f"{UPLOAD_S:g}"))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            say(f"serve: unforeseen {type(error).__name__} in {last.filename}:{last.lineno}")
            return _refuse_json(500, word("our_mistake"))

    return answered


async def _question(request: Request) -> str:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _LONGEST_QUESTION_BYTES:
            raise Refused(413, word("no_question"))
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, Mapping) or not isinstance(said.get("text"), str):
        raise Refused(400, word("no_question"))
    text: str = said["text"]
    return text


def _ecg(request: Request) -> str:
    name: str = request.path_params["ecg"]
    return name


def _language(request: Request) -> Language:
    return "en" if request.query_params.get("language") == "en" else "ja"


def _png(content: bytes) -> Response:
    return Response(content, media_type="image/png")


def _refuse_json(status: int, reason: Both) -> Response:
    return JSONResponse({"error": dict(reason)}, status)


def _refuse_text(status: int, reason: Both) -> Any:
    return PlainTextResponse(f"{reason['ja']}\n{reason['en']}\n", status)
