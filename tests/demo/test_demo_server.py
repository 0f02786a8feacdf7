"""The server itself on a free port of 127.0.0.1: who is let in, and what becomes of a page."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import json
import socket
import threading
import time

import jax
import pytest

from thermojax.cli import main
from thermojax.demo import server as demo_server
from thermojax.demo.self_check import Comparison, SelfCheck
from thermojax.demo.server import HEADERS, HOST, PAGES, Desk, application, listening, server_of

MISSING = [x for x in ("starlette", "uvicorn", "websockets") if not importlib.util.find_spec(x)]
served = pytest.mark.skipif(
    bool(MISSING), reason=f"{', '.join(MISSING)} missing: pip install 'thermojax[demo]'"
)


def quick_check(key):
    return SelfCheck((Comparison("a number", 1.0, 0.1, 1.05),), 1e-15)


@pytest.fixture(scope="module")
def served_port():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo_server, "warm_up", list)
        with listening(0) as listener:
            port = listener.getsockname()[1]
            server = server_of(application(Desk(jax.random.key(0), quick_check), port))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
            thread.start()
            while not server.started:
                time.sleep(0.01)
            yield port
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def asked(port, path="/", **headers):
    """(status, headers, body) of a request, with the headers as they are given."""
    connection = http.client.HTTPConnection(HOST, port, timeout=20)
    try:
        connection.putrequest("GET", path, skip_host="host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def page_of(port, origin=None, **options):
    from websockets.sync.client import connect

    origin = f"http://{HOST}:{port}" if origin is None else origin
    return connect(f"ws://{HOST}:{port}/stream", origin=origin, **options)


def next_of(page, wanted, timeout=90):
    """The next message of a kind, those before it left out; each frame is seen."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        message = json.loads(page.recv(timeout))
        if "frame" in message:
            page.send(json.dumps({"do": "seen", "frame": message["frame"]}))
        if wanted in (message.get("kind"), *message):
            return message
    raise AssertionError(f"no {wanted}")


def pages(port):
    return json.loads(asked(port, "/status.json")[2])["pages"]


@served
def test_the_page_comes_with_headers_that_keep_it_to_itself(served_port):
    for path in ("/", "/index.html", "/main.js", "/style.css", "/icon.svg"):
        status, headers, body = asked(served_port, path)
        assert status == 200 and body
        for name, value in HEADERS.items():
            assert headers[name.lower()] == value
        for remote in ("https:", "//cdn", "eval(", "innerHTML"):
            assert remote not in body, path
    assert asked(served_port, "/../server.py")[0] == 404
    assert asked(served_port, "/%2e%2e/server.py")[0] == 404


@served
def test_it_listens_on_this_machine_alone(served_port):
    others = {str(x[4][0]) for x in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {HOST}:
        if address.startswith("127."):
            continue
        with pytest.raises(OSError):
            socket.create_connection((address, served_port), timeout=2).close()


@served
def test_foreign_hosts_and_origins_are_refused(served_port):
    from websockets.exceptions import InvalidStatus

    own = f"{HOST}:{served_port}"
    assert asked(served_port, host=own)[0] == 200
    assert asked(served_port, host=f"localhost:{served_port}")[0] == 200
    for host in ("evil.example", f"evil.example:{served_port}", f"{HOST}:1", "", HOST + ".nip.io"):
        assert asked(served_port, host=host)[0] in (400, 421), host
    assert asked(served_port, origin=f"http://{own}")[0] == 200
    foreign = ("http://evil.example", f"https://{own}", f"http://{HOST}:1", "null", "")
    for origin in foreign:
        assert asked(served_port, origin=origin)[0] == 403, origin
        with pytest.raises(InvalidStatus, match="403"):
            page_of(served_port, origin)
    with pytest.raises(InvalidStatus, match="403"):  # no origin at all
        no_origin(served_port)
    with pytest.raises(InvalidStatus):
        host_of_others(served_port)


def no_origin(port):
    from websockets.sync.client import connect

    return connect(f"ws://{HOST}:{port}/stream")


def host_of_others(port):
    """As after DNS rebinding: the name of another site, at this address."""
    from websockets.sync.client import connect

    name = f"http://evil.example:{port}"
    with socket.create_connection((HOST, port)) as sock:
        return connect(f"ws://evil.example:{port}/stream", sock=sock, origin=name)


@served
def test_a_page_is_greeted_checked_and_streamed_to(served_port):
    with page_of(served_port) as page:
        hello = json.loads(page.recv(20))
        assert hello["kind"] == "hello" and hello["ranges"]["turn"]["mass"] == [0.3, 4.0]
        check = json.loads(page.recv(20))
        assert check["kind"] == "check" and check["fine"] and len(check["rows"]) == 1
        assert check["rows"][0]["deviation"] == pytest.approx(-0.5)
        first = next_of(page, "oscillators")
        assert first["truth"]["covariance"] == [1.0, 0.0, 1.0]
        page.send('{"do":"turn","temperature":2}')
        assert next_of(page, "truth")["truth"]["covariance"] == [2.0, 0.0, 2.0]


@served
def test_two_pages_have_streams_of_their_own_and_a_closed_one_is_freed(served_port):
    with page_of(served_port) as one:
        next_of(one, "oscillators")
        with page_of(served_port) as other:
            next_of(other, "oscillators")
            assert pages(served_port) == 2
            one.send('{"do":"turn","temperature":3}')
            assert next_of(one, "truth")["truth"]["knobs"][0] == 3.0
            for _ in range(5):
                assert "truth" not in next_of(other, "oscillators")
        until = time.monotonic() + 10
        while pages(served_port) != 1 and time.monotonic() < until:
            time.sleep(0.05)
        assert pages(served_port) == 1
        next_of(one, "oscillators")


@served
def test_malformed_messages_get_an_answer(served_port):
    with page_of(served_port) as page:
        next_of(page, "oscillators")
        for wrong in ("?", b"\x00\xff", "[" * 4000, '{"do":"turn","mass":-1}', " " * 5000):
            page.send(wrong)
            error = next_of(page, "error")["error"]
            assert error and "Traceback" not in error
        next_of(page, "oscillators")
    with page_of(served_port) as page:  # what is far too long ends this page, and no other
        from websockets.exceptions import ConnectionClosed

        page.send("x" * 10**6)
        with pytest.raises(ConnectionClosed):
            while True:
                page.recv(20)
    assert asked(served_port)[0] == 200


@served
def test_there_is_an_end_to_pages(served_port):
    until = time.monotonic() + 10
    while pages(served_port) and time.monotonic() < until:
        time.sleep(0.05)
    with contextlib.ExitStack() as opened:
        for _ in range(PAGES):
            next_of(opened.enter_context(page_of(served_port)), "hello")
        with page_of(served_port) as late:
            assert f"{PAGES} pages are open" in json.loads(late.recv(20))["error"]


@pytest.fixture
def bystander(monkeypatch):
    """`thermojax demo` as far as to the server, with nothing changed in this process."""
    for name in ("set_up_cpu", "enable_compilation_cache"):
        module = "cpu" if name == "set_up_cpu" else "compilation_cache"
        monkeypatch.setattr(f"thermojax.{module}.{name}", lambda *args: None)


def test_mistakes_of_the_command_are_one_sentence(capsys, bystander):
    assert main(["demo", "--help"]) == 0 and "--no-browser" in capsys.readouterr().out
    for wrong in (
        ["--port", "x"],
        ["--port", "70000"],
        ["--seed", "-1"],
        ["--seed", "a"],
        ["more"],
    ):
        assert main(["demo", *wrong]) == 2
        assert capsys.readouterr().err.startswith("thermojax: ")
    with listening(0) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--no-browser", "--port", str(port)]) == 2
        assert f"--port {port}: cannot be listened on" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets"])
def test_a_missing_package_is_said_with_its_cure(package, capsys, bystander, monkeypatch):
    import sys

    for name in [x for x in sys.modules if x.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # as if it could not be found
    assert main(["demo", "--no-browser", "--port", "0"]) == 2
    assert "pip install 'thermojax[demo]'" in capsys.readouterr().err
