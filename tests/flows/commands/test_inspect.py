def test_config_show_is_json(answer):
    document = answer("config", "show")
    assert document["segmenter.steps"] == {"value": "60", "origin": "params.yaml"}
