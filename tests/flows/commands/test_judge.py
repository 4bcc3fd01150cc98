def test_before_anything_was_trained(project):
    assert project.groundwork("history") == {"entries": []}
    for command in ("gate", "promote", "report"):
        error = project.groundwork(command, code=6)["error"]
        assert error["message"].startswith("data, code or parameters changed since configure_segmenter")
        assert error["hint"] == "Run `groundwork eval` first."
    error = project.groundwork("rollback", "--why", "because", code=2)["error"]
    assert error["message"] == "has no champion yet."
