"""Notifications, sent by apprise itself to a server of the test."""

import builtins
import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import pytest

from daemon.service.monitoring.notifier import Address, Notifier, read_addresses
from daemon.service.monitoring.rate_limit import Message
from daemon.system import logging as log
from daemon.system.errors import ConfigError
from tests.support.message_server import DEADLINE_S, MessageServer
from tests.support.waiting import wait_for


@pytest.fixture
def message_server() -> Iterator[MessageServer]:
    message_server = MessageServer()
    yield message_server
    message_server.close()


@pytest.fixture
def said() -> Iterator[StringIO]:
    """The daemon's log."""
    stream = StringIO()
    log.configure(stream)
    yield stream
    log.configure()


def test_a_message_arrives_with_title_and_text(message_server: MessageServer) -> None:
    notifier = Notifier(read_addresses([f"json://{message_server.address}/"], None), 3600)
    notifier.notify("disk-full", "attic: the disk is full", "No photograph\nis taken in.")
    wait_for(lambda: bool(message_server.messages))
    message = message_server.messages[0]
    assert (message["title"], message["message"]) == (
        "attic: the disk is full",
        "No photograph\nis taken in.",
    )
    notifier.close(DEADLINE_S)
    assert len(message_server.messages) == 1


def test_a_message_quotes_names_without_letting_them_act(message_server: MessageServer) -> None:
    notifier = Notifier(read_addresses([f"json://{message_server.address}/"], None), 3600)
    notifier.notify("bulk-job-ended", "bulk job a\nb\x1b", "first\nin \u202egpj.exe\x9b")
    notifier.close(DEADLINE_S)
    message = message_server.messages[0]
    assert (message["title"], message["message"]) == (
        r"bulk job a\nb\x1b",
        "first\nin \\u202egpj.exe\\x9b",
    )


def test_in_the_quiet_period_nothing_is_sent_and_the_end_sums_it_up(
    message_server: MessageServer,
) -> None:
    notifier = Notifier(read_addresses([f"json://{message_server.address}/"], None), 3600)
    for number in range(3):
        notifier.notify("bulk-job", f"job {number}", "done")
    notifier.notify("disk-full", "full", "")
    notifier.close(DEADLINE_S)
    assert message_server.titles() == ["job 0", "full", "2 times: job 2"]


def test_the_summary_goes_out_when_the_quiet_period_is_over(message_server: MessageServer) -> None:
    notifier = Notifier(read_addresses([f"json://{message_server.address}/"], None), 0.3)
    notifier.notify("bulk-job", "first", "")
    notifier.notify("bulk-job", "second", "")
    wait_for(lambda: message_server.titles() == ["first", "second"])
    notifier.close(DEADLINE_S)


def test_notify_does_not_wait_and_a_server_that_hangs_holds_nothing_up(
    message_server: MessageServer, said: StringIO
) -> None:
    other = MessageServer()
    message_server.gate.clear()
    urls = [f"json://{message_server.address}/?rto=60", f"json://{other.address}/"]
    notifier = Notifier(read_addresses(urls, None), 0, send_s=0.8)
    began = time.monotonic()
    notifier.notify("a", "first", "")
    notifier.notify("b", "second", "")
    assert time.monotonic() - began < 0.4
    wait_for(lambda: other.titles() == ["first", "second"], "the address that answers")
    wait_for(lambda: said.getvalue().count("not_notified") == 2, "the reasons")
    events = [json.loads(line) for line in said.getvalue().splitlines()]
    why = [event["why"] for event in events if event["event"] == "not_notified"]
    assert why == ["no answer within 0.8 s", "an earlier message is still being sent"]
    notifier.close(DEADLINE_S)
    other.close()
    # The send that was given up ends in its own thread; its event belongs to this test's log.
    heard = said.getvalue().count('"notified"')
    message_server.gate.set()
    wait_for(lambda: said.getvalue().count('"notified"') > heard, "the send that was given up")


def test_a_failed_send_is_logged_with_its_reason_and_without_the_secrets(
    said: StringIO, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    refusing = MessageServer(status=403)
    url = f"json://anna:hunter2@{refusing.address}/tok%20en123/?+X-Key=sesame42"
    notifier = Notifier(read_addresses([url], None), 0)
    with caplog.at_level(logging.DEBUG):
        notifier.notify("disk-full", "full", "")
        notifier.close(DEADLINE_S)
    refusing.close()
    (event,) = [json.loads(line) for line in said.getvalue().splitlines()]
    assert (event["event"], event["address"], event["kind"]) == (
        *("not_notified", "notify[0] (json)"),
        "disk-full",
    )
    assert "403" in event["why"]
    everything = said.getvalue() + str(capfd.readouterr())
    for secret in ("hunter2", "anna", "tok%20en123", "tok en123", "sesame42"):
        assert secret not in everything


def test_what_an_address_raises_is_logged_by_its_type_alone(said: StringIO) -> None:
    class Odd:
        name = "odd"

        def send(self, message: Message) -> str:
            raise ValueError("cannot reach json://hunter2")

    addresses: Sequence[Address] = [Odd()]
    notifier = Notifier(addresses, 0)
    notifier.notify("a", "b", "c")
    notifier.notify("a", "b", "c")
    notifier.close(DEADLINE_S)
    events = [json.loads(line) for line in said.getvalue().splitlines()]
    assert [(event["event"], event["why"]) for event in events] == [
        ("not_notified", "ValueError")
    ] * 2


def test_reasons_do_not_repeat_any_part_of_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    (address,) = read_addresses(["json://anna:hunter2@127.0.0.1:1/op%C3%A9n-sesame"], None)

    def fail(title: str, body: str) -> bool:
        said = "POST http://anna:hunter2@127.0.0.1:1/op%C3%A9n-sesame to opén-sesame failed"
        logging.getLogger("apprise").warning(said)
        return False

    monkeypatch.setattr(address._service, "notify", fail)  # type: ignore[attr-defined]
    why = address.send(Message("a", "b", "c"))
    assert why == "POST http://***:***@127.0.0.1:1/*** to *** failed"


def test_addresses_are_read_from_a_file_too(tmp_path: Path, message_server: MessageServer) -> None:
    file = tmp_path / "notify"
    file.write_text(f"# where to\n\njson://{message_server.address}/\n")
    (address,) = read_addresses([], file)
    assert address.name == "notify:3 (json)"
    assert address.send(Message("a", "title", "text")) == ""
    assert message_server.titles() == ["title"]


def test_a_missing_address_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"notify_file is .*/none, which cannot be read: No such"):
        read_addresses([], tmp_path / "none")


def test_a_url_that_apprise_does_not_know_is_named_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "notify"
    file.write_text("jsno://hunter2\n")
    with pytest.raises(ConfigError) as raised:
        read_addresses([], file)
    assert str(raised.value).startswith("notify:1 (jsno): not a URL that apprise knows")
    assert "hunter2" not in str(raised.value)


def test_without_apprise_the_setting_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: object, **named: object) -> object:
        if name == "apprise":
            raise ImportError(name)
        return real(name, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    assert read_addresses([], None) == ()
    with pytest.raises(ConfigError, match=r"pip install 'restored\[notify\]'"):
        read_addresses(["json://127.0.0.1"], None)


def test_without_an_address_no_thread_is_started() -> None:
    before = threading.active_count()
    notifier = Notifier((), 0)
    notifier.notify("a", "b", "c")
    assert threading.active_count() == before
    notifier.close(1)
