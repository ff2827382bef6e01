"""The measuring script's arithmetic: which task is the longest of the page's own thread, what is missed, what is told."""

from tools.measure_browser import Report, Run, longest_block, middle


def task(thread, ms, cpu, name="ThreadControllerImpl::RunTask"):
    return {"ph": "X", "pid": 1, "tid": thread, "name": name, "dur": ms * 1000, "tdur": cpu * 1000}


def test_the_longest_task_of_the_pages_own_thread():
    names = [
        {"name": "thread_name", "pid": 1, "tid": thread, "args": {"name": name}}
        for thread, name in ((7, "CrRendererMain"), (8, "DedicatedWorker thread"))
    ]
    events = [*names, task(7, 30, 12), task(7, 25, 20), task(8, 900, 800), task(7, 500, 500, "Something else")]
    assert longest_block(events) == (30, 20)
    assert longest_block(names) == (0, 0)


def report(**changed):
    given = {
        "server": Run(0.1, 2.0, 1.9),
        "browser": Run(0.4, 5.0, 6.0),
        "open_s": 3.0,
        "again_s": 2.0,
        "again_bytes": 0,
        "block_ms": 45.0,
        "block_cpu_ms": 40.0,
        "memory_mb": 300.0,
        "load_before": 0.5,
        "load_after": 1.0,
        "gpu": "this browser has no WebGPU",
    }
    return Report(**{**given, **changed})


def test_goals():
    assert report().ratio == 2.5
    assert report().missed() == []
    cases = [
        ({"browser": Run(0.4, 6.2, 6.0)}, "pair against the server: 3.1, the goal is 3"),
        ({"browser": Run(0.6, 5.0, 6.0)}, "seconds to the first picture: 0.6, the goal is 0.5"),
        ({"block_ms": 80.0}, "milliseconds of the page's own thread in one piece: 80, the goal is 50"),
        ({"again_bytes": 9}, "bytes of the second visit: 9, the goal is 0"),
    ]
    for changed, said in cases:
        assert report(**changed).missed() == [said]


def test_the_report_tells_everything():
    told = "\n".join(report().lines())
    for part in ("0.5 before, 1.0 after", "pair 2.00 s", "pair 5.00 s", "2.50 by the clock", "300 MB", "0 bytes", "no WebGPU"):
        assert part in told


def test_the_median_of_each_figure():
    assert middle([Run(1, 9, 3), Run(2, 7, 5), Run(3, 8, 4)]) == Run(2, 8, 4)
