from tasks.steps import promotion


def test_every_effect_is_tried_again_and_never_cached():
    for task in (
        promotion.judge,
        promotion.record,
        promotion.promote,
        promotion.report,
        promotion.watch_champion,
    ):
        assert task.retries == 2
        assert task.timeout_seconds >= 1800
        assert type(task.cache_policy).__name__ == "_None"
