def test_config_show_is_json(project):
    document = project.groundwork("config", "show")
    assert document["segmenter.steps"] == {"value": "60", "origin": "params.yaml"}
