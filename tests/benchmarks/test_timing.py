from benchmarks.timing import interleave


def test_methods_take_turns_and_keep_their_results():
    calls = []

    def method(name):
        return lambda: calls.append(name) or name

    timings, results = interleave({"a": method("a"), "b": method("b")}, runs=3, at_least_ms=0.0)
    # Twice to warm up, then in turn.
    assert "".join(calls) == "aabb" + "ab" * 3
    assert results == {"a": "a", "b": "b"}
    assert all(timing.calls == 1 for timing in timings.values())


def test_order_statistics_are_in_order():
    timings, _ = interleave({"sum": lambda: sum(range(1000))}, runs=5, at_least_ms=0.2)
    timing = timings["sum"]
    assert timing.min_ms <= timing.lower_quartile_ms <= timing.median_ms <= timing.upper_quartile_ms
    assert timing.calls > 1
    one, _ = interleave({"sum": lambda: sum(range(1000))}, runs=1)
    assert one["sum"].min_ms == one["sum"].median_ms == one["sum"].upper_quartile_ms
