"""What profilers write, as stacks by stage; and the picture of them."""

from xml.etree import ElementTree as ET

import pytest

from tests.bench.flame import flame_graph
from tests.bench.process_cpu import MAIN, OTHER
from tests.bench.stacks import (
    LIBRDKAFKA,
    POLL,
    Sample,
    Stacks,
    by_stage,
    of_perf,
    of_py_spy,
    plain,
    self_counts,
    stage_of,
    waits,
)

LOOP = "BaseEventLoop._run_once (asyncio/base_events.py)"
FOLD = "Worker.fold (stream/worker/worker.py)"
SVG = "{http://www.w3.org/2000/svg}"


def test_a_line_of_py_spy_is_a_sample_of_its_thread_s_role() -> None:
    text = (
        "thread (7483): MainThread;<module> (tailstream);0x7f60543278ec (libc.so.6) 12\n"
        "thread (7706): tailstream-poll;Consumer_consume "
        "(confluent_kafka/cimpl.cpython-311-x86_64-linux-gnu.so);q_serve.localalias (librd.so) 3\n"
        "thread (7);thread_run (libpython3.11.so.1.0) 1\n"
    )
    assert list(of_py_spy(text)) == [
        Sample(MAIN, ("<module> (tailstream)", "[libc.so.6]"), 12),
        Sample(POLL, ("Consumer_consume (confluent_kafka/cimpl.so)", "q_serve (librd.so)"), 3),
        Sample(OTHER, ("thread_run (libpython3.11.so.1.0)",), 1),
    ]


def test_a_block_of_perf_is_a_sample_with_the_outermost_frame_first() -> None:
    text = (
        "rdk:broker1  8911 \n"
        "\tffffffff813a2313 finish_task_switch.isra.0 ([kernel.kallsyms])\n"
        "\t           87ebf pthread_cond_signal@@GLIBC_2.3.2 (/usr/lib/libc.so.6)\n"
        "\t           99999 cfree@GLIBC_2.2.5 (/usr/lib/libc.so.6)\n"
        "\t           12345 [unknown] (/usr/lib/libc.so.6)\n"
        "\n"
        "tailstream  7 \n"
        "\t  1 rocksdb::(anonymous namespace)::get(rocksdb::Slice const&) (/a b/rocks.so)\n"
        "\t  2 __pyx_f_6stream_4otlp_5_scan_read "
        "(/a b/_scan.cpython-311-x86_64-linux-gnu.so)\n"
        "\n"
        "tailstream  8 \n"
        "\t  1 [unknown] ([unknown])\n"
    )
    signalled = ("pthread_cond_signal (libc.so.6)", "finish_task_switch (kernel)")
    kernel = ("[libc.so.6]", "cfree (libc.so.6)", *signalled)
    main = ("stream.otlp._scan.read (_scan.so)", "rocksdb::{anonymous}::get (rocks.so)")
    found = list(of_perf(text, pid=7))
    assert found[:2] == [Sample(LIBRDKAFKA, kernel), Sample(MAIN, main)]
    assert found[2].role not in (MAIN, LIBRDKAFKA)
    assert found[2].stack == ("[unknown]",)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("__pyx_f_6stream_8sampling_5_fold_5State_advance", "stream.sampling._fold.State.advance"),
        ("__pyx_pw_6stream_8sampling_5_fold_3cut_due", "stream.sampling._fold.cut_due"),
        ("__pyx_pw_6stream_8sampling_6_judge_5Judge_5judge", "stream.sampling._judge.Judge.judge"),
        ("__pyx_pf_6stream_8sampling_6_judge_5Judge_4judge", "stream.sampling._judge.Judge.judge"),
        ("__pyx_pf_6stream_4otlp_6_merge_merge.constprop.0", "stream.otlp._merge.merge"),
        ("__pyx_tp_new_vectorcall_6stream_8sampling_5_rows_Rows", "stream.sampling._rows.Rows"),
        ("__Pyx_PyLong_From_int64_t", "__Pyx_PyLong_From_int64_t"),
        ("rd_kafka_q_serve0.localalias", "rd_kafka_q_serve0"),
    ],
)  # fmt: skip
def test_a_symbol_of_cython_is_told_by_its_name_in_python(symbol: str, name: str) -> None:
    assert plain(symbol) == name


def test_a_thread_that_waits_is_known_by_its_innermost_named_frame() -> None:
    assert waits(("run (a.py)", "pthread_cond_timedwait (libc.so.6)", "[libc.so.6]"))
    assert waits(("select (selectors.py)", "epoll_wait (libc.so.6)"))
    assert not waits(("pthread_cond_timedwait (libc.so.6)", "memcpy (libc.so.6)"))
    assert not waits(("[libc.so.6]",))


def test_a_stack_of_the_main_thread_belongs_to_the_innermost_stage_in_it() -> None:
    stack = ("<module> (tailstream)", LOOP, "Host.fold (stream/host.py)", FOLD, "memcpy (libc)")
    assert stage_of(Sample(MAIN, stack)) == ("fold", (FOLD, "memcpy (libc)"))
    assert stage_of(Sample(MAIN, stack[:3])) == ("loop", ("Host.fold (stream/host.py)",))
    assert stage_of(Sample(MAIN, stack[:1])) == ("loop", stack[:1])


@pytest.mark.parametrize(
    ("receive", "scan"),
    [
        ("Receiver.receive (stream/kafka/receive.py)", "Received_scan (stream/kafka/_receive.pyx)"),
        ("stream.kafka._receive.receive (_receive.so)", "stream.kafka._receive.Received.scan (s)"),
    ],
)
def test_the_poll_thread_s_stages_are_told_by_both_profilers_names(receive: str, scan: str) -> None:
    below = "PollThread._poll (stream/kafka/poll_thread.py)"
    consume = "Consumer_consume (cimpl.so)"
    seen = [Sample(POLL, (below, *more)) for more in ((consume,), (receive,), (receive, scan), ())]
    assert [stage_of(sample)[0] for sample in seen] == ["consume", "receive", "scan", "poll"]


def test_threads_of_no_stage_are_left_out_and_equal_stacks_are_one() -> None:
    stack = ("clone3 (libc)", "main (librdkafka)", "crc32 (librdkafka)")
    samples = [Sample(LIBRDKAFKA, stack, 2), Sample(LIBRDKAFKA, stack), Sample("other", stack)]
    assert by_stage(samples) == {"librdkafka": Stacks({("crc32 (librdkafka)",): 3})}


def test_what_all_stacks_of_a_stage_have_in_common_is_drawn_once() -> None:
    samples = [Sample(LIBRDKAFKA, ("clone3", "main", leaf)) for leaf in ("read", "write")]
    (stacks,) = by_stage(samples).values()
    assert stacks == Stacks({("main", "read"): 1, ("main", "write"): 1})


def test_self_time_is_the_innermost_frame_s() -> None:
    assert self_counts(Stacks({("a", "b"): 3, ("a",): 1, ("c", "b"): 2})) == {"b": 5, "a": 1}


def test_a_frame_is_as_wide_as_its_share_and_says_so() -> None:
    svg = flame_graph(Stacks({("a (x.py)", "b<T> (y.so)"): 3, ("a (x.py)",): 1}), "fold & plan")
    drawn = ET.fromstring(svg)
    shares = {}
    for frame in drawn.iter(f"{SVG}g"):
        title, box = frame.find(f"{SVG}title"), frame.find(f"{SVG}rect")
        assert title is not None
        assert box is not None
        shares[title.text] = float(box.attrib["width"])
    whole = shares["all: 100.0%, 4 samples"]
    assert shares["a (x.py): 100.0%, 4 samples"] == whole
    assert shares["b<T> (y.so): 75.0%, 3 samples"] == pytest.approx(0.75 * whole, abs=0.2)
    assert any(text.text == "fold & plan" for text in drawn.iter(f"{SVG}text"))


def test_what_is_too_narrow_to_be_seen_is_left_out() -> None:
    svg = flame_graph(Stacks({("wide",): 9_999, ("narrow",): 1}), "")
    assert "wide" in svg
    assert "narrow" not in svg
