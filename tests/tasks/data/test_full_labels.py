import pytest

from tasks.data.full_labels import FullImage, check_names


def image(**changes):
    values = {"image_id": 1, "height": 2, "width": 3, "image": "train/a.jpg", "name": "a.png", "files": ()}
    return FullImage(**{**values, **changes})


def test_a_split_has_images_and_each_its_own_id_name_and_file():
    other = image(image_id=2, image="train/b.jpg", name="b.png")
    check_names((image(), other))
    with pytest.raises(ValueError, match=r"^there is no image\.$"):
        check_names(())
    for changes, message in [
        ({"image_id": 1}, "two images have the id '1'."),
        ({"name": "a.png"}, "two images have the name 'a.png'."),
        ({"image": "train/a.jpg"}, "two images have the file 'train/a.jpg'."),
    ]:
        values = {"image_id": 2, "image": "train/b.jpg", "name": "b.png"} | changes
        with pytest.raises(ValueError, match=message):
            check_names((image(), image(**values)))
