import socket
from pathlib import Path

import psutil

from rbee_cli.up import ports


def test_busy_port_names_its_holder() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
        me = psutil.Process()
        assert ports.holder_of(port) == f"{me.name()} (pid {me.pid})"


def test_port_is_remembered_until_someone_takes_it(tmp_path: Path) -> None:
    path = tmp_path / "redis.port"
    port = ports.remembered_port(path)
    assert ports.remembered_port(path, preferred=1) == port
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))
        listener.listen()
        other = ports.remembered_port(path)
    assert other != port
    assert path.read_text() == f"{other}\n"
