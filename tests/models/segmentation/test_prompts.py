from models.segmentation.prompts import TEMPLATES


def test_eighty_templates_of_clip_and_five_of_scenes() -> None:
    assert len(TEMPLATES) == len(set(TEMPLATES)) == 85
    assert all(template.count("{}") == 1 for template in TEMPLATES)
    assert sum("in the scene" in template for template in TEMPLATES) == 5
