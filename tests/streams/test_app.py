"""What Faust is kept from."""

from __future__ import annotations

from mode.utils.queues import FlowControlQueue

from streams.app import HeadroomApp


def test_what_was_let_through_stays_when_the_flow_is_resumed_once_more() -> None:
    """As Faust does when two rounds of sharing out follow each other at once."""
    flow = HeadroomApp("test").flow_control
    queue: FlowControlQueue[str] = FlowControlQueue(flow_control=flow, clear_on_resume=True)
    flow.resume()
    queue.put_nowait("of the second round")
    flow.resume()
    assert queue.qsize() == 1
    flow.suspend()
    flow.resume()
    assert queue.qsize() == 0
