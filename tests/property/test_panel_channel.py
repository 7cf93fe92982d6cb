"""However messages are lost, repeated and overtaken: nothing is done twice, and every answer is the first one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dxforge_nb.panels.channel import Channel, Request

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from("ab"), st.integers(1, 320), st.just("decide")),
        st.tuples(st.just("send"), st.sampled_from("ab"), st.integers(1, 320), st.just("hello")),
        st.tuples(st.just("answer"), st.integers(0, 9), st.just(0), st.just("")),
        st.tuples(st.just("crowd"), st.just(""), st.just(0), st.just("")),
    ),
    max_size=60,
)


@given(_STEPS)
def test_exactly_once(steps: list[tuple[str, str | int, int, str]]) -> None:
    channel = Channel()
    under_way: list[Request] = []
    done: dict[tuple[str, int], dict[str, object]] = {}
    begun: set[tuple[str, int]] = set()
    for what, which, number, op in steps:
        if what == "crowd":
            for page in range(70):
                hello = {"dx": 1, "client": f"crowd {page} {len(begun)}", "n": 1, "op": "hello"}
                request = channel.receive(hello).request
                assert request is not None
                channel.answer(request, {}, keep=False)
        elif what == "send":
            received = channel.receive({"dx": 1, "client": which, "n": number, "op": op})
            assert received.replies[0] == {"dx": 1, "to": which, "re": number, "got": True}
            for reply in received.replies[1:]:
                if reply["ok"]:
                    assert reply == done[str(which), number]
                else:
                    assert reply["error"]["kind"] in {"UnknownClientError", "ForgottenError"}
            if received.request is not None and op == "decide":
                assert (which, number) not in begun
                begun.add((str(which), number))
            if received.request is not None:
                under_way.append(received.request)
        elif under_way:
            request = under_way.pop(int(which) % len(under_way))
            answer = channel.answer(request, {"what": len(done)}, keep=request.op == "decide")
            if request.op == "decide":
                done[request.client, request.number] = answer
