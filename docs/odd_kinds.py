"""The kinds of odd inputs, by what they are read from; see `docs.odd_inputs`."""

from docs.odd_inputs import (
    COCO, FOLDER, HEIGHT, VOC, WIDTH, Odd, and_then, brushed, coco, each, every_other, from_zero, joined, nfd,
    numbered, points_from_zero, polygon, replaced, rle, spoil_dogs, table, ticks, turned, twice, voc,
)  # fmt: skip

PLAIN = joined(";")
SKIP = {"on_bad_image": "skip"}

TABLES = [
    Odd("column `filename`, a column a class, a space before every cell (Roboflow's `_classes.csv`)",
        table(ticks(" 1", " 0", "filename, cat, dog")), FOLDER),
    Odd("cells True and False (pandas)", table(ticks("True", "False")), FOLDER),
    Odd("cells 1.0 and 0.0 (pandas)", table(ticks("1.0", "0.0")), FOLDER),
    Odd("columns `image,label`", table(joined(";", "image,label")), FOLDER),
    Odd("an index column without a name (pandas)", table(numbered), FOLDER),
    Odd("tags parted by spaces", table(joined(" ")), FOLDER),
    Odd("tags parted by commas in a quoted cell", table(joined(",", cell='"{}"')), FOLDER),
    Odd("tags parted by bars", table(joined("|")), FOLDER),
    Odd("a list as Python writes it", table(joined("', '", cell="\"['{}']\"")), FOLDER),
    Odd("a line a tag", table(lambda rows: "file,tags\n" + "".join(f"{f},{t}\n" for f, ts in rows for t in ts)), FOLDER),
    Odd("a space before the quote of a cell", table(joined(";", cell=' "{}"')), FOLDER),
    Odd("classes in capitals and not", table(lambda rows: every_other(rows, str.title)), FOLDER),
    Odd("classes with accents composed and not",
        table(lambda rows: every_other([(f, [t.replace("cat", "kätzchen") for t in ts]) for f, ts in rows], nfd)), FOLDER,
        names={"kätzchen": "cat"}),
    Odd("byte order mark, CRLF, semicolons between columns, commas between tags (Excel)",
        table(joined(",", "\ufefffile;tags", line="{file};{tags}", end="\r\n")), FOLDER),
    Odd("all cells quoted", table(joined(";", '"file","tags"', line='"{file}","{tags}"')), FOLDER),
    Odd("a first line `sep=;`", table(joined(",", "sep=;\nfile;tags", line="{file};{tags}")), FOLDER),
    Odd("UTF-16", table(PLAIN, encoding="utf-16"), FOLDER),
    Odd("Windows-1252", table(replaced(PLAIN, ("cat", "kätzchen")), encoding="cp1252"), FOLDER,
        names={"kätzchen": "cat"}),
    Odd("classes with a slash, a space", table(replaced(PLAIN, ("cat", "fr/3HI"), ("dog", "adhesive tape"))), FOLDER,
        names={"fr/3HI": "cat", "adhesive tape": "dog"}),
    Odd("photos without a tag", table(replaced(PLAIN, ("3.png,cat", "3.png,"))), FOLDER, refused=True,
        way={"on_untagged": "negative"}),
    Odd("a class on damaged photos alone", and_then(table(PLAIN), spoil_dogs), FOLDER, way=SKIP, refused=True),
]  # fmt: skip
NAMES = [
    Odd("names composed in the table, decomposed on disk", table(lambda rows: replaced(PLAIN, (nfd("é"), "é"))(rows),
        file=lambda i: nfd(f"é {i}.jpg")), FOLDER),
    Odd("Chinese, spaces, `.JPG`", table(PLAIN, file=lambda i: f"药品 图像/一片天 {i}.JPG"), FOLDER),
    Odd("names in another case", table(replaced(PLAIN, (".JPG", ".jpg")), file=lambda i: f"DSC_{i}.JPG"), FOLDER),
    Odd("`./` and a folder in front", table(joined(";", line="./images/{file},{tags}")), FOLDER),
    Odd("names without their endings", table(replaced(PLAIN, (".png", ""))), FOLDER),
    Odd("HEIC photos", table(PLAIN, file=lambda i: f"IMG_{i}.HEIC", format="HEIF"), FOLDER),
    Odd("JSON: equal names in two folders", coco(file=lambda i: f"cam{i // 2}/frame_{i % 2}.jpg"), COCO),
    Odd("JSON: `.jpg` and `.png` of one stem", coco(file=lambda i: f"image{i // 2}.{('jpg', 'png')[i % 2]}"), COCO),
    Odd("JSON: backslashes", coco(file=lambda i: f"cam{i // 2}\\{i}.jpg"), COCO),
    Odd("JSON: the photos' folder in front", coco(each("images", file_name=lambda one: "images/" + one["file_name"])),
        COCO),
]  # fmt: skip
JSON = [
    Odd("a root category 0 that no object has (Roboflow)", coco(lambda doc: doc["categories"].insert(
        0, {"id": 0, "name": "animals", "supercategory": "none"})), COCO),
    Odd("category ids from 0", coco(from_zero), COCO),
    Odd("two categories that differ in capitals alone", coco(lambda doc: doc["categories"].append(
        {"id": 3, "name": "Cat"})), COCO, refused=True),
    Odd("`iscrowd: 1` on every mask (brushes of CVAT, pycococreator)", coco(brushed("cat", "dog")), COCO, refused=True,
        way={"iscrowd": "ignore"}),
    Odd("`iscrowd: 1` on every mask of one class", coco(brushed("dog")), COCO, refused=True, way={"iscrowd": "ignore"}),
    Odd("`iscrowd` as text", coco(each(iscrowd="0")), COCO),
    Odd("ids as text, polygons that are no list of polygons (VIA)",
        coco(each(image_id=lambda one: str(one["image_id"]), segmentation=lambda one: polygon(one["name"]))), COCO),
    Odd("an object without a mask", coco(lambda doc: doc["annotations"][0].update(segmentation=[])), COCO),
    Odd("no object has a mask", coco(each(segmentation=[])), COCO),
    Odd("a polygon of two points", coco(lambda doc: doc["annotations"][0]["segmentation"].append([1, 1, 1, 5])), COCO),
    Odd("sizes of -1", coco(each("images", height=-1, width=-1)), COCO),
    Odd("no sizes", coco(lambda doc: [(one.pop("height"), one.pop("width")) for one in doc["images"]]), COCO),
    Odd("drawn on stored pixels of photos that EXIF turns by 90 degrees", coco(**turned(6)), COCO, refused=True,
        way={"exif": "ignore"}),
    Odd("drawn on stored pixels of photos that EXIF turns upside down", coco(**turned(3)), COCO, way={"exif": "ignore"}),
    Odd("run lengths as lists, `iscrowd: 0`", coco(each(segmentation=rle)), COCO),
    Odd("run lengths in a list", coco(each(segmentation=lambda one: [rle(one)])), COCO),
    Odd("run lengths whose size is width, height", coco(each(segmentation=lambda one: rle(one, (WIDTH, HEIGHT)))), COCO,
        refused=True),
    Odd("annotation ids that start again (merged files)", coco(each(id=lambda one: one["id"] % 2)), COCO),
    Odd("every photo twice (two annotators)", coco(twice), COCO, refused=True),
    Odd("an annotation of no photo", coco(lambda doc: doc["annotations"].append(
        {**doc["annotations"][0], "id": 99, "image_id": 99})), COCO, refused=True, way=SKIP),
    Odd("boxes and areas as text", coco(each(bbox=lambda one: [str(v) for v in one["bbox"]],
        area=lambda one: str(one["area"]))), COCO),
    Odd("boxes and areas null", coco(each(bbox=None, area=None)), COCO),
    Odd("boxes as empty lists", coco(each(bbox=[])), COCO),
]  # fmt: skip
XML = [
    Odd("boxes with decimals", voc("<bndbox><xmin>{}.7</xmin><ymin>{}.7</ymin><xmax>{}.7</xmax><ymax>{}.7</ymax></bndbox>"),
        VOC),
    Odd("`Unspecified` in `difficult`", voc(difficult="Unspecified"), VOC),
    Odd("objects without a usable box", voc("<polygon><x1>3</x1></polygon><bndbox/>"), VOC),
    Odd("class names in capitals", voc(name=str.upper), VOC),
]  # fmt: skip
POINTS = [
    Odd("classes as numbers from 0 (BESTIE's own files)", and_then(table(PLAIN), points_from_zero),
        {**FOLDER, "points": "points"}, refused=True, way={"point_classes": "from_zero"}),
]  # fmt: skip
KINDS = {"Tables of tags": TABLES, "Names of photos": NAMES, "COCO JSON": JSON, "VOC": XML, "Points": POINTS}
