"""Quiet periods: what goes out when, with the clock passed in."""

from daemon.service.monitoring.rate_limit import Message, RateLimiter


def message(number: int, kind: str = "disk") -> Message:
    return Message(kind, f"title {number}", f"text {number}")


def test_one_message_of_a_kind_goes_out_and_the_rest_is_summed_up() -> None:
    limiter = RateLimiter(100)
    assert limiter.offer(message(1), 0) == message(1)
    assert limiter.next_due_s(0) is None
    assert limiter.offer(message(2), 50) is None
    assert limiter.offer(message(3), 60) is None
    assert limiter.next_due_s(70) == 30
    assert limiter.due(99) == []
    (summary,) = limiter.due(100)
    assert summary.title == "2 times: title 3"
    assert summary.text == ("Since the last message of this kind:\n- title 2\n- title 3\n\ntext 3")
    assert limiter.offer(message(4), 150) is None, "a summary begins a quiet period of its own"
    assert limiter.due(199) == []
    assert limiter.due(200) == [message(4)], "a single one is sent as it is"


def test_a_message_after_the_period_sums_up_those_held_back() -> None:
    limiter = RateLimiter(100)
    limiter.offer(message(1), 0)
    limiter.offer(message(2), 10)
    sent = limiter.offer(message(3), 100)
    assert sent is not None
    assert sent.title == "2 times: title 3"
    assert "- title 2\n" in sent.text


def test_each_kind_has_its_own_quiet_period() -> None:
    limiter = RateLimiter(100)
    assert limiter.offer(message(1, "disk"), 0) == message(1, "disk")
    assert limiter.offer(message(1, "job"), 0) == message(1, "job")


def test_after_the_period_with_nothing_held_back_a_message_goes_out_at_once() -> None:
    limiter = RateLimiter(100)
    limiter.offer(message(1), 0)
    assert limiter.due(100) == []
    assert limiter.offer(message(2), 100) == message(2)


def test_without_a_quiet_period_everything_goes_out() -> None:
    limiter = RateLimiter(0)
    assert [limiter.offer(message(n), 0) for n in range(3)] == [message(n) for n in range(3)]


def test_a_summary_counts_what_it_does_not_name() -> None:
    limiter = RateLimiter(100)
    for number in range(14):
        limiter.offer(message(number), 0)
    (summary,) = limiter.flush()
    assert summary.title == "13 times: title 13"
    assert "(3 before these)\n- title 4\n" in summary.text
    assert limiter.flush() == []
