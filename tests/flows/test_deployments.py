from flows import deployments
from flows.nightly_flow import nightly_segmenter


def test_the_nightly_schedule_is_a_cron_that_prefect_accepts():
    deployment = nightly_segmenter.to_deployment("nightly", cron=deployments.NIGHTLY)
    assert deployment.schedules[0].schedule.cron == "0 2 * * *"
