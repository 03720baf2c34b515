"""What is configured of the dataset (section `dataset`)."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from tag2mask.run.config import Section


class Config(Section):
    """The dataset: where it lies, which photos are for what, and what to do with bad ones."""

    kind: Literal["scenes", "voc", "coco", "folder"] = Field(
        "scenes",
        description="generated scenes, VOC layout (2007, 2012), COCO JSON (2014, 2017), or a folder with a CSV of tags",
    )
    root: str | None = Field(
        None,
        description="folder of the dataset (voc: the one that holds JPEGImages); needed by every kind but scenes",
    )
    classes: list[str] | None = Field(
        None,
        description="class names; category id = place in the list from 1 (voc: the value in SegmentationClass; coco: "
        "ids stay the JSON's, other classes are left out). null = the dataset's own: VOC's 20, the JSON's, all tags",
    )
    shards: int = Field(
        4,
        ge=1,
        description="equal parts that the training photos, sorted by id, are worked on in; folder: at most one "
        "for every 200 photos begun",
    )
    on_bad_image: Literal["error", "skip"] = Field(
        "error",
        description="bad photos (damaged, missing, unknown tag, mask of another size): stop, or list and leave out",
    )
    on_untagged: Literal["error", "skip", "negative"] = Field(
        "error",
        description="training photos without a tag: stop; count and leave out (COCO 2017 train has 1,021 of them); or "
        "negative: they show none of the classes, and the classifier learns that from them",
    )
    exif: Literal["apply", "ignore"] = Field(
        "apply",
        description="orientation in a photo's EXIF: apply: photos are turned upright, and masks, boxes, points and "
        "proposals are in upright pixels; ignore: in pixels as stored, as tools give them that don't read it",
    )
    min_side: int = Field(16, ge=2, description="pixels; a photo with a shorter side is a bad photo; ours")

    points: str | None = Field(
        None,
        min_length=1,
        description="points on objects, as cues beside the tags (BESTIE, Sec. 4.3): a folder of text files <image "
        "id>.txt with lines `x y class score`, or a CSV `image_id,x,y,class,score` (both without the score too); below "
        "root (scenes: as given); null = none",
    )
    point_classes: Literal["ids", "from_zero"] = Field(
        "ids",
        description="numbers in files of points are category ids; or from_zero: places in the class list from 0, as in "
        "BESTIE's own files (read as ids, those would name the class before: only a tag that is not there tells)",
    )

    train: str = Field(
        "liid",
        description="voc: list file below ImageSets, without .txt, such as Main/train; or liid = Main/trainval without "
        "Segmentation/val, liid_ablation = also without Segmentation/train (LIID, Sec. 6.1); or augmented = the 10,582 "
        "photos of train_aug (BESTIE, Sec. 4.1)",
    )
    with_masks: str | None = Field(
        "Segmentation/train",
        description="voc: list file of the photos with ground-truth masks, on which labels are measured; those that "
        "are not in train get labels too, and nothing is learned from them (LIID, Sec. 6.1, ablation studies); null = "
        "none",
    )
    val: str | None = Field(
        None,
        description="held-out photos; voc: list file, null = Segmentation/val; folder: text file below root, one photo "
        "a line, null = none",
    )
    val_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="folder without `val`: part of the training photos that is held out; copies of a photo, by name "
        "or by looks, and frames of a video stay on one side; ours",
    )

    train_json: str = Field(
        "annotations/instances_train2017.json", description="coco: annotations of the training photos, relative to root"
    )
    val_json: str | None = Field(
        "annotations/instances_val2017.json", description="coco: annotations of the held-out photos; null = none"
    )
    train_photos: str = Field("train2017", description="coco: folder of the training photos, below root")
    val_photos: str = Field("val2017", description="coco: folder of the held-out photos, below root")
    iscrowd: Literal["apply", "ignore"] = Field(
        "apply",
        description="coco: objects with iscrowd: 1: apply: crowds, no tag and not counted; ignore: objects as others, "
        "where a tool marks all that was drawn by brush so",
    )

    photos: str = Field(".", description="folder: where the photos lie, below root")
    tags: str = Field(
        "tags.csv",
        description="folder: CSV below root, first line `file,tags` (then `a.jpg,dog;cat`) or `file,dog,cat` (then "
        "`a.jpg,1,1`); what else is understood stands in docs/inputs.md",
    )

    n_train: int = Field(200, ge=1, description="scenes: training photos")
    n_val: int = Field(60, ge=0, description="scenes: held-out photos")
    n_measured: int = Field(
        0,
        ge=0,
        description="scenes: photos that get labels, alone measured, and from which nothing is learned (with_masks "
        "outside train); 0: labels are measured on the training photos",
    )
    size: int = Field(160, ge=64, description="scenes: height and width, pixels")

    @field_validator("classes")
    @classmethod
    def _classes(cls, names):
        if names is not None and (not names or not all(names) or len(set(names)) != len(names)):
            raise ValueError("must be null or a list of different, non-empty names")
        return names

    @model_validator(mode="after")
    def _root(self):
        if self.kind != "scenes" and not self.root:
            raise ValueError(f"root must name the folder of the dataset when kind is {self.kind}")
        if self.kind == "scenes" and self.classes is not None:
            raise ValueError("classes cannot be chosen for generated scenes; leave it out")
        return self
