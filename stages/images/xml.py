"""VOC's XML annotations, read safely: a document type, the only place where entities can be declared, is refused."""

from dataclasses import dataclass

from defusedxml import DTDForbidden, ElementTree

from tag2mask.errors import UserError


@dataclass
class Object:
    """One <object>. box : (xmin, ymin, xmax, ymax) pixels, VOC's inclusive 1-based corners, or None.

    instance : its value in SegmentationObject where the file says so, else None.
    """

    name: str
    difficult: bool
    box: tuple[float, ...] | None
    instance: int | None


def read_objects(path, name):
    """The objects of a VOC annotation file, in file order. name : what the file is called in an error's sentence."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{name} cannot be read ({error.strerror}); put the annotation there or drop the photo."
        ) from None
    try:
        root = ElementTree.fromstring(data, forbid_dtd=True)
        return [read_object(node) for node in root.iter("object")]
    except DTDForbidden:
        raise UserError(
            f"{name} is not a VOC annotation (it declares a document type, which is not allowed); "
            "mend the file or drop the photo."
        ) from None
    except (ElementTree.ParseError, ValueError, TypeError, LookupError) as error:
        raise UserError(f"{name} is not a VOC annotation ({error}); mend the file or drop the photo.") from None


def read_object(node):
    """The Object of an <object> element; ValueError or TypeError when it is malformed."""
    name = (node.findtext("name") or "").strip()
    if not name:
        raise ValueError("an object without a name")
    instance = node.findtext("instance")
    difficult = (node.findtext("difficult") or "").strip().lower() in ("1", "true", "yes")  # some tools: Unspecified
    return Object(name, difficult, read_box(node.find("bndbox")), None if instance is None else int(instance))


def read_box(node):
    """(xmin, ymin, xmax, ymax) of a <bndbox> element; None where it lacks one of them: tags need no box."""
    corners = [] if node is None else [(node.findtext(k) or "").strip() for k in ("xmin", "ymin", "xmax", "ymax")]
    return tuple(float(corner) for corner in corners) if corners and all(corners) else None
