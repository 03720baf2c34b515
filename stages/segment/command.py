"""`tag2mask predict` with weights of a DeepLab, results/<run>/segment/<recipe>/weights.pt: classes, no instances."""

import json

from tag2mask.view.prediction import write_picture

OPTIONS = {"--flip": {"action": "store_true", "help": "average with the mirrored photo, twice the time"}}


def predict(given, files, weights, job):
    """Label the photos, one by one, so that a folder may be of any size; see `tag2mask.cli.predict`."""
    import numpy as np
    from PIL import Image

    from stages.segment.config import Config
    from stages.segment.predict import label_photos
    from tag2mask.data.photo import readable
    from tag2mask.data.scale import resized
    from tag2mask.store.manifest import write_text
    from tag2mask.view import draw

    config = Config.model_validate({**weights.meta["config"], **({"test_flip": True} if given.flip else {})})
    classes = {int(c): name for c, name in weights.meta["categories"].items()}
    palette = draw.Palette(classes)
    colours = np.zeros((256, 3), np.uint8)
    for c in classes:
        colours[c] = palette(c)
    done, share = 0, dict.fromkeys(classes, 0.0)
    for name, photo, label in label_photos(readable(files, job), weights, config=config, job=job, count=len(files)):
        picture = Image.fromarray(label)
        picture.putpalette(colours.ravel().tolist())
        write_picture(given.out / "maps" / f"{name}.png", picture)
        write_picture(
            given.out / "overlays" / f"{name}.png", draw.label_map(photo, resized(label, photo.shape[:2]), palette)
        )
        for c in classes:
            share[c] += float((label == c).mean())
        done += 1
    given.out.mkdir(parents=True, exist_ok=True)
    write_text(given.out / "classes.json", json.dumps({"0": "background", **weights.meta["categories"]}, indent=1))
    for c, name in classes.items():
        print(f"{name}: {100 * share[c] / max(1, done):.1f} % of the pixels")
    return f"{done} photos"
